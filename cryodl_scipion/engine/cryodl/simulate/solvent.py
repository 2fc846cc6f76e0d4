# SPDX-License-Identifier: GPL-3.0-or-later
"""The molecule in a density map, apart from solvent noise, the ripple of a sharp resolution cut, and dust."""

import numpy as np

BLUR = 4.0  # Å, Gaussian: it leaves the outline of a molecule, and little of ripple at 10 Å or finer
BODY = 0.18  # of the blurred interior's density: the outline, about one BLUR outside of the surface
NOISE = 5.0  # standard deviations of the blurred solvent below which nothing is the molecule
DUST = 0.03  # of the largest connected component's mass, below which another is dropped
MINIMUM = 500  # voxels of solvent from which its noise is measured
TAIL = 1.5  # how much longer the tail of negative values is, if protein is negative
EXACT = 1e-4  # of the maximum: a map whose values fall less below its solvent has neither noise nor ripple
ROUNDS = 4  # of outline and solvent


def without_solvent(data: np.ndarray, voxels: np.ndarray) -> tuple[np.ndarray, bool]:
    """A map's molecule alone, protein positive, and whether protein was negative in the map.

    Parameters
    ----------
    data : ndarray, (z, y, x)
        Density in any unit, with any offset.
    voxels : ndarray, (3,)
        Voxel size along z, y, x, Å.

    Returns
    -------
    density : ndarray, (z, y, x) float32
        Solvent zero, nothing negative. All zero if nothing rises above the solvent.
    dark : bool
        Whether protein is negative in `data`; the sign of `density` is changed.

    Notes
    -----
    The outline is that of connected density of the blurred map above both BODY of the molecule's interior and NOISE
    standard deviations of all the solvent, which may be noisy near the molecule and zero in the corners.
    """
    from scipy.ndimage import gaussian_filter

    data = data.astype(np.float32) - _first_level(data)
    smooth = gaussian_filter(data, np.maximum(BLUR / voxels, 0.7))
    dark = is_dark(smooth)
    if dark:
        data, smooth = -data, -smooth
    if data.min() >= -EXACT * data.max():  # neither noise nor ripple: the tails of the density are its own
        return np.maximum(data, 0), dark
    outline, level = _outline(smooth)
    return np.where(outline, np.maximum(data - level, 0), 0).astype(np.float32), dark


def is_dark(smooth: np.ndarray) -> bool:
    """Whether the long tail of a blurred map's values, less those of the solvent, is negative."""
    low, high = np.percentile(smooth, [0.1, 99.9])
    return bool(float((smooth.astype(np.float64) ** 3).mean()) < 0 and -low > TAIL * high)


def _first_level(data: np.ndarray) -> float:
    """Median outside of the ellipsoid that the box holds."""
    axes = [(np.arange(n) - n // 2) / max(n / 2, 1) for n in data.shape]
    outside = data[axes[0][:, None, None] ** 2 + axes[1][:, None] ** 2 + axes[2] ** 2 > 1]
    return float(np.median(outside)) if outside.size else 0.0


def _outline(smooth: np.ndarray) -> tuple[np.ndarray, float]:
    """Bool array of the molecule's voxels, and the density of its solvent."""
    outline, level, threshold = np.zeros(smooth.shape, bool), 0.0, 0.3 * float(smooth.max())
    if not threshold > 0:
        return outline, 0.0
    for _ in range(ROUNDS):
        outline = _without_dust(smooth, smooth > threshold)
        solvent = smooth[(smooth < threshold) & (smooth != 0)]
        noise = 0.0
        if solvent.size > MINIMUM:
            level = float(np.median(solvent))
            noise = 1.4826 * float(np.median(np.abs(solvent - level)))
        interior = float(np.median(smooth[outline])) if outline.any() else float(smooth.max())
        threshold = level + max(BODY * (interior - level), NOISE * noise)
    return outline, level


def _without_dust(smooth: np.ndarray, above: np.ndarray) -> np.ndarray:
    """The connected components that hold at least DUST of the largest one's mass."""
    from scipy.ndimage import label

    labels, count = label(above)
    if count < 2:
        return above
    mass = np.bincount(labels.ravel(), np.where(above, smooth, 0).ravel())
    return (mass >= DUST * mass[1:].max())[labels] & above
