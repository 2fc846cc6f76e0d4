# SPDX-License-Identifier: GPL-3.0-or-later
"""Continuous heterogeneity of aligned subtomograms: cryodl.latent with missing wedges in place of projections.
coefficients.py holds the subtomograms, what one shows and what an error of its alignment would change; fitting.py is
the checks, the whole fit, and the maps along a latent coordinate."""
