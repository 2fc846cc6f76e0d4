# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the engine is, and how it is started."""
