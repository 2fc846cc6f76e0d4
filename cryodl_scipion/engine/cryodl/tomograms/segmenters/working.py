# SPDX-License-Identifier: GPL-3.0-or-later
"""A tomogram read by parts at a working pixel size, normalised over all of it."""

import typing

import numpy as np
import torch

from ...contract.frames import rescaled
from ...io.tomograms import Tomogram
from .slabs import LIMIT
from .working_scale import grey_statistics, needed_range, resample_part, resampled_length, resampling_factor

THINNEST = 8  # slices of what is called a tomogram


class WorkingTomogram:
    """Parts of a tomogram at a working pixel size: grey values with middle 0 and width 1, extremes clipped. tomogram:
    Tomogram. pixel_size: Å/px to take for it. working: Å/px. shape: (z, y, x) at the working pixel size. Raises
    ValueError for images, and for tomograms that are the same everywhere."""

    def __init__(self, tomogram: Tomogram, pixel_size: float, working: float) -> None:
        check_volume(tomogram)
        self.tomogram = tomogram
        self.factor = resampling_factor(pixel_size, working)
        self.pixel_size = pixel_size / self.factor
        self.shape = resampled_length(tomogram.shape, self.factor)
        self.middle, self.width = grey_statistics(tomogram, self.factor)

    def part(self, ranges: typing.Sequence[tuple[int, int]]) -> torch.Tensor:
        """(z, y, x) float32 tensor of the working voxels [start, stop) along each axis."""
        read = [needed_range(a, b, n, m) for (a, b), m, n in zip(ranges, self.shape, self.tomogram.shape)]
        part = torch.from_numpy(self.tomogram.part(*read))
        part = resample_part(part, [r[0] for r in read], self.tomogram.shape, self.shape, ranges)
        return ((part - self.middle) / self.width).clamp_(-LIMIT, LIMIT)

    def in_tomogram(self, zyx: np.ndarray) -> np.ndarray:
        """(n, 3) px of the tomogram of positions (n, 3) in working px."""
        return rescaled(zyx, np.array(self.tomogram.shape) / np.array(self.shape))


def check_volume(tomogram: Tomogram) -> None:
    """Raises ValueError for an image or a thin stack."""
    z, y, x = tomogram.shape
    if min(tomogram.shape) < THINNEST:
        raise ValueError(
            f"{tomogram.path} has {z} {'slice' if z == 1 else 'slices'} of {x} x {y} px: it is an image or a thin "
            "stack, not a tomogram. Give volumes."
        )
