# SPDX-License-Identifier: GPL-3.0-or-later
"""A micrograph before and after denoising, side by side, and the power spectra of both."""

from typing import Any, Optional, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..plots import drawMicrograph
from ..preview import readImage

BEFORE, AFTER = "#4477aa", "#cc6677"
_PATCH = 512  # px: large enough for the coarse detail that is looked at, small enough to average over many
_MAX_PATCHES = 36


def radialPower(image: np.ndarray, pixelSize: float) -> Any:
    """Frequencies (1/Å) and mean power at each, of patches of an (h, w) image. Two (n,) arrays."""
    side = min(_PATCH, *image.shape) // 2 * 2
    rows, columns = (
        np.unique(np.linspace(0, n - side, max(1, min(int(_MAX_PATCHES**0.5), n // side))).astype(int))
        for n in image.shape
    )
    window = np.hanning(side)[:, None] * np.hanning(side)
    power: Any = 0
    for y in rows:
        for x in columns:
            patch = np.nan_to_num(np.asarray(image[y : y + side, x : x + side], np.float32))
            power = power + np.abs(np.fft.rfft2((patch - patch.mean()) * window)) ** 2
    ring = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)) * side
    index = np.rint(ring).astype(int).ravel()
    mean = np.bincount(index, power.ravel()) / np.maximum(np.bincount(index), 1)
    rings = np.arange(2, side // 2)  # ring 1 is the window's
    return rings / (side * pixelSize), mean[rings] / (len(rows) * len(columns) * (window**2).sum())


def drawPair(figure: Figure, before: Optional[str], after: Any) -> Any:
    """The two pictures beside each other and an empty position for spectra below. before, after: Previews.

    Returns three axes.
    """
    figure.clear()
    grid = figure.add_gridspec(
        2, 2, height_ratios=(3, 1), left=0.06, right=0.99, top=0.95, bottom=0.09, wspace=0.03, hspace=0.1
    )
    left, right, below = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, :])
    for axes, preview, title in ((left, before, "Original"), (right, after, "Denoised")):
        drawMicrograph(axes, preview)
        axes.set_title(title)
    return left, right, below


def drawSpectra(axes: Axes, paths: Sequence[str], pixelSize: float) -> None:
    """Power spectra of the files before and after. pixelSize: Å/px."""
    axes.clear()
    for path, label, colour in zip(paths, ("original", "denoised"), (BEFORE, AFTER)):
        frequency, power = radialPower(readImage(path), pixelSize)
        axes.semilogy(frequency, np.maximum(power, 1e-12 * power.max()), label=label, color=colour)
    axes.set_xlabel("Frequency (1/Å)")
    axes.set_ylabel("Power")
    axes.grid(alpha=0.3)
    axes.legend()
