# SPDX-License-Identifier: GPL-3.0-or-later
"""The slice that is shown, and its display."""

from __future__ import annotations

import typing

import numpy as np

from ...io.files import evenly_spaced

if typing.TYPE_CHECKING:
    from ...io.tomograms import Tomogram

AVERAGED = (1, 3, 5, 9)  # slices that are shown as one
SAMPLED, WIDTH = 7, 500  # slices, and px along their sides, that the grey values are measured in


class ShownSlices:
    """tomograms: list of (name, Tomogram, pixel size in Å/px). Only what is shown is read."""

    def __init__(self, tomograms: typing.Sequence[tuple[str, Tomogram, float]]) -> None:
        self.tomograms, self.number, self.z, self.averaged, self.contrast = tomograms, 0, 0, 1, 1.0
        self._limits: dict[tuple[int, int], tuple[float, float]] = {}

    @property
    def name(self) -> str:
        """Name of the tomogram that is shown."""
        return self.tomograms[self.number][0]

    @property
    def shape(self) -> tuple[int, ...]:
        """(z, y, x) of the tomogram."""
        return self.tomograms[self.number][1].shape

    def image(self) -> np.ndarray:
        """(h, w) float32 of what is shown: the slice, or the mean of `averaged` slices around it."""
        return self._mean(self.z)

    def limits(self) -> tuple[float, float]:
        """Values shown as black and white: percentiles 1 and 99 of some slices of the tomogram, drawn together by the
        contrast."""
        key = self.number, self.averaged
        if key not in self._limits:
            low, high = np.percentile(self._sample(), (1, 99))
            self._limits[key] = float(low), float(high if high > low else low + 1)
        low, high = self._limits[key]
        middle, half = (low + high) / 2, (high - low) / 2 / self.contrast
        return middle - half, middle + half

    def change_averaging(self) -> None:
        """Show the mean of the next number of slices."""
        self.averaged = AVERAGED[(AVERAGED.index(self.averaged) + 1) % len(AVERAGED)]

    def change_contrast(self, step: int) -> None:
        """More contrast, or less for a negative number of steps."""
        self.contrast = float(np.clip(self.contrast * 1.25**step, 0.1, 10))

    def _sample(self) -> list[np.ndarray]:
        """Values of some slices; those that cannot be read are left out. Raises ValueError if that is all of them."""
        step, values = max(1, max(self.shape[1:]) // WIDTH), []
        for z in evenly_spaced(range(self.shape[0]), SAMPLED):
            try:
                values.append(self._mean(z)[::step, ::step])
            except ValueError as error:
                reason = error  # Python forgets `error` at the end of this block
        if not values:
            raise reason
        return values

    def _mean(self, z: int) -> np.ndarray:
        first = max(z - self.averaged // 2, 0)
        return self.tomograms[self.number][1].part((first, z + self.averaged // 2 + 1)).mean(axis=0)
