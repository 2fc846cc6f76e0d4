# SPDX-License-Identifier: GPL-3.0-or-later
"""The mean power spectrum of a micrograph's tiles."""

import numpy as np
from scipy import fft

from ..normalize import rescale_micrograph

TILE = 1500.0  # Å: rings of 4 µm defocus are four samples apart at 5 Å
_MIN_TILE = 64  # px
_MAX_TILE = 2048  # px: bounds memory
_MIN_VALID = 0.95  # part of a tile that must be real
_MAX_DECAY = 1e4  # of the power from 150-30 Å to beyond 20 Å: real micrographs have 1 to 100
_MASK = 512  # px: longer side of the mask of what is real
_OUTLIER = 12.0  # robust standard deviations


def mean_spectrum(image: np.ndarray, pixel_size: float) -> tuple[np.ndarray, int]:
    """Mean power spectrum of overlapping tiles, each with the same total power.

    Parameters
    ----------
    image : (h, w) float32 array
        Micrograph as read.
    pixel_size : float
        Å/px.

    Returns
    -------
    (side, side // 2 + 1) float array
        On the grid of rfft2.
    int
        Number of tiles.

    Raises
    ------
    ValueError
        For an image without contrast, mostly not-a-number, or without a whole tile.
    """
    valid, middle, limit = _what_is_there(image)
    side = fft.next_fast_len(int(min(max(_MIN_TILE, round(TILE / pixel_size)), _MAX_TILE, *image.shape)))
    side = min(side, *image.shape) // 2 * 2
    window = np.hanning(side + 1)[:side].astype(np.float32)
    window = window[:, None] * window
    total, count = np.zeros((side, side // 2 + 1)), 0
    for top, left in ((y, x) for y in _starts(image.shape[0], side) for x in _starts(image.shape[1], side)):
        there = valid[
            _scaled(top, image, valid, 0) : _scaled(top + side, image, valid, 0),
            _scaled(left, image, valid, 1) : _scaled(left + side, image, valid, 1),
        ]
        if there.mean() < _MIN_VALID:
            continue
        tile = np.nan_to_num(image[top : top + side, left : left + side] - middle, nan=0, posinf=0, neginf=0)
        tile = np.clip(tile, -limit, limit)
        power = np.abs(fft.rfft2((tile - tile.mean()) * window)) ** 2
        level = power[side // 16 : side // 4, side // 16 : side // 4].mean()
        if level > 0:
            total += power / level
            count += 1
    if not count:
        raise ValueError(
            f"no square of {side * pixel_size:.0f} Å is free of filled margins, constant areas and pixels "
            "that are not numbers."
        )
    _check_decay(total, pixel_size)
    return total / count, count


def _check_decay(power: np.ndarray, pixel_size: float) -> None:
    """Raises ValueError for a spectrum that falls as no unfiltered micrograph's does: nothing is left of its rings."""
    side = len(power)
    y, x = fft.fftfreq(side, pixel_size)[:, None], np.arange(side // 2 + 1)[None] / (side * pixel_size)
    frequency = np.hypot(y, x)
    low = power[(frequency > 1 / 150) & (frequency < 1 / 30)]
    high = power[(frequency > min(1 / 20, 0.3 / pixel_size)) & (frequency < 0.45 / pixel_size)]
    decay = low.mean() / max(np.median(high), 1e-30) if len(low) else 0
    if decay > _MAX_DECAY:
        raise ValueError(
            f"its power falls by a factor of {decay:,.0f} from 150-30 Å to fine detail. Only smoothed or denoised "
            "micrographs, which have no Thon rings, do so. Use the original average of the frames."
        )


def _what_is_there(image: np.ndarray) -> tuple[np.ndarray, float, float]:
    """A small (h, w) bool mask of what is real, the median, and how far from it values are not outliers."""
    _, valid = rescale_micrograph(image, min(1.0, _MASK / max(image.shape)))
    sample = image[::7, ::7]
    sample = sample[np.isfinite(sample)]
    middle = np.median(sample)
    deviation = 1.4826 * np.median(np.abs(sample - middle))
    return valid.numpy(), middle, _OUTLIER * (deviation if deviation > 0 else sample.std())


def _scaled(position: int, image: np.ndarray, mask: np.ndarray, axis: int) -> int:
    return round(position * mask.shape[axis] / image.shape[axis])


def _starts(length: int, side: int) -> np.ndarray:
    """First pixels of tiles that overlap by half or a little more, from edge to edge."""
    number = int(np.ceil(2 * (length - side) / side)) + 1
    return np.linspace(0, length - side, number).astype(int)
