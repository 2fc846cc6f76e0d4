# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoising of tomograms and filling of their missing wedge, by networks that learn from pairs of half tomograms."""
