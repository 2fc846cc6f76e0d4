# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fit of a latent space writes of its observations: columns, clusters, the verdict in words."""

from __future__ import annotations

import typing

import numpy as np

from .neighbours import umap_positions

if typing.TYPE_CHECKING:
    from .motion import Motion

LATENT, CLUSTER, UMAP = "cryodlLatent", "cryodlCluster", "cryodlUmap"


def latent_columns(latent: np.ndarray, clusters: np.ndarray, umap: bool, seed: int) -> dict[str, np.ndarray]:
    """Columns of a table of observations: latent coordinates, cluster and, if they are wanted, coordinates of UMAP.

    Parameters
    ----------
    latent : ndarray, (n, q)
    clusters : ndarray, (n,)
    umap : bool
    seed : int

    Returns
    -------
    dict
        {column: (n,) values}.
    """
    columns = {f"{LATENT}{k + 1}": column.astype(float) for k, column in enumerate(latent.T)}
    positions = umap_positions(latent, seed) if umap else np.zeros((len(latent), 0))
    columns.update({f"{UMAP}{k + 1}": column for k, column in enumerate(positions.T)})
    return dict(columns, **{CLUSTER: clusters})


def latent_clusters(latent: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Clusters of observations in a latent space, by k-means.

    Parameters
    ----------
    latent : ndarray, (n, q)
    count : int
    seed : int

    Returns
    -------
    ndarray, (n,)
        Number of each one's cluster, from 1, the largest first.
    """
    from sklearn.cluster import KMeans

    if not np.ptp(latent) > 0:  # noise: all at one position
        return np.ones(len(latent), int)
    found = KMeans(count, n_init=4, random_state=seed).fit_predict(latent)
    order = np.argsort(-np.bincount(found, minlength=count), kind="stable")
    return np.argsort(order)[found] + 1


def verdict_sentence(motion: Motion) -> str:
    """The verdict of the motion test in words.

    Parameters
    ----------
    motion : motion.Motion

    Returns
    -------
    str
    """
    amount = f"(p = {motion.p_value:.2g}; variability {motion.variability:.2%} of the molecule's power)."
    return ("Motion found " if motion.verdict == "motion" else "No motion found ") + amount
