# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated micrographs, particles and tomograms with known ground truth."""
