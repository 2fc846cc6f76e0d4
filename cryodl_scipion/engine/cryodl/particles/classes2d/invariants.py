# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotational invariants of particles, and a first sorting by them.

Angular power and bispectrum of each band of rings (Kakarala 1992; EMAN2's e2refine2d_bispec sorts by such numbers).
Particles are centred first, which makes them tolerant of shifts as well.
"""

import torch

from .polar import PolarGrid

BANDS, ORDERS = 5, 10  # bands of rings, highest angular order
COMPONENTS = 24  # principal components that are compared
ROUNDS = 25  # of k-means at most


def invariants(grid: PolarGrid, centred: torch.Tensor) -> torch.Tensor:
    """(n, f) rotational invariants of (n, rings, half) samples of centred particles, each particle's scaled to 1."""
    rings = min(grid.rings, 2 * BANDS)
    orders = min(ORDERS, grid.orders - 1)
    weighted = grid.harmonics(centred[:, :rings]) * grid.weights[:rings, None].sqrt().to(centred.device)
    bands = torch.stack([part.sum(1) for part in weighted.tensor_split(min(BANDS, rings), 1)], 1)[..., : orders + 1]
    power = weighted[..., : orders + 1].abs().square().flatten(1).sqrt()
    pairs = [(i, j) for i in range(1, orders + 1) for j in range(i, orders + 1 - i)]
    first, second = (torch.tensor(side, dtype=torch.long, device=centred.device) for side in zip(*pairs))
    triple = bands[..., first] * bands[..., second] * bands[..., first + second].conj()
    triple = triple / triple.abs().clamp(min=1e-12) ** (2 / 3)  # as long as one coefficient, not three
    every = torch.cat([power, triple.real.flatten(1), triple.imag.flatten(1)], 1)
    return every / every.norm(dim=1, keepdim=True).clamp(min=1e-12)


def first_sorting(features: torch.Tensor, classes: int, generator: torch.Generator) -> torch.Tensor:
    """(n,) int64 groups, from 0, of (n, f) features: k-means of their principal components."""
    centred = features - features.mean(0)
    number = min(COMPONENTS, *features.shape)
    vectors = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -number:]
    return k_means(centred @ vectors, classes, generator)


def k_means(points: torch.Tensor, classes: int, generator: torch.Generator) -> torch.Tensor:
    """(n,) int64 groups of (n, d) points by Lloyd's rule; a group that becomes empty takes the worst placed point."""
    chosen = torch.randperm(len(points), generator=generator)[:classes].to(points.device)
    centres, labels = points[chosen], torch.full((len(points),), -1, device=points.device)
    for _ in range(ROUNDS):
        distance = torch.cdist(points, centres)
        nearest, new = distance.min(1)
        if bool((new == labels).all()):
            break
        labels = new
        sums = torch.zeros_like(centres).index_add_(0, labels, points)
        counts = torch.bincount(labels, minlength=len(centres))
        centres = sums / counts.clamp(min=1)[:, None]
        empty = (counts == 0).nonzero()[:, 0]
        centres[empty] = points[nearest.topk(len(empty)).indices]
    return labels
