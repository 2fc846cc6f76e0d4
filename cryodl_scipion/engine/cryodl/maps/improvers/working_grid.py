# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps at the network's working pixel size and back, and the scale that the network sees them at."""

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter

from ..measures import atoms, shells

PERCENTILE = 99.999  # of a map's values is 1 for the network (He et al. 2023)
FINE = 0.8  # of the working pixel size: finer voxels hold noise that would alias; no training saw such
HEAVY, OF_DENSE, BLOCK = 1.5, 99.5, 4  # see map_scale
REACH = 1.5  # values above this many times it are outliers, and cut off
OFFSET, SOLVENT = 0.01, 0.3  # of the scale, and of the box: of less solvent, or so near to 0, nothing is taken off


def without_background(data: np.ndarray, voxels_zyx: np.ndarray) -> np.ndarray:
    """A (z, y, x) map whose solvent is at 0, as in training: maps of bytes, or normalised ones, have it elsewhere."""
    outside = atoms.dense_mask(data, voxels_zyx) < 0.01
    level = np.float32(np.median(data[outside]) if outside.mean() > SOLVENT else 0)
    return data - level if abs(level) > OFFSET * (np.percentile(data, PERCENTILE) - level) else data


def to_grid(data: np.ndarray, voxels_zyx: np.ndarray, working_pixel_size: float) -> np.ndarray:
    """A (z, y, x) array resampled to the working pixel size (Å/px) by cubic interpolation; voxel (0, 0, 0) stays fixed.
    Voxels that are much finer (FINE) are low-pass filtered at its Nyquist frequency before."""
    zoom = np.asarray(voxels_zyx) / working_pixel_size
    if np.allclose(zoom, 1, atol=1e-4):
        return np.asarray(data, np.float32)
    if (zoom < FINE).any():
        # a cosine edge that ends at the Nyquist frequency, 0.5 per working pixel
        gain = lambda s: 0.5 + 0.5 * np.cos(np.pi * np.clip((s * working_pixel_size - 0.45) / 0.05, 0, 1))
        data = shells.shell_filtered(data, voxels_zyx, gain)
    shape = tuple(int(np.floor((n - 1) * z + 1e-6)) + 1 for n, z in zip(data.shape, zoom))
    return affine_transform(data, 1 / zoom, output_shape=shape, output=np.float32, order=3, mode="nearest")


def from_grid(
    data: np.ndarray, working_pixel_size: float, shape: tuple[int, ...], voxels_zyx: np.ndarray
) -> np.ndarray:
    """The way back: (z, y, x) array of `shape` and voxels_zyx."""
    zoom = working_pixel_size / np.asarray(voxels_zyx)
    if np.allclose(zoom, 1, atol=1e-4) and tuple(shape) == data.shape:
        return np.asarray(data, np.float32)
    return affine_transform(data, 1 / zoom, output_shape=tuple(shape), output=np.float32, order=3, mode="nearest")


def scale_of(data: np.ndarray) -> float:
    """The value of a map that is 1 for the network: PERCENTILE of it. Raises ValueError if that is not positive."""
    scale = float(np.percentile(data, PERCENTILE))
    if not scale > 0:
        raise ValueError("no voxel is positive")
    return scale


def map_scale(data: np.ndarray) -> float:
    """The scale_of a map, unless metals set it: never more than HEAVY times the percentile OF_DENSE of where the
    molecule is. A cluster of iron, or a heavy metal, would make all protein weak for the network. The molecule is where
    means over BLOCK^3 voxels, blurred, are above Otsu's threshold."""
    from skimage.filters import threshold_otsu

    scale, counts = scale_of(data), [n // BLOCK for n in data.shape]
    if min(counts) < 2:
        return scale
    blocks = data[tuple(slice(n * BLOCK) for n in counts)].reshape([k for n in counts for k in (n, BLOCK)])
    coarse = gaussian_filter(blocks.mean(axis=(1, 3, 5)), 1.0)
    if coarse.max() <= coarse.min():
        return scale
    dense = float(np.percentile(blocks.transpose(0, 2, 4, 1, 3, 5)[coarse > threshold_otsu(coarse)], OF_DENSE))
    return min(scale, HEAVY * dense) if dense > 0 else scale


def scaled_map(data: np.ndarray, scale: float, lowest: float) -> np.ndarray:
    """A map as the network sees it: divided by its scale, and cut off at `lowest` and REACH."""
    return np.clip(np.asarray(data, np.float32) / scale, lowest, REACH)
