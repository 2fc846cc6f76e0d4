# SPDX-License-Identifier: GPL-3.0-or-later
"""How well latent coordinates and the maps made from them agree with the truth, by CryoBench's definitions (NeurIPS
2024). Every program's results go through these."""

import numpy as np

BLUR = 1.5  # px, of the mask's edge
BODY = 0.05  # of the highest density that is the molecule
REACH = 3  # px that the mask goes beyond it
NEAR = 0.01  # of the particles: the neighbourhood


def chosen_particles(states, count, seed=0):
    """(count,) rows of particles, of as many different states as there are, in random order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(states))
    seen, rotation = {}, np.empty(len(states), int)
    for row in order:
        rotation[row] = seen[states[row]] = seen.get(states[row], -1) + 1
    return np.sort(order[np.argsort(rotation[order], kind="stable")][:count])


def molecule_mask(maps):
    """(box, box, box) soft mask of the molecule in any of the true maps (n, box, box, box)."""
    from scipy.ndimage import binary_dilation, gaussian_filter

    body = (maps > BODY * maps.max(axis=(1, 2, 3), keepdims=True)).any(0)
    return gaussian_filter(binary_dilation(body, iterations=REACH).astype(np.float32), BLUR)


def area(one, other):
    """Area under the Fourier shell correlation of two maps from 0 to Nyquist, in 1/px: 0.5 for equal maps."""
    import torch

    from cryodl.core.frc import fsc

    curve = fsc(torch.from_numpy(np.array(one, np.float32)), torch.from_numpy(np.array(other, np.float32))).numpy()
    return float(np.trapezoid(curve, np.arange(len(curve)) / len(one)))


def areas(found, true, mask):
    """Means over pairs of maps of `area`, of the whole maps and within a mask.

    found : iterable of (box, box, box). true : as many.
    """
    pairs = [(area(a, b), area(a * mask, b * mask)) for a, b in zip(found, true)]
    return tuple(float(value) for value in np.mean(pairs, axis=0))


def true_distances(maps):
    """(k, k) distances of the true maps, px apart by their densities."""
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    square = (flat**2).sum(1)
    return np.sqrt(np.maximum(square[:, None] + square - 2 * flat @ flat.T, 0))


def shared_neighbours(latent, states, distances):
    """Share of a particle's nearest in the latent space that are among its nearest in truth.

    latent : (n, d). states : (n,), 0-based. distances : (k, k) of the true maps. Particles that are as near in truth as
    the last of the nearest are among them.
    """
    from scipy.spatial import cKDTree

    near = max(1, int(NEAR * len(latent)))
    index = cKDTree(latent).query(latent, near + 1)[1][:, 1:]
    counts = np.bincount(states, minlength=len(distances))
    limit = np.empty(len(distances))
    for state in range(len(distances)):
        order = np.argsort(distances[state], kind="stable")
        enough = np.cumsum(counts[order]) >= near + 1
        limit[state] = distances[state][order[np.argmax(enough)]]
    own = states[:, None]
    return float((distances[own, states[index]] <= limit[own] + 1e-9).mean())


def rank_correlation(latent, true):
    """The largest Spearman correlation of a coordinate (n, d) with the true one (n,), without its sign."""
    from scipy.stats import spearmanr

    return float(max(abs(spearmanr(column, true)[0]) for column in latent.T))
