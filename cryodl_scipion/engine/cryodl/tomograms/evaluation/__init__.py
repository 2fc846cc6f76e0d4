# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a segmentation fits labels: voxels, outlines and components, read by parts."""
