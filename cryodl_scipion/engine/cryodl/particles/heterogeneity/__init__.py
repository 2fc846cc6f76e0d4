# SPDX-License-Identifier: GPL-3.0-or-later
"""Continuous heterogeneity of particles with known orientations: components of volumes, or Gaussians that move.

coefficients.py holds the images and says what one shows and what an error of its orientation or CTF would change; the
linear fit is that of cryodl.latent; paths.py makes maps along a latent coordinate, and ways through dense regions.
Of the Gaussian latent space: gaussians.py the molecule as Gaussians, modes.py the likelihood of images and principal
motions of anchors, decoder.py the decoder of the deep coordinate, gaussian_fit.py the whole fit."""
