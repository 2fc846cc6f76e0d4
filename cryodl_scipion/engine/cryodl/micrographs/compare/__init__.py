# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of picks compared and combined."""
