# SPDX-License-Identifier: GPL-3.0-or-later
"""From score volumes to label volumes (merge, components, areas, surfaces), and from these to coordinates (points)."""
