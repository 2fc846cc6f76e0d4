# SPDX-License-Identifier: GPL-3.0-or-later
"""Continuous heterogeneity of aligned subtomograms: cryodl.latent with missing wedges in place of projections.

coefficients.py holds the subtomograms, views.py what one shows and what an error of its alignment would change,
inputs.py the checks, fitting.py the whole fit, map_files.py maps along a latent coordinate.
"""
