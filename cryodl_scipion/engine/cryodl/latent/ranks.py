# SPDX-License-Identifier: GPL-3.0-or-later
"""Which observations the maps along an axis of a latent space rest on."""

import numpy as np

WIDTH = 0.6  # of the distance of neighbouring maps, in ranks: standard deviation of a map's weights


def path_weights(coordinate: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the particles in `count` maps along a coordinate.

    The maps lie at equal distances in the particles' ranks, so that each rests on as many particles.

    Parameters
    ----------
    coordinate : ndarray, (n,)

    Returns
    -------
    positions : ndarray, (count,)
        Coordinates of the maps.
    weights : ndarray, (n, count)
        Between 0 and 1.
    """
    rank = (np.argsort(np.argsort(coordinate)) + 0.5) / len(coordinate)
    middle = (np.arange(count) + 0.5) / count
    weights = np.exp(-0.5 * ((rank[:, None] - middle) * count / WIDTH) ** 2)
    return np.quantile(coordinate, middle), weights.astype(np.float32)
