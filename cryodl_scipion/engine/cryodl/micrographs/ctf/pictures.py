# SPDX-License-Identifier: GPL-3.0-or-later
"""A power spectrum beside the fitted CTF, as a picture."""

import numpy as np
from scipy import ndimage

from . import estimate, model

SIDE = 384  # px
_SMOOTH = 1.0  # px
_CONTRAST = 3.0  # standard deviations


def spectrum_picture(fit: estimate.CtfFit, microscope: model.Microscope, pixel_size: float) -> np.ndarray:
    """The measured power spectrum in the right half, the fitted one in the left. pixel_size: Å/px of the micrograph.
    Returns (SIDE, SIDE) float32 array, from 0 to 1; the middle is frequency 0, the border the highest frequency that
    was compared."""
    highest = fit.profile.frequency[-1]
    axis = (np.arange(SIDE) - SIDE // 2) / (SIDE // 2) * highest
    y, x = axis[:, None], axis[None]
    frequency = np.hypot(y, x)
    data = np.clip(0.5 + _measured(fit.power, y, x, pixel_size) / (2 * _CONTRAST), 0, 1)
    half = 0.5 * (fit.defocus_u - fit.defocus_v)
    angle = 2 * np.radians(fit.defocus_angle)
    defocus = model.defocus_at(
        np.arctan2(y, x), 0.5 * (fit.defocus_u + fit.defocus_v), half * np.array([np.cos(angle), np.sin(angle)])
    )
    squared = frequency**2
    phase = defocus * microscope.defocus_factor(squared) + microscope.fixed_phase(squared) + np.radians(fit.phase_shift)
    picture = np.where(np.arange(SIDE) < SIDE // 2, np.sin(phase) ** 2, data)
    picture[frequency > highest] = 0.5
    return picture.astype(np.float32)


def _measured(power: np.ndarray, y: np.ndarray, x: np.ndarray, pixel_size: float) -> np.ndarray:
    """The spectrum at frequencies in 1/Å, each ring with mean 0 and a standard deviation near 1."""
    side = len(power)
    step = side * pixel_size
    # the half of the plane where x is negative is the same as the other
    rows, columns = (np.where(x < 0, -y, y) * step) % side, np.abs(x) * step + 0 * y
    smooth = ndimage.gaussian_filter(power, _SMOOTH, mode=("wrap", "nearest"))
    values = np.log(
        np.maximum(ndimage.map_coordinates(smooth, [rows, columns], order=1, mode="grid-wrap"), 1e-12 * power.max())
    )
    ring = np.rint(np.hypot(y, x) / np.abs(x).max() * (len(x.ravel()) // 2)).astype(int)
    mean = np.bincount(ring.ravel(), values.ravel()) / np.maximum(np.bincount(ring.ravel()), 1)
    rest = values - ndimage.gaussian_filter1d(mean, 0.05 * len(mean), mode="nearest")[ring]
    return rest / max(1.4826 * np.median(np.abs(rest - np.median(rest))), 1e-12)
