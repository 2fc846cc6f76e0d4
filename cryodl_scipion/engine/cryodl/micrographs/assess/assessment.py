# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures of a micrograph's quality: contaminated and carbon area, ice gradient, background."""

import dataclasses

import numpy as np
from scipy import ndimage

from ...contract import particle_size_problem
from ...io.micrographs import finite_median
from ..normalize import rescale_micrograph
from .carbon import find_carbon
from .contamination import find_contamination
from .signs import MIN_ICE, signs_of, smooth_within

WORKING_DIAMETER = 20.0  # px of a particle: enough to tell it from dirt, and a 4k micrograph takes a second
_SMALLEST_SIDE = 128  # px of the working image, however large the particle is
_EDGE = 0.4  # diameters on both sides of a carbon edge in which nothing counts as contamination
_ROWS = 96  # of the coarse picture of the areas


@dataclasses.dataclass(frozen=True)
class Areas:
    """Masks (h, w) bool at the working size. image: (h, w) float array, the micrograph at this size. valid: what of it
    is really there. contaminated: crystals, dirt, holes, on ice and on carbon. edge: the strip along the carbon's."""

    image: np.ndarray
    valid: np.ndarray
    contaminated: np.ndarray
    carbon: np.ndarray
    edge: np.ndarray


@dataclasses.dataclass(frozen=True)
class Assessment(Areas):
    """Areas, and metrics. contaminated_percent, carbon_percent: of the valid area. ice_gradient: 5th to 95th percentile
    of the background of the clean ice, over the noise of the file's pixels; None without clean ice. background: median
    intensity of the file's pixels. signs: of signs_of."""

    contaminated_percent: float
    carbon_percent: float
    ice_gradient: float | None
    background: float
    signs: dict[str, float]


def areas_of(image: np.ndarray, pixel_size: float, diameter: float) -> Areas:
    """Areas of a micrograph. image: (h, w) float32 as read. pixel_size: Å/px. diameter: of the particle, Å. Raises
    ValueError if the particle does not fit the micrograph, or for an image that shows nothing."""
    if problem := particle_size_problem(diameter, pixel_size, min(image.shape)):
        raise ValueError(problem)
    factor = min(1.0, max(WORKING_DIAMETER * pixel_size / diameter, _SMALLEST_SIDE / min(image.shape)))
    diameter_px = diameter / pixel_size * factor
    rescaled, there = rescale_micrograph(image, factor)
    small, valid = rescaled.double().numpy(), there.numpy()
    carbon = find_carbon(small, valid, diameter_px) & valid
    edge, contaminated = _beside(small, valid, carbon, diameter_px)
    if (carbon & contaminated).any():
        # a crystal in a corner may pass for film, and one at the film's edge hide where it is: film is found without it
        apart = ndimage.binary_dilation(contaminated, iterations=max(1, round(diameter_px / 4)))
        again = find_carbon(small, valid & ~apart, diameter_px) & valid
        carbon = again if (again & carbon).any() else np.zeros_like(carbon)
        edge, contaminated = _beside(small, valid, carbon, diameter_px)
    return Areas(small, valid, contaminated, carbon, edge)


def assess(image: np.ndarray, pixel_size: float, diameter: float) -> Assessment:
    """Assessment of a micrograph. image, pixel_size, diameter: as for areas_of, which raises what this does."""
    found = areas_of(image, pixel_size, diameter)
    small, valid, contaminated, carbon = found.image, found.valid, found.contaminated, found.carbon
    diameter_px = diameter / pixel_size * small.shape[0] / image.shape[0]
    area = (valid | contaminated).sum()  # a crystal that is black throughout is not valid, and contaminated
    near = ndimage.binary_dilation(contaminated, iterations=max(1, round(diameter_px / 4)))
    ice, sample = valid & ~carbon & ~found.edge & ~near, image[::7, ::7]
    gradient = _ice_gradient(small, ice, sample, diameter_px)
    return Assessment(
        **vars(found),
        contaminated_percent=float(100 * contaminated.sum() / area),
        carbon_percent=float(100 * carbon.sum() / area),
        ice_gradient=gradient,
        background=finite_median(sample),
        signs=signs_of(image, small, ice, contaminated, valid | contaminated, gradient, pixel_size, diameter),
    )


def area_rows(found: Areas) -> list[str]:
    """A coarse picture of the areas for windows: "1" contaminated, "2" carbon, "0" neither, a text for each row.
    Returns at most _ROWS of at most _ROWS letters, over the whole micrograph; any part counts for a letter."""
    rows, columns = (np.arange(min(_ROWS, n)) * n // min(_ROWS, n) for n in found.carbon.shape)
    any_of = lambda mask: np.maximum.reduceat(np.maximum.reduceat(mask.astype(int), rows), columns, axis=1)
    letters = np.where(any_of(found.contaminated), 1, 2 * any_of(found.carbon & ~found.contaminated))
    return ["".join(map(str, row)) for row in letters]


def _beside(
    small: np.ndarray, valid: np.ndarray, carbon: np.ndarray, diameter_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """(h, w) bool: the strip along the edge of the carbon, and what is contaminated on its two sides."""
    reach = max(1, round(_EDGE * diameter_px))
    inner = ndimage.binary_erosion(carbon, iterations=reach, border_value=1)
    edge = ndimage.binary_dilation(carbon, iterations=reach) & ~inner
    found = [find_contamination(small, part & ~edge & valid, diameter_px) for part in (~carbon, carbon)]
    return edge, found[0] | found[1]


def _ice_gradient(small: np.ndarray, ice: np.ndarray, sample: np.ndarray, diameter_px: float) -> float | None:
    """Range of the smooth background of clean ice over the noise of the file's pixels, None without clean ice. sample:
    every so-many-th row and column of the file."""
    if ice.mean() < MIN_ICE:
        return None
    background = smooth_within(small, ice, 2 * diameter_px)
    low, high = np.percentile(background[ice], (5, 95))
    rows, columns = ((np.arange(n) + 0.5) * m // n for n, m in zip(sample.shape, small.shape))
    position = np.ix_(rows.astype(int), columns.astype(int))
    rest = (sample - background[position])[ice[position] & np.isfinite(sample)]
    noise = 1.4826 * np.median(np.abs(rest - np.median(rest)))
    return float((high - low) / noise) if noise > 0 else None
