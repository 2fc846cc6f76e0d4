# SPDX-License-Identifier: GPL-3.0-or-later
"""The density of an atomic model on the grid of a map, and a soft mask around it."""

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

from .atoms import Atoms
from .volume import Volume

REACH = 4.0  # widths of a Gaussian beyond which it is nothing
BLUR, MARGIN, EDGE = 5.0, 4.0, 8.0  # Å: of what a mask without a model is made from, and around it


def model_density(
    atoms: Atoms, volume: Volume, width: float | np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Sum of Gaussians at the atoms: (z, y, x) float32 array on the grid of a Volume. width: Å, standard deviation, a
    number or (n,). weights: (n,), the integral of each; atomic number x occupancy if None. A Gaussian is integrated
    nowhere, it is sampled: widths below half a voxel would be lost between grid points, and are refused with
    ValueError."""
    width = np.broadcast_to(np.asarray(width, float), len(atoms))
    if width.min() < 0.5 * volume.voxels_zyx.max():
        raise ValueError(
            f"Gaussians of {width.min():.3g} Å cannot be drawn on voxels of {volume.voxels_zyx.max():.3g} Å."
        )
    weights = atoms.number * atoms.occupancy if weights is None else np.asarray(weights, float)
    peaks = weights / (2 * np.pi * width**2) ** 1.5
    result, positions = np.zeros(volume.data.shape, np.float32), volume.positions(atoms.xyz)
    reach = REACH * width[:, None] / volume.voxels_zyx
    low = np.maximum(np.ceil(positions - reach), 0).astype(int)
    high = np.minimum(np.floor(positions + reach) + 1, volume.data.shape).astype(int)
    for position, start, stop, sigma, peak in zip(positions, low, high, width, peaks):
        if (start < stop).all():
            z, y, x = (
                np.exp(-0.5 * ((np.arange(a, b) - p) * v / sigma) ** 2)
                for a, b, p, v in zip(start, stop, position, volume.voxels_zyx)
            )
            patch = (peak * z)[:, None, None] * (y[:, None] * x)
            result[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]] += patch
    return result


def soft_mask(xyz: np.ndarray, volume: Volume, radius: float, edge: float | None = None) -> np.ndarray:
    """1 within `radius` Å of the positions (n, 3), falling to 0 as a cosine over `edge` Å (the radius if None): (z, y,
    x) float32."""
    positions = np.rint(volume.positions(xyz)).astype(int)
    inside = ((positions >= 0) & (positions < volume.data.shape)).all(axis=1)
    empty = np.ones(volume.data.shape, bool)
    empty[tuple(positions[inside].T)] = False
    distance = distance_transform_edt(empty, sampling=tuple(volume.voxels_zyx))
    part = np.clip((distance - radius) / (edge or radius), 0, 1)
    return (0.5 + 0.5 * np.cos(np.pi * part)).astype(np.float32)


def dense_mask(data: np.ndarray, voxels_zyx: np.ndarray) -> np.ndarray:
    """A soft mask around what is dense in a map without a model: (z, y, x) float32, 0 to 1. The blurred map is cut
    where Otsu's threshold tells molecule from solvent; MARGIN Å around it belong to the molecule, and over EDGE Å the
    mask falls to 0 as a cosine."""
    from skimage.filters import threshold_otsu

    blurred = gaussian_filter(np.asarray(data, np.float32), BLUR / np.asarray(voxels_zyx))
    distance = distance_transform_edt(blurred <= threshold_otsu(blurred), sampling=tuple(voxels_zyx))
    part = np.clip((distance - MARGIN) / EDGE, 0, 1)
    return (0.5 + 0.5 * np.cos(np.pi * part)).astype(np.float32)
