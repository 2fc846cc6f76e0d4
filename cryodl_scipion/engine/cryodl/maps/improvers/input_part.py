# SPDX-License-Identifier: GPL-3.0-or-later
"""The weighted mean of an improved map and its input, filtered to match the improved map. A network that learned from
simulated maps errs on real ones in ways of its own. The input, filtered so that it comes nearest to the network's
answer, has no such errors, but noise. A mean of both is on average nearer to the truth than either, as shrinkage
estimators are (James and Stein 1961)."""

import numpy as np
import scipy.fft

from ..measures.shells import shell_numbers

REACH = 2.0  # Å, standard deviation of the Gaussian that tells where the network sees density
LEVEL = 0.3  # of the mean density there, from which on the input is kept in full


def with_input(improved: np.ndarray, data: np.ndarray, voxels_zyx: np.ndarray, fraction: float) -> np.ndarray:
    """The mean of an improved map and its filtered input, where the improved map has density. improved: (z, y, x)
    float32, the network's answer. Resampled, it has small negative ripples; cut off, they would cost FSC at all
    frequencies. data: (z, y, x) float32, the map that was improved, on the same grid. voxels_zyx: (3,), Å. fraction:
    Weight of the input, 0 to 1. The filter has one factor for each Fourier shell: the regression of the improved map on
    the input, 0 where they are opposed. Returns ndarray, (z, y, x) float32."""
    if not fraction or not improved.any():
        return improved
    spectrum = scipy.fft.rfftn(np.asarray(data, np.float32))
    index = shell_numbers(data.shape, voxels_zyx)[0]
    sums = lambda values: np.bincount(index.ravel(), values.ravel())
    cross = sums((spectrum * scipy.fft.rfftn(improved).conj()).real)
    power = sums(spectrum.real**2 + spectrum.imag**2)
    spectrum *= np.maximum(cross / np.maximum(power, 1e-30), 0).astype(np.float32)[index]
    filtered = scipy.fft.irfftn(spectrum, s=data.shape)
    weight = fraction * density_seen(improved, voxels_zyx)
    return ((1 - weight) * improved + weight * filtered).astype(np.float32)


def density_seen(improved: np.ndarray, voxels_zyx: np.ndarray) -> np.ndarray:
    """How far the network sees density at each voxel, 0 to 1. improved: (z, y, x), its answer, not 0 everywhere.
    voxels_zyx: (3,), Å. Returns ndarray, (z, y, x) float32."""
    from scipy.ndimage import gaussian_filter

    density = gaussian_filter(np.maximum(improved, 0), REACH / np.asarray(voxels_zyx, float), mode="constant")
    mean = float((density.astype(float) ** 2).sum() / density.sum(dtype=float))  # weighted by itself: solvent counts 0
    return np.clip(density / (LEVEL * mean), 0, 1)
