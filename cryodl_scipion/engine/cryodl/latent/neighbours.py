# SPDX-License-Identifier: GPL-3.0-or-later
"""A latent space drawn in two dimensions that keep neighbours together (UMAP), where umap-learn is installed."""

import importlib.util
import sys

import numpy as np

PACKAGE = "umap-learn"
NEIGHBOURS = 15  # of each particle that stay near to it


def require_umap() -> None:
    """Nothing, if umap-learn is installed.

    Raises
    ------
    ValueError
        With the command that installs it, if it is missing.
    """
    if importlib.util.find_spec("umap") is None:
        raise ValueError(
            f"UMAP (--umap) needs the Python package {PACKAGE}, which is missing in the engine's environment. "
            f"Install it with `{sys.executable} -m pip install {PACKAGE}` (some 210 MB), or leave UMAP out."
        )


def umap_positions(latent: np.ndarray, seed: int) -> np.ndarray:
    """(n, 2) positions of particles by their latent coordinates (n, k), as they are: none is weighted more."""
    import umap

    if not np.ptp(latent) > 0:  # noise: all at one position
        return np.zeros((len(latent), 2))
    neighbours = min(NEIGHBOURS, len(latent) - 1)
    found = umap.UMAP(n_components=2, n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(latent)
    return np.asarray(found, float)
