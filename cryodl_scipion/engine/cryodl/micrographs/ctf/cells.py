# SPDX-License-Identifier: GPL-3.0-or-later
"""A power spectrum in cells of direction and frequency, without its smooth background."""

import dataclasses

import numpy as np
from scipy import fft

SECTORS = 36
_AXES = 1.5  # samples beside both axes that detectors' lines disturb
_SPOT = 6.0  # standard deviations above the ring's median: spots of crystals are cut down to it
_DEGREE = 4  # of the background's polynomial: more would take the few rings of coarse pixels for background
_MIN_RINGS = 8  # of frequencies: fewer could not be told from the background's terms
_START = 0.15  # where the background's falling terms begin, in bands


@dataclasses.dataclass(frozen=True)
class SpectrumCells:
    """A power spectrum in cells of direction and frequency, divided by its smooth background.

    Parameters
    ----------
    values : (sectors, rings) array
        Power over background, less 1.
    weights : (sectors, rings) array
        How many samples a cell holds.
    frequency : (rings,) array
        1/Å.
    squared : (sectors, rings) array
        Mean squared frequency of a cell, 1/Å^2.
    azimuth : (sectors,) array
        Middle direction, radians, from the x axis towards the y axis.
    tile : float
        Side of the tiles, Å.
    """

    values: np.ndarray
    weights: np.ndarray
    frequency: np.ndarray
    squared: np.ndarray
    azimuth: np.ndarray
    tile: float


def spectrum_cells(power: np.ndarray, count: int, pixel_size: float, lowest: float, highest: float) -> SpectrumCells:
    """The part of a spectrum that is fitted.

    Parameters
    ----------
    power : (side, side // 2 + 1) array
        Of mean_spectrum.
    count : int
        Tiles in the mean.
    pixel_size : float
        Å/px.
    lowest, highest : float
        Limits of the frequency, 1/Å.

    Raises
    ------
    ValueError
        For too few frequencies between the limits.
    """
    side = len(power)
    tile = side * pixel_size
    y, x = fft.fftfreq(side)[:, None] * side, np.arange(side // 2 + 1)[None]
    radius = np.hypot(y, x)
    first, last = max(2, int(np.ceil(lowest * tile))), int(highest * tile)
    if last - first < _MIN_RINGS:
        raise ValueError(
            f"its tiles of {tile:.0f} Å have {max(0, last - first + 1)} frequencies from {1 / lowest:.3g} to "
            f"{1 / highest:.3g} Å, too few for a fit. Give a larger micrograph or a wider range of resolution."
        )
    ring = np.rint(radius).astype(int)
    inside = (ring >= first) & (ring <= last) & (np.abs(y) > _AXES) & (np.abs(x) > _AXES)
    ring, position = ring[inside] - first, np.nonzero(inside)
    azimuth = np.arctan2(np.broadcast_to(y, power.shape)[position], np.broadcast_to(x, power.shape)[position]) % np.pi
    rings = last - first + 1
    values = _without_spots(power[position], ring, rings, count)
    cell = np.minimum((azimuth / np.pi * SECTORS).astype(int), SECTORS - 1) * rings + ring
    weights, sums, squares = (
        np.bincount(cell, w, SECTORS * rings).reshape(SECTORS, rings)
        for w in (None, values, (radius[position] / tile) ** 2)
    )
    filled = np.maximum(weights, 1)
    frequency = (np.arange(rings) + first) / tile
    squared = np.where(weights > 0, squares / filled, frequency**2)
    background = smooth_profile(sums.sum(0) / np.maximum(weights.sum(0), 1), weights.sum(0))
    values = np.where(weights > 0, sums / filled / background - 1, 0)
    return SpectrumCells(
        values, weights.astype(float), frequency, squared, (np.arange(SECTORS) + 0.5) * np.pi / SECTORS, tile
    )


def _without_spots(values: np.ndarray, ring: np.ndarray, rings: int, count: int) -> np.ndarray:
    """Values, those far above their ring's median cut down: spots of crystals and of compression."""
    order = np.lexsort((values, ring))
    sizes = np.bincount(ring, minlength=rings)
    starts = np.cumsum(sizes) - sizes
    median = values[order][np.minimum(starts + sizes // 2, len(values) - 1)]
    return np.minimum(values, median[ring] * (1 + _SPOT / np.sqrt(count)))


def background_terms(rings: int) -> np.ndarray:
    """Smooth functions of the frequency, of which a background is made: polynomials, and two that fall as particles'
    power does.

    Parameters
    ----------
    rings : int
        Number of frequencies.

    Returns
    -------
    (terms, rings) array
    """
    position = np.linspace(-1, 1, rings)
    inverse = 1 / np.linspace(_START, 1, rings)
    return np.concatenate([np.polynomial.legendre.legvander(position, _DEGREE).T, [inverse, inverse**3]])


def smooth_profile(profile: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A smooth function through a radial profile of a power spectrum.

    Parameters
    ----------
    profile : (rings,) array
        Mean power.
    weights : (rings,) array
        Samples of each.

    Returns
    -------
    (rings,) array, positive
    """
    logarithm = np.log(np.maximum(profile, 1e-12 * profile.max()))
    terms = background_terms(len(profile))
    root = np.sqrt(weights)
    return np.exp(terms.T @ np.linalg.lstsq((terms * root).T, logarithm * root, rcond=None)[0])
