# SPDX-License-Identifier: GPL-3.0-or-later
"""The contrast transfer function of a micrograph, fitted to its power spectrum."""

from .estimate import CtfFit, Microscope, SearchRange, checked, fit_ctf, lowest_defocus
from .pictures import spectrum_picture
