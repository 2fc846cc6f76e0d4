# SPDX-License-Identifier: GPL-3.0-or-later
"""The micrograph that is shown, reduced so that it is drawn quickly whatever its size."""

import numpy as np

from ...core.thumbnails import block_means, grey_limits
from ...io.micrographs import read_micrograph

SIDE = 1000  # px drawn, at most
LOW_PASS = (0, 10, 20, 40, 80)  # Å; 0: none


class Shown:
    """micrographs: list of (name, file). pixel_size: Å/px.

    Attributes
    ----------
    number, shape
        Of the micrograph that is shown; (h, w) in px.
    small, binning
        The whole micrograph in blocks of `binning` px.
    readable
        False if the micrograph's file cannot be read.
    """

    def __init__(self, micrographs: list, pixel_size: float) -> None:
        self.micrographs, self.pixel_size = micrographs, pixel_size
        self.number, self.contrast, self.low_pass = 0, 1.0, 0
        self.blank()

    def load(self, number: int) -> None:
        """Read a micrograph. Raises ValueError or OSError."""
        self.number = number
        self.full = read_micrograph(self.micrographs[number][1])
        self.shape, self.readable = self.full.shape, True
        self.small, self.binning = block_means(self.full, SIDE)
        self._limits: dict[int, tuple[float, float]] = {}

    def blank(self) -> None:
        """An empty picture in place of a micrograph that cannot be read."""
        self.full = self.small = np.zeros((16, 16), np.float32)
        self.shape, self.binning, self.readable, self._limits = (16, 16), 1, False, {}

    @property
    def name(self) -> str:
        """Name of the micrograph that is shown."""
        return self.micrographs[self.number][0]

    def inside(self, y: float, x: float) -> bool:
        """Whether a position lies in the micrograph."""
        return -0.5 <= y < self.shape[0] - 0.5 and -0.5 <= x < self.shape[1] - 0.5

    def picture(
        self, rows: tuple[float, float], columns: tuple[float, float]
    ) -> tuple[np.ndarray, tuple[float, float, float, float]]:
        """A part of the micrograph as it is drawn.

        Parameters
        ----------
        rows, columns
            First and last place of the part, in px.

        Returns
        -------
        (h, w) float32 of at most SIDE px, low-passed, and its left, right, bottom and top edges in px.
        """
        (top, bottom), (left, right) = (
            (max(0, int(low + 0.5)), min(count, int(high + 1.5)))
            for (low, high), count in zip((rows, columns), self.shape)
        )
        if (bottom - top, right - left) == self.shape:
            part, binning = self.small, self.binning
        else:
            part, binning = block_means(self.full[top:bottom, left:right], SIDE)
        part = self._filtered(np.nan_to_num(part), binning)
        height, width = (n * binning for n in part.shape)
        return part, (left - 0.5, left - 0.5 + width, top - 0.5 + height, top - 0.5)

    def limits(self) -> tuple[float, float]:
        """Values shown as black and white: percentiles of the whole picture, drawn together by the contrast."""
        if self.low_pass not in self._limits:
            self._limits[self.low_pass] = grey_limits(self._filtered(np.nan_to_num(self.small), self.binning))
        low, high = self._limits[self.low_pass]
        middle, half = (low + high) / 2, (high - low) / 2 / self.contrast
        return middle - half, middle + half

    def change_contrast(self, step: int) -> None:
        """More contrast, or less for a negative number of steps."""
        self.contrast = float(np.clip(self.contrast * 1.25**step, 0.1, 20))

    def change_low_pass(self, step: int) -> None:
        """The next stronger (step 1) or weaker (-1) low-pass filter."""
        position = LOW_PASS.index(self.low_pass) + step
        self.low_pass = LOW_PASS[int(np.clip(position, 0, len(LOW_PASS) - 1))]

    def _filtered(self, image: np.ndarray, binning: int) -> np.ndarray:
        """Gaussian filter that halves the amplitude at the resolution `low_pass`."""
        if not self.low_pass:
            return image
        from scipy.ndimage import gaussian_filter

        sigma = np.sqrt(np.log(2) / 2) / np.pi * self.low_pass / (self.pixel_size * binning)
        return gaussian_filter(image, sigma, mode="nearest", truncate=3) if sigma > 0.2 else image
