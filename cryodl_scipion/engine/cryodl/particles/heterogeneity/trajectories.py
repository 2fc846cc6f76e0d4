# SPDX-License-Identifier: GPL-3.0-or-later
"""Points along the dense regions of a latent space, and the particles near to them."""

import numpy as np

NEIGHBOURS = 12  # of each particle in the graph that a trajectory follows
POWER = 4  # of the distances: many short steps, through dense regions, cost less than a long one through an empty one
SHOWN = 5000  # particles of the graph at most
ENDS = (0.02, 0.98)  # quantiles of the first axis where a trajectory begins and ends


def trajectory(latent: np.ndarray, count: int) -> np.ndarray:
    """`count` points along the densest way from one end of the first axis to the other.

    The way is the shortest in the graph of neighbouring particles, lengths being distances to a power, and smoothed;
    the points lie on it at equal distances in the number of particles that are nearest to them.

    Parameters
    ----------
    latent : ndarray, (n, k)

    Returns
    -------
    ndarray, (count, k)
    """
    from scipy.ndimage import gaussian_filter1d
    from scipy.spatial import cKDTree

    scale = np.maximum(latent.std(axis=0), 1e-12)
    positions = (latent / scale)[np.unique(np.linspace(0, len(latent) - 1, SHOWN).round().astype(int))]
    way = positions[_shortest(positions, *_ends(positions))]
    fine = np.stack([np.interp(np.linspace(0, 1, 200), np.linspace(0, 1, len(way)), column) for column in way.T], 1)
    fine = gaussian_filter1d(fine, 10, axis=0, mode="nearest")
    nearest = np.sort(cKDTree(fine).query(positions)[1])
    middle = ((np.arange(count) + 0.5) / count * len(nearest)).astype(int)
    return fine[nearest[middle]] * scale


def _ends(positions: np.ndarray) -> list[int]:
    """Indices of the particles where the way begins and ends: in the middle of those at either end."""
    found = []
    for quantile in ENDS:
        value = np.quantile(positions[:, 0], quantile)
        there = positions[:, 0] <= value if quantile < 0.5 else positions[:, 0] >= value
        middle = np.median(positions[there], axis=0)
        found.append(int(((positions - middle) ** 2).sum(1).argmin()))
    return found


def _shortest(positions: np.ndarray, start: int, end: int) -> np.ndarray:
    """Indices of the particles on the shortest way from one to another."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import dijkstra
    from scipy.spatial import cKDTree

    neighbours = min(NEIGHBOURS, len(positions) - 1)
    distance, index = cKDTree(positions).query(positions, neighbours + 1)
    rows = np.repeat(np.arange(len(positions)), neighbours)
    weight = np.maximum(distance[:, 1:].ravel(), 1e-6) ** POWER
    graph = csr_matrix((weight, (rows, index[:, 1:].ravel())), (len(positions), len(positions)))
    length, before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)
    if not np.isfinite(length[end]):  # parts of the space that no neighbours connect: straight across
        return np.array([start, end])
    way = [end]
    while way[-1] != start:
        way.append(before[way[-1]])
    return np.array(way[::-1])


def near_points(latent: np.ndarray, points: np.ndarray, per_map: int) -> np.ndarray:
    """Weights of the particles in a map at each point.

    Parameters
    ----------
    latent : ndarray, (n, k)
    points : ndarray, (m, k)
    per_map : int
        Particles within one standard deviation of a map's Gaussian weights: where the space is dense, they are
        narrower.

    Returns
    -------
    ndarray, (n, m)
        Between 0 and 1; distances are measured in standard deviations of the coordinates.
    """
    from scipy.spatial.distance import cdist

    scale = np.maximum(latent.std(axis=0), 1e-12)
    distance = cdist(latent / scale, points / scale)
    nearest = min(per_map, len(latent)) - 1
    reach = np.partition(distance, nearest, axis=0)[nearest]
    return np.exp(-0.5 * (distance / np.maximum(reach, 1e-12)) ** 2).astype(np.float32)
