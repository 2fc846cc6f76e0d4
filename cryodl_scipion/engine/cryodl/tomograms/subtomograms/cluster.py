# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters of positions in an embedding."""

import numpy as np

CLOUDS = 59  # single clouds that groups are compared with: the lowest p-value is 1 / 60
STARTS = 5  # of k-means, alike for the positions and the clouds


def groups(positions: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """(n,) int: the group of each position, 1 ... count, the largest first.

    positions: (n, c) array. The k-means of 20 starts begin a mixture of Gaussians of one shape, which has the last
    word: the differences within a class (noise, wedge) are alike in all. Raises ValueError for fewer positions than
    groups.
    """
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    if len(positions) < count:
        raise ValueError(
            f"There are {len(positions)} subtomograms for {count} classes (--classes); there must be at "
            "least as many. Choose fewer classes."
        )
    positions = np.asarray(positions, float)
    first = KMeans(count, n_init=20, random_state=seed).fit(positions)
    found = first.labels_
    if len(positions) > 5 * (count + positions.shape[1]) and len(np.unique(found)) == count:
        scale = max(positions.var(axis=0).max(), 1e-12)
        mixture = GaussianMixture(
            count, covariance_type="tied", means_init=first.cluster_centers_, random_state=seed, reg_covar=1e-4 * scale
        ).fit(positions)
        new = mixture.predict(positions)
        found = new if len(np.unique(new)) == count else found
    order = np.argsort(-np.bincount(found, minlength=count), kind="stable")
    return 1 + np.argsort(order)[found]


def group_p_value(positions: np.ndarray, count: int, seed: int = 0) -> float:
    """p-value of groups: how often one cloud of points without groups is divided as tightly as these positions.

    The positions are compared with Gaussian clouds of their number, mean and covariance, by what k-means leaves of the
    variance within its groups (a parametric bootstrap, as of the gap statistic).

    Parameters
    ----------
    positions : array (n, c)
        An embedding.
    count : int
        Number of groups.

    Returns
    -------
    float
        Fraction of the clouds that are divided as tightly; 1 for one group.

    References
    ----------
    Tibshirani, Walther and Hastie, J. R. Statist. Soc. B 63, 411 (2001).
    """
    if count < 2:
        return 1.0
    rng = np.random.default_rng(seed)
    positions = np.asarray(positions, float) - positions.mean(axis=0)
    covariance = np.cov(positions.T).reshape(positions.shape[1], -1)
    own = _tightness(positions, count, seed)
    clouds = (rng.multivariate_normal(np.zeros(len(covariance)), covariance, len(positions)) for _ in range(CLOUDS))
    as_tight = sum(_tightness(cloud, count, seed) <= own for cloud in clouds)
    return float((1 + as_tight) / (1 + CLOUDS))


def _tightness(positions: np.ndarray, count: int, seed: int) -> float:
    """Part of the variance of positions (n, c) that is left within the groups of k-means."""
    from sklearn.cluster import KMeans

    total = float(positions.var(axis=0).sum()) * len(positions)
    return KMeans(count, n_init=STARTS, random_state=seed).fit(positions).inertia_ / max(total, 1e-12)
