# SPDX-License-Identifier: GPL-3.0-or-later
"""Particle images: denoising, orientations, integrity, maps out of them."""
