# SPDX-License-Identifier: GPL-3.0-or-later
"""Orientations and places of detections made finer than the grid of the search."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ...core.healpix_grid import ball_of_rotations
from ...core.projections import rotation_matrices
from .correlate import Kernels, SearchTile

ROUNDS = 3  # each halves the step
NEAR = 1  # voxels along each axis that a position may move by


def refine_detection(
    tile: SearchTile, kernels: Kernels, voxel: np.ndarray, angles: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """The position (3,) in kept voxels of a tile, rot, tilt, psi (3,) in degrees and the score of one detection.

    voxel: (3,) where the search found it. angles: (3,) of the search. Turns of half a step, then of a quarter, then of
    an eighth are tried; the best is kept. The position is the top of a parabola through the scores around it.
    """
    patches, inverse = _around(tile, voxel)
    base, step = rotation_matrices(angles[None])[0], kernels.template.step
    best: tuple[float, np.ndarray, torch.Tensor] | None = None
    for _ in range(ROUNDS):
        step /= 2
        matrices = base @ ball_of_rotations(step * 1.01, step)
        tried = Rotation.from_matrix(matrices).as_euler("ZYZ", degrees=True)
        scores = (kernels.at(tried).flatten(1) @ patches.T) * inverse
        number = int(scores.amax(dim=1).argmax())
        if best is None or float(scores[number].max()) > best[0]:
            best = float(scores[number].max()), tried[number], scores[number].reshape((2 * NEAR + 1,) * 3)
            base = matrices[number]
    assert best is not None
    return voxel + _top(best[2]), best[1], best[0]


def _around(tile: SearchTile, voxel: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """(27, b³) what the box covers at the positions around a voxel, and (27,) the inverse local widths there."""
    side, limits = tile.box, [n - 1 for n in tile.inverse.shape]
    patches, inverse = [], []
    for shift in np.ndindex((2 * NEAR + 1,) * 3):
        z, y, x = (int(min(max(v + s - NEAR, 0), limit)) for v, s, limit in zip(voxel, shift, limits))
        patches.append(tile.seen[z : z + side, y : y + side, x : x + side].flatten())
        inverse.append(tile.inverse[z, y, x])
    return torch.stack(patches), torch.stack(inverse)


def _top(scores: torch.Tensor) -> np.ndarray:
    """(3,) voxels from the middle to the top of a (3, 3, 3) cube of scores."""
    position = np.array(np.unravel_index(int(scores.argmax()), scores.shape))
    moved = position - NEAR
    result = moved.astype(float)
    for axis in range(3):
        if moved[axis]:
            continue  # at the border of what was looked at
        line = [float(scores[tuple(position + (np.arange(3) == axis) * s)]) for s in (-1, 0, 1)]
        curvature = line[0] + line[2] - 2 * line[1]
        result[axis] += 0.5 * (line[0] - line[2]) / curvature if curvature < 0 else 0.0
    return np.clip(result, -NEAR, NEAR)
