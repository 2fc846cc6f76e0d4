# SPDX-License-Identifier: GPL-3.0-or-later
"""A linear latent space of observations with known poses, particle images or subtomograms, and what follows it.

seen.py says what an observation must tell, cube.py holds tables of Fourier coefficients, expectation.py is one pass
over all observations, components.py the linear fit, curves.py a curve through it, motion.py the test whether there is
any motion. After the latent: clusters.py, ranks.py (maps along an axis), neighbours.py (UMAP), pictures.py, record.py.
"""
