# SPDX-License-Identifier: GPL-3.0-or-later
"""The boundary of a feature whose size is known: where the places that a network is surest of have this size.

How high a network scores a ribosome depends on contrast, noise and defocus; how large one is does not. Sure are the
places of which noise of the tomogram's own spectrum has no more than SHARE as many that score as high. Fainter ones
score lower, so that what the noise alone says counts for the rest of OWN."""

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

SHARE, OWN = 0.3, 0.85
LEAST = -3.0  # log odds; what has the size below alone is something else


def peaks_of(odds: np.ndarray, radius: float, filled: float) -> np.ndarray:
    """(n, 2) float32: how high each peak of smoothed log odds is, and the log odds that so much of a ball around it
    exceeds. odds: (z, y, x) float32. radius: px, of the ball. filled: part of it that the feature fills."""
    width = max(2, round(radius))
    smooth = uniform_filter(uniform_filter(odds, width // 2), width // 2)
    inner = tuple(slice(width // 2, n - width // 2) for n in odds.shape)
    highest = (smooth == maximum_filter(smooth, 2 * width + 1)) & (smooth > minimum_filter(smooth, 3))  # no flat areas
    peaks = np.argwhere(highest[inner]) + width // 2
    ball = sum(x**2 for x in np.ogrid[3 * (slice(-width, width + 1),)]) <= radius**2
    around = np.pad(odds, width, constant_values=np.nan)
    balls = (around[tuple(slice(n, n + 2 * width + 1) for n in peak)][ball] for peak in peaks)
    return np.array([smooth[tuple(peaks.T)], [np.nanquantile(one, 1 - filled) for one in balls]], np.float32).T


def boundary_of_size(noise: np.ndarray, found: np.ndarray, between: tuple[float, float], by_noise: float) -> float:
    """Log odds of the boundary: the highest if no sure peak has the size above LEAST. noise, found: (n, 2),
    peaks_of noise and of the blocks that it was made of. between: least and most log odds. by_noise: those that noise
    alone asks for."""
    found = found[np.argsort(-found[:, 0])]
    higher = len(noise) - np.searchsorted(np.sort(noise[:, 0]), found[:, 0])
    sure = np.flatnonzero(higher <= SHARE * np.arange(1, len(found) + 1))
    levels = found[: sure[-1] + 1 if len(sure) else 0, 1]
    if not (levels > LEAST).any():
        return between[1]
    return OWN * float(np.clip(levels, *between).mean()) + (1 - OWN) * by_noise
