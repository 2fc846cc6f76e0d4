# SPDX-License-Identifier: GPL-3.0-or-later
"""cryodl: deep learning for cryo-EM. Importing the package imports neither torch nor numpy."""

__version__ = "0.2.0"
