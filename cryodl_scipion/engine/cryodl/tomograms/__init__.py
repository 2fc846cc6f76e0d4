# SPDX-License-Identifier: GPL-3.0-or-later
"""Tomograms and subtomograms: annotation, segmentation, picking, classes."""
