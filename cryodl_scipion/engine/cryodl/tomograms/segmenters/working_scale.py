# SPDX-License-Identifier: GPL-3.0-or-later
"""Working pixel size of a segmenter, and the grey-value statistics of a tomogram at it."""

from __future__ import annotations

import itertools
import typing

import numpy as np

if typing.TYPE_CHECKING:
    from ...io.tomograms import Tomogram

SAME = 0.02  # pixel sizes nearer to each other than this are the same
SUBVOLUMES, SIDE, LONGEST = 5, 40, 96  # bricks along each axis, at most; their side in working px, and at most in px
MOSTLY = 0.5  # part of a brick that may be of one value: filled corners tell nothing


def resampling_factor(pixel_size: float, working: float) -> float:
    """Pixel size of a tomogram over the working pixel size: its resampling factor; 1.0 if nearly the same."""
    factor = pixel_size / working
    return 1.0 if abs(factor - 1) < SAME else factor


def working_sizes(sizes: typing.Sequence[float], wanted: float | None, notes: list[str]) -> tuple[float, list[float]]:
    """Working pixel size of a network (Å/px), and the resampling factor of each tomogram.

    sizes: Å/px of the tomograms. wanted: Å/px or None for the coarsest. notes: list that a sentence is added to where
    pixel sizes differ.
    """
    working = wanted or max(sizes)
    if wanted is None and min(sizes) < (1 - SAME) * working:
        notes.append(
            f"Pixel sizes range from {min(sizes):g} to {working:g} Å/px; all are resampled to {working:g} Å/px."
        )
    return working, [resampling_factor(size, working) for size in sizes]


def grey_statistics(tomogram: Tomogram, factor: float = 1.0) -> tuple[float, float]:
    """(middle, width) of a tomogram's grey values at the working pixel size: median, and half of what 68 % span.

    tomogram: io.tomograms.Tomogram, of which up to 125 bricks spread over it are read. factor: of working_factor.
    Raises ValueError if it is the same everywhere.
    """
    import torch

    from .resample import resample_whole, resampled_length

    side, subvolumes = min(LONGEST, max(1, round(SIDE / factor))), []
    for ranges in itertools.product(*(_spans(n, side) for n in tomogram.shape)):
        subvolume = tomogram.part(*ranges)
        if np.mean(subvolume == np.median(subvolume)) <= MOSTLY:
            subvolume = resample_whole(torch.from_numpy(subvolume), resampled_length(subvolume.shape, factor)).numpy()
            subvolumes.append(subvolume.ravel())
    if not subvolumes:
        raise ValueError(
            f"{tomogram.path} has the same value nearly everywhere. Check that it is the reconstruction, and not a "
            "mask or an empty volume."
        )
    return values_statistics(np.concatenate(subvolumes))


def values_statistics(values: np.ndarray) -> tuple[float, float]:
    """(middle, width) of an array. Raises ValueError if most of it is of one value."""
    low, middle, high = np.percentile(values, (16, 50, 84))
    if not high > low:
        raise ValueError("The images have the same value nearly everywhere.")
    return float(middle), float(high - low) / 2


def _spans(size: int, side: int) -> list[tuple[int, int]]:
    """Up to BRICKS (start, stop) of a length, spread over an axis and apart where there is room."""
    count, side = min(SUBVOLUMES, max(1, size // side)), min(side, size)
    if count == 1:
        return [((size - side) // 2, (size - side) // 2 + side)]
    return [(round(k), round(k) + side) for k in np.linspace(0, size - side, count)]
