# SPDX-License-Identifier: GPL-3.0-or-later
"""Agreement of a segmentation with labels: voxels, outlines and components, read by parts."""
