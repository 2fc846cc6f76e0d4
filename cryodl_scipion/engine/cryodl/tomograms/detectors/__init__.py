# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors of particles in tomograms: networks that answer with a heat map of each species."""
