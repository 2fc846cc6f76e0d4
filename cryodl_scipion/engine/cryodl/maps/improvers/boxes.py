# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes of training pairs: cut out, rotated, and the positions where their atoms are looked at."""

import dataclasses

import numpy as np

from ..measures.qscore import NEARER, POINTS, SIGMA, sphere_directions

BOX = 48  # voxels; the network's
EMPTY = 0.1  # part of the boxes that may show no molecule
PRESENT = 0.1  # of a target's highest density: above it a voxel belongs to the molecule
ATOMS = 256  # of a box, that are looked at
RADII = np.arange(0, 2.01, 0.4)  # Å; fewer than those of a Q-score that is reported
WANTED = np.repeat(np.exp(-0.5 * (RADII / SIGMA) ** 2), POINTS)  # of a well-resolved atom at the positions around it


@dataclasses.dataclass(frozen=True)
class Box:
    """data: (2, BOX, BOX, BOX) map and target. atoms: (n, 3) zyx voxels, those in it and just outside."""

    data: np.ndarray
    atoms: np.ndarray


def cut_box(pair: np.ndarray, atoms: np.ndarray, rng: np.random.Generator, empty: float = EMPTY) -> Box:
    """A Box of a (2, d, h, w) pair with its atoms (n, 3), where the molecule is but for a part of the time. Small
    maps are padded with zeros."""
    pad = [(0, max(0, BOX - n)) for n in pair.shape[1:]]
    for _ in range(8):
        start = [int(rng.integers(max(1, n - BOX + 1))) for n in pair.shape[1:]]
        data = np.array(pair[(slice(None), *[slice(s, s + BOX) for s in start])])
        if rng.random() < empty or (data[1] > PRESENT).mean() > 0.02:
            break
    if any(after for _, after in pad):
        data = np.pad(data, [(0, 0)] + [(0, BOX - n) for n in data.shape[1:]])
    positions = np.asarray(atoms) - start
    return Box(data, positions[((positions > -4) & (positions < BOX + 3)).all(axis=1)])


_ROTATIONS = [
    (p, s) for p in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2)) for s in np.ndindex(2, 2, 2)
]
_PROPER = [(p, s) for p, s in _ROTATIONS if (sum(s) % 2 == 0) == (p in {(0, 1, 2), (1, 2, 0), (2, 0, 1)})]


def rotated_box(box: Box, rng: np.random.Generator) -> Box:
    """A Box rotated by one of the 24 rotations of a cube: without a change of its hand."""
    order, flips = _PROPER[rng.integers(len(_PROPER))]
    data, atoms = box.data.transpose(0, *[o + 1 for o in order]), box.atoms[:, order].copy()
    for axis, flip in enumerate(flips):
        if flip:
            data, atoms[:, axis] = np.flip(data, axis + 1), BOX - 1 - atoms[:, axis]
    return Box(np.ascontiguousarray(data), atoms)


def score_positions(atoms: np.ndarray, pixel_size: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where a box is read to see how much its atoms look like atoms, as the Q-score does (maps.measures.qscore). atoms:
    (n, 3) zyx voxels. pixel_size: Å/px. Returns positions (ATOMS, p, 3) in zyx voxels and weights (ATOMS, p), 0 where a
    position is nearer to another atom or where there are fewer atoms; p = len(RADII) * POINTS."""
    from scipy.spatial import cKDTree
    from scipy.spatial.transform import Rotation

    reach = RADII[-1] / pixel_size
    positions = np.zeros((ATOMS, len(RADII), POINTS, 3), np.float32)
    weights = np.zeros((ATOMS, len(RADII), POINTS), np.float32)
    chosen = rng.permutation(np.nonzero(((atoms >= reach) & (atoms <= BOX - 1 - reach)).all(axis=1))[0])[:ATOMS]
    if len(chosen):
        directions = Rotation.random(random_state=int(rng.integers(2**31))).apply(sphere_directions(POINTS))
        radii = RADII[:, None, None] / pixel_size
        around = atoms[chosen][:, None, None] + radii * directions
        nearest, _ = cKDTree(atoms).query(around.reshape(-1, 3))
        positions[: len(chosen)] = around
        weights[: len(chosen)] = nearest.reshape(around.shape[:3]) >= NEARER * radii[..., 0] - 1e-6
    return positions.reshape(ATOMS, -1, 3), weights.reshape(ATOMS, -1)
