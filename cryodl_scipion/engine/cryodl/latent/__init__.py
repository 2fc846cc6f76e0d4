# SPDX-License-Identifier: GPL-3.0-or-later
"""A linear latent space of observations with known poses, particle images or subtomograms, and what follows it.

cube.py says what an observation must tell, and holds tables of Fourier coefficients, expectation.py is one pass over
all observations, components.py the linear fit, motion.py a curve through it and the test whether there is any motion.
After the latent: record.py with clusters, UMAP, pictures, and what maps along an axis rest on."""
