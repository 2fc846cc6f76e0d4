# SPDX-License-Identifier: GPL-3.0-or-later
"""Distance between the surfaces of a segmentation and of the labels, measured block by block.

An outline is made of the voxels of a feature that have a face in common with a voxel that is not of it. From each voxel
of one outline the distance to the nearest one of the other is measured, both ways (mean symmetric surface distance).
"""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

FARTHEST = 48  # px: what has nothing nearer than this counts with this distance, so that blocks bound the memory


def outline(mask: np.ndarray) -> np.ndarray:
    """Voxels of a (z, y, x) bool mask with a neighbour outside of it. The array's border is no outside."""
    return mask & ~eroded(mask)


def eroded(mask: np.ndarray) -> np.ndarray:
    """Voxels of a mask all six neighbours of which are in it, as far as they are in the array."""
    inner = mask.copy()
    for axis in range(3):
        one, other = [slice(None)] * 3, [slice(None)] * 3
        one[axis], other[axis] = slice(1, None), slice(None, -1)
        inner[tuple(one)] &= mask[tuple(other)]
        inner[tuple(other)] &= mask[tuple(one)]
    return inner


@dataclasses.dataclass
class Distances:
    """counts: how many voxels of the outlines have each squared distance in px. alone: how many of them have nothing
    within FARTHEST. sides: voxels of the outline of the segmentation, and of the labels."""

    counts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(FARTHEST**2 + 1, np.int64))
    alone: int = 0
    sides: tuple[int, ...] = (0, 0)

    def add(self, found: np.ndarray, ground_truth: np.ndarray, annotated: np.ndarray, core: tuple[slice, ...]) -> None:
        """found, ground_truth, annotated: (z, y, x) bool of a block with FARTHEST + 1 voxels around its core. core:
        three slices."""
        outlines, annotated = (outline(found), outline(ground_truth)), eroded(annotated)
        for side, (one, other) in enumerate(((0, 1), (1, 0))):
            own = (outlines[one] & annotated)[core]
            self.sides = tuple(n + int(own.sum()) * (k == side) for k, n in enumerate(self.sides))
            self._measure(own, outlines[other], core)

    def _measure(self, own: np.ndarray, other: np.ndarray, core: tuple[slice, ...]) -> None:
        """own: outline in the core. other: outline in the block."""
        counts = np.zeros_like(self.counts)
        for distance in (0, 1):  # most are there, and need no search
            near = (other if distance == 0 else ~eroded(~other))[core]
            counts[distance] = (own & near).sum()
            own = own & ~near
        if own.any():
            positions = np.argwhere(own) + [part.start for part in core]
            nearest = _nearest(positions, np.argwhere(other))
            self.alone += int(np.isinf(nearest).sum())
            squared = np.rint(np.minimum(nearest, FARTHEST) ** 2).astype(np.int64)
            counts += np.bincount(squared, minlength=len(counts))
        self.counts = self.counts + counts

    def __add__(self, other: Distances) -> Distances:
        return Distances(
            self.counts + other.counts, self.alone + other.alone, tuple(a + b for a, b in zip(self.sides, other.sides))
        )

    def metrics(self, pixel_size: float) -> dict[str, typing.Any]:
        """boundary_error and boundary_error_95 (95th percentile) in Å, and boundary_alone, the part of the outlines
        that has nothing of the other within FARTHEST px. None if the feature is missing on a side."""
        if not all(self.sides):
            return dict(boundary_error=None, boundary_error_95=None, boundary_alone=None)
        distance, total = np.sqrt(np.arange(len(self.counts))), self.counts.sum()
        nearer = np.searchsorted(np.cumsum(self.counts), 0.95 * total)
        return dict(
            boundary_error=float((distance * self.counts).sum() / total * pixel_size),
            boundary_error_95=float(distance[nearer] * pixel_size),
            boundary_alone=self.alone / int(total),
        )


def _nearest(positions: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n,) distances of (n, 3) positions to the nearest of the others; infinite beyond FARTHEST."""
    if not len(others):
        return np.full(len(positions), np.inf)
    from scipy.spatial import cKDTree

    tree = cKDTree(others, balanced_tree=False, compact_nodes=False)  # built in half the time
    return tree.query(positions, distance_upper_bound=FARTHEST + 1e-6)[0]
