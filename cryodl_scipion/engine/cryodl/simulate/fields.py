# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions of the particles of a varied micrograph: from a few to a crowd, and in clumps."""

import math

import numpy as np

CROWDED = 0.35  # of the fields


def particle_positions(
    shape: tuple, wide: float, rng: np.random.Generator, crowded: float = CROWDED
) -> tuple[np.ndarray, np.ndarray]:
    """Centres of particles, and of particles in clumps (aggregates), which are no good picks.

    In crowded fields neighbours touch or overlap, and there is hardly a gap. shape: (h, w) px. wide: px of a particle's
    extent. crowded: probability of a crowded field. Returns two (n, 2) arrays, yx.
    """
    is_crowded = rng.random() < crowded
    closest = wide * (rng.uniform(0.45, 0.95) if is_crowded else rng.uniform(0.55, 1.6))
    # of the area of a close packing
    fraction = rng.uniform(0.5, 1.0) if is_crowded else float(np.exp(rng.uniform(math.log(0.03), math.log(0.75))))
    wanted = max(2, int(fraction * shape[0] * shape[1] / closest**2 * 0.9))
    tried = min((8 if is_crowded else 3) * wanted, 12000)
    centres = _apart(rng.uniform(-0.3 * wide, np.array(shape) + 0.3 * wide, (tried, 2)), closest, wanted)
    clumped = [np.zeros((0, 2))]
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(1, 4))):
            count = int(rng.integers(4, 16))
            middle, size = rng.uniform(0, 1, 2) * shape, wide * rng.uniform(0.25, 0.4) * math.sqrt(count)
            clumped.append(middle + rng.normal(0, size, (count, 2)))
    return centres, np.vstack(clumped)


def _apart(positions: np.ndarray, distance: float, maximum: int) -> np.ndarray:
    """The first `maximum` of the positions (n, 2) that keep the distance from all before them."""
    from scipy.spatial import cKDTree

    taken = np.ones(len(positions), bool)
    for first, second in sorted(cKDTree(positions).query_pairs(distance)):
        if taken[first]:
            taken[second] = False
    return positions[taken][:maximum]


def far(positions: np.ndarray, others: np.ndarray, distance: float) -> np.ndarray:
    """Which positions keep a distance from all others.

    Parameters
    ----------
    positions : array, (n, 2)
    others : array, (m, 2)
    distance : float, px

    Returns
    -------
    array, (n,)
        Bool.
    """
    from scipy.spatial import cKDTree

    return cKDTree(others).query(positions)[0] > distance if len(positions) else np.zeros(0, bool)
