# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures of a micrograph's quality: contaminated and carbon area, ice gradient, background; and signs of a bad
one: how much stands out of the noise, uneven ice, lost directions, crystals, lost positions. The signs do not depend on
the file's grey values, and compare a micrograph with what noise alone would show."""

import dataclasses
import math

import numpy as np
from scipy import ndimage

from ...contract import particle_size_problem
from ...io.micrographs import finite_median
from ..normalize import rescale_micrograph
from .carbon import find_carbon
from .contamination import find_contamination

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


DOSE = 40.0  # electrons/Å² of a usual exposure
FREE_PATH = 395.0  # nm in ice at 300 kV, inelastic
MIN_ICE = 0.02  # part of the micrograph that must be clean ice to say anything about it
_FEWEST_PLACES = 100  # squared diameters of clean ice: in less, faint particles may be too few to tell
_SCALES, _WIDER = (0.07, 0.14, 0.28), 1.8  # diameters: the finer Gaussian of each band; the coarser one, times that
_PARTS = 3  # of each side of the field
_PATCHES = (256, 128, 64)  # px; smaller ones where nothing larger is clean
_MOST_PATCHES, _FEWEST_PATCHES = 100, 4
_PER_OCTAVE = 2  # bins of frequency in which directions are compared
_LATTICE = (3.4, 4.0)  # Å: the first reflections of ice lie at 3.44 to 3.9


def signs_of(
    image: np.ndarray,
    small: np.ndarray,
    ice: np.ndarray,
    contaminated: np.ndarray,
    field: np.ndarray,
    gradient: float | None,
    pixel_size: float,
    diameter: float,
) -> dict[str, float]:
    """All signs of a micrograph; those of clean ice are missing where there is too little. image: (h, w) as read.
    small: (h', w') at the working size, as ice (clean ice), contaminated and field (what is really there), which are
    bool. gradient: range of the background over the noise of a pixel of the file. pixel_size, diameter: Å/px and Å.
    Returns lost: part of the field in which a particle would touch contamination. seen: how certain it is that dark
    spots differ from bright ones, standard deviations of noise alone. thickness: nm by which the ice differs over the
    field, at DOSE. loss: part of the power that one direction lacks, over half an octave. angle: that direction,
    degrees from x towards y. finest: Å, from where on. spots: strongest power near 3.7 Å over the median there."""
    diameter_px = diameter / pixel_size * small.shape[0] / image.shape[0]
    apart = ndimage.distance_transform_edt(~contaminated) if contaminated.any() else np.full(field.shape, np.inf)
    found = dict(
        lost=float((field & (apart < diameter_px / 2)).sum() / max(1, field.sum())),
        thickness=FREE_PATH * math.log1p((gradient or 0.0) / math.sqrt(DOSE * pixel_size**2)),
    )
    if ice.mean() < MIN_ICE:
        return found
    if ice.sum() > _FEWEST_PLACES * diameter_px**2:
        found["seen"] = _seen(small, ice, diameter_px)
    return {**found, **_of_spectrum(image, ice, pixel_size, diameter)}


def smooth_within(image: np.ndarray, mask: np.ndarray, sigma: float) -> np.ndarray:
    """(h, w) Gaussian mean over what a mask holds. image: (h, w). mask: (h, w) bool. sigma: px."""
    smooth = lambda values: ndimage.gaussian_filter(values, sigma, mode="nearest", truncate=3)
    return smooth(np.where(mask, image, 0.0)) / np.maximum(smooth(mask.astype(float)), 1e-3)


def _seen(small: np.ndarray, ice: np.ndarray, diameter_px: float) -> float:
    """How certain it is that clean ice shows more than noise: Gaussian noise of any spectrum has no skewness."""
    flat = np.where(ice, small - smooth_within(small, ice, 2 * diameter_px), 0.0)
    limit = 8 * 1.4826 * np.median(np.abs(flat[ice])) + 1e-12
    flat, distance = np.clip(flat, -limit, limit), ndimage.distance_transform_edt(np.pad(ice, 1))[1:-1, 1:-1]
    certain = []
    for sigma in (scale * diameter_px for scale in _SCALES):
        band = ndimage.gaussian_filter(flat, sigma) - ndimage.gaussian_filter(flat, _WIDER * sigma)
        inner = distance > _WIDER * sigma
        inner = inner if inner.sum() > 100 else ice
        samples = max(4.0, inner.sum() / (4 * math.pi * max(sigma, 0.6) ** 2))
        certain.append(_usual_skewness(band, inner) * math.sqrt(samples / 6))
    return math.hypot(*certain)


def _usual_skewness(band: np.ndarray, inner: np.ndarray) -> float:
    """Median of the skewness of the parts of a field: particles are everywhere, a piece of dirt is in one of them."""
    found = []
    for rows in np.array_split(np.arange(band.shape[0]), _PARTS):
        for columns in np.array_split(np.arange(band.shape[1]), _PARTS):
            values = band[np.ix_(rows, columns)][inner[np.ix_(rows, columns)]]
            if len(values) > 0.3 * inner.sum() / _PARTS**2:
                found.append(float((((values - values.mean()) / (values.std() + 1e-12)) ** 3).mean()))
    return float(np.median(found))


def _of_spectrum(image: np.ndarray, ice: np.ndarray, pixel_size: float, diameter: float) -> dict[str, float]:
    """loss, angle, finest and spots, of the mean power of clean patches."""
    unknown = dict(loss=0.0, angle=0.0, finest=2 * pixel_size, spots=1.0)
    side, (quarters, count) = next(
        ((n, found) for n in _PATCHES if (found := _mean_powers(image, ice, n))[1] >= _FEWEST_PATCHES), (0, ([], 0))
    )
    if not count:
        return unknown
    power = np.mean(quarters, axis=0)
    y, x = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    frequency, angle = np.hypot(y, x), np.arctan2(y, x)
    # detectors and compression leave lines along the axes
    usable = (np.abs(y * side) > 1.5) & (x * side > 1.5) & (x < 0.5)
    lowest = max(pixel_size / diameter, 8 / side)  # below, it is how particles lie that has a direction
    edges = 0.5 * 2.0 ** (-np.arange(0, _PER_OCTAVE * math.log2(0.5 / lowest) + 1e-6) / _PER_OCTAVE)
    vectors, centres = [], []
    for high, low in zip(edges[:-1], edges[1:]):
        ring = usable & (frequency > low) & (frequency <= high)
        # its own error: neighbouring frequencies of a Hann window are not independent, nor are patches that overlap
        error = math.sqrt(2 / max(1.0, ring.sum() / 3.8 * count / 2))
        number = np.rint(frequency[ring] * side).astype(int)
        each = np.array([_second_harmonic(quarter[ring], number, angle[ring]) for quarter in quarters])
        vector = complex(each.mean())
        # particles lie this way here and that way there; what moves does so everywhere
        error = max(error, each.std() / math.sqrt(max(1, len(each) - 1)))
        vectors.append(vector * max(0.0, 1 - 2 * error / max(abs(vector), 1e-9)))
        centres.append(math.sqrt(low * high) / pixel_size)
    if not vectors:
        return unknown
    best = max(vectors, key=abs)
    alike = [c for v, c in zip(vectors, centres) if (v * best.conjugate()).real > abs(best) ** 2 / 2]
    near = pixel_size / _LATTICE[1] < frequency, frequency < min(0.49, pixel_size / _LATTICE[0])
    ring = usable & near[0] & near[1]
    return dict(
        loss=abs(best),
        angle=(math.degrees(np.angle(best)) / 2 + 90) % 180,
        finest=1 / min(alike, default=centres[0]),
        spots=max(1.0, float(power[ring].max() / (np.median(power[ring]) + 1e-30))) if ring.sum() > 50 else 1.0,
    )


def _second_harmonic(power: np.ndarray, ring: np.ndarray, angle: np.ndarray) -> complex:
    """Second harmonic over the angle of the power relative to the mean of each ring. ring: number of each value's."""
    mean = (np.bincount(ring, power) / np.maximum(np.bincount(ring), 1))[ring]
    basis = np.stack([np.ones_like(angle), np.cos(2 * angle), np.sin(2 * angle)], 1)
    _, cosine, sine = np.linalg.lstsq(basis, power / np.maximum(mean, 1e-30), rcond=None)[0]
    return complex(cosine, sine)


def _mean_powers(image: np.ndarray, good: np.ndarray, side: int) -> tuple[list[np.ndarray], int]:
    """Mean power, (side, side // 2 + 1), of the patches that are good in each quarter of the image that has some, each
    patch of variance 1; and how many there are."""
    rows, columns = (n / m for n, m in zip(good.shape, image.shape))
    part = lambda y, x: good[
        int(y * rows) : int((y + side) * rows) + 1, int(x * columns) : int((x + side) * columns) + 1
    ]
    corners = [
        (y, x)
        for y in range(0, image.shape[0] - side + 1, side // 2)
        for x in range(0, image.shape[1] - side + 1, side // 2)
        if part(y, x).mean() > 0.9
    ]
    if not corners:
        return [], 0
    chosen = np.unique(np.linspace(0, len(corners) - 1, min(_MOST_PATCHES, len(corners))).astype(int))
    window, line = np.hanning(side + 1)[:-1], np.linspace(-1, 1, side)
    norm = (line**2).sum() * side
    found: dict[tuple[bool, bool], list[np.ndarray]] = {}
    for y, x in (corners[i] for i in chosen):
        patch = np.asarray(image[y : y + side, x : x + side], np.float32)
        patch = np.where(np.isfinite(patch), patch, np.nanmedian(patch))
        patch = patch - np.median(patch)
        limit = 5 * 1.4826 * np.median(np.abs(patch)) + 1e-12
        patch = np.clip(patch, -limit, limit)
        slopes = [(patch.sum(axis) @ line / norm) * line for axis in (1, 0)]
        patch = patch - patch.mean() - (slopes[0][:, None] + slopes[1])
        quarter = (2 * y + side > image.shape[0], 2 * x + side > image.shape[1])
        power = np.abs(np.fft.rfft2(patch * window[:, None] * window)) ** 2 / (patch.var() + 1e-12)
        found.setdefault(quarter, []).append(power)
    return [np.mean(powers, axis=0) for powers in found.values()], len(chosen)
