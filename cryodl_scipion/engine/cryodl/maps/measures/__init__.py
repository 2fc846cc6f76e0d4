# SPDX-License-Identifier: GPL-3.0-or-later
"""Density maps and atomic models in one frame: grids, masks, and how well they agree."""
