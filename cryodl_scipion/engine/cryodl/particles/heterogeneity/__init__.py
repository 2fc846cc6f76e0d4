# SPDX-License-Identifier: GPL-3.0-or-later
"""Continuous heterogeneity of particles with known orientations: principal components of the volumes.

coefficients.py holds the images, cube.py the central slices, views.py what an image shows and what an error of its
orientation or CTF would change, expectation.py one pass over all images, components.py the whole fit, motion.py the
test whether there is any motion, paths.py maps along a latent coordinate.
"""
