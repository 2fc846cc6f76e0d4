# SPDX-License-Identifier: GPL-3.0-or-later
"""How a command is begun, from a shell or from Python, and what every command has around it."""
