# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings of features on tiles of tomograms: their folder, importing, and the window that they are made in. tiles,
files and store are also read by Scipion's Python: numpy, mrcfile and the standard library, Python 3.8 syntax."""
