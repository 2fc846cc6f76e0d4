# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of the particles of several sets of picks."""
