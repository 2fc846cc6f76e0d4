# SPDX-License-Identifier: GPL-3.0-or-later
"""Particle images: denoising, orientations, 2-D classes, heterogeneity, integrity."""
