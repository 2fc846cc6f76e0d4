# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of places in an embedding."""

import numpy as np


def groups(places: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """(n,) int: the group of each place, 1 ... count, the largest first.

    places: (n, c) array. The k-means of 20 starts begin a mixture of Gaussians of one shape, which has the last word:
    the differences within a class (noise, wedge) are alike in all. Raises ValueError for fewer places than groups.
    """
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    if len(places) < count:
        raise ValueError(
            f"There are {len(places)} subtomograms for {count} classes (--classes); there must be at "
            "least as many. Choose fewer classes."
        )
    places = np.asarray(places, float)
    first = KMeans(count, n_init=20, random_state=seed).fit(places)
    found = first.labels_
    if len(places) > 5 * (count + places.shape[1]) and len(np.unique(found)) == count:
        scale = max(places.var(axis=0).max(), 1e-12)
        mixture = GaussianMixture(
            count, covariance_type="tied", means_init=first.cluster_centers_, random_state=seed, reg_covar=1e-4 * scale
        ).fit(places)
        new = mixture.predict(places)
        found = new if len(np.unique(new)) == count else found
    order = np.argsort(-np.bincount(found, minlength=count), kind="stable")
    return 1 + np.argsort(order)[found]
