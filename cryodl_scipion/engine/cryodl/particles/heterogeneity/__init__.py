# SPDX-License-Identifier: GPL-3.0-or-later
"""Continuous heterogeneity of particles with known orientations: components of volumes, or Gaussians that move.

coefficients.py holds the images, cube.py the central slices, views.py what an image shows and what an error of its
orientation or CTF would change, expectation.py one pass over all images, components.py the linear fit, motion.py the
test whether there is any motion, paths.py maps along a latent coordinate, trajectories.py ways through dense regions.

Of the Gaussian latent space: gaussians.py the molecule as Gaussians, modes.py principal motions of their anchors,
images.py the likelihood of images, decoder.py and deep.py the deep coordinate, gaussian_fit.py the whole fit.
"""
