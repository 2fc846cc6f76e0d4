# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes from the sums of a pass over the images."""

from __future__ import annotations

import typing

import numpy as np

from .cube import PADDING

if typing.TYPE_CHECKING:
    from .cube import Cube
    from .expectation import ExpectationSums

FLOOR = 1e-3  # of a shell's mean weight: the least that a position's weight is taken to be
CHUNK = 100000  # positions that are solved at a time


def solve_components(sums: ExpectationSums, cube: Cube, prior: np.ndarray) -> np.ndarray:
    """(q + 1, box, box, box) float32: the mean and the components that fit the images best.

    Parameters
    ----------
    prior : ndarray, (q + 1, rings)
        Expected power of a coefficient of each volume, shell by shell; infinite where nothing is expected.
    """
    q = sums.match.shape[1]
    inside = np.nonzero(cube.frequency.ravel() <= cube.radius)[0]
    found = np.zeros_like(sums.match)
    rows, columns = np.triu_indices(q)
    floor = FLOOR * cube.shell_means(sums.weight[:, 0])
    for start in range(0, len(inside), CHUNK):
        part = inside[start : start + CHUNK]
        left = np.empty((len(part), q, q))
        left[:, rows, columns] = left[:, columns, rows] = sums.weight[part]
        ring = cube.ring[part]
        # neighbours on the padded grid say the same: each carries that part of what is expected
        extra = 1 / (PADDING**3 * np.maximum(prior[:, ring].T, 1e-30)) + floor[ring, None] + 1e-12
        left[:, np.arange(q), np.arange(q)] += extra
        found[part] = np.linalg.solve(left, sums.match[part].astype(float))
    return np.stack([cube.gridded(found[:, k]) for k in range(q)])


def shell_power(volumes: np.ndarray, cube: Cube) -> np.ndarray:
    """(n, rings) mean square of the coefficients of (n, box, box, box) volumes, shell by shell."""
    return np.stack([cube.shell_means((cube.table(volume) ** 2).sum(1)) for volume in volumes])


def orthonormal(volumes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Components, whose coordinates have unit variance, as principal axes.

    Parameters
    ----------
    volumes : ndarray, (q, box, box, box)

    Returns
    -------
    axes : ndarray, (q, box, box, box)
        Orthonormal, the one of the largest variance first.
    deviations : ndarray, (q,)
        Standard deviations of the coordinates along them.
    rotation : ndarray, (q, q)
        Takes coordinates (n, q) to those along the axes: latent @ rotation.
    """
    flat = volumes.reshape(len(volumes), -1).astype(float)
    values, vectors = np.linalg.eigh(flat @ flat.T)
    order = np.argsort(values)[::-1]
    deviations, vectors = np.sqrt(np.maximum(values[order], 1e-30)), vectors[:, order]
    axes = (vectors.T @ flat) / deviations[:, None]
    return axes.reshape(volumes.shape).astype(np.float32), deviations, vectors * deviations
