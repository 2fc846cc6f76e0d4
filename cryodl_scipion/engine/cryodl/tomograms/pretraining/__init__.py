# SPDX-License-Identifier: GPL-3.0-or-later
"""Segmenters that nobody drew a tile for: one network for several features, trained on simulated cells."""
