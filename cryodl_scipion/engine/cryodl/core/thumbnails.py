# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs small enough to look at."""

import numpy as np

DARKEST, BRIGHTEST = 0.5, 99.5  # percentiles: hot pixels and holes must not decide the contrast


def block_means(image: np.ndarray, side: int) -> tuple[np.ndarray, int]:
    """An image averaged over square blocks, so that its longer side has at most `side` px. image: (h, w). side: px.
    Returns means: (h // n, w // n) float32, without the last incomplete blocks. n: px of the image per px of means."""
    binning = max(1, -(-max(image.shape) // side))
    if binning == 1:
        return np.asarray(image, np.float32), 1
    height, width = (length // binning for length in image.shape)
    part = image[: height * binning, : width * binning]
    rows = np.add.reduce(part.reshape(height, binning, width * binning), axis=1, dtype=np.float32)
    return rows.reshape(height, width, binning).sum(axis=2) / binning**2, binning


def grey_limits(image: np.ndarray) -> tuple[float, float]:
    """Values to show as black and white; 0 and 1 more than the image's value if it has only one. image: (h, w), values
    that are not finite are passed over."""
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, (DARKEST, BRIGHTEST)) if finite.size else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1)
