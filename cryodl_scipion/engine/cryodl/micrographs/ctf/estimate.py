# SPDX-License-Identifier: GPL-3.0-or-later
"""The CTF of one micrograph."""

import dataclasses

import numpy as np
from scipy import fft

from ..normalize import rescale_micrograph
from .model import Microscope, Rings, SpectrumCells, defocus_at, spectrum_cells, window_loss
from .search import FoundRings, SearchRange, find_rings

FINEST = 3.0  # Å: beyond this rings are not looked for
ICE = 5.0  # Å: well below the rings that ice has of its own, which agree with no fit
NYQUIST = 0.95  # part of the highest frequency that is used
# Below them the defocus is wrong in many micrographs (docs/bench_picking.md has the table).
MIN_STRENGTH = 10.0
MIN_LEAD = 12.0  # natural logarithm of how much likelier the best rings are than any other
MIN_CORRELATION = 0.45
_MIN_RINGS = 2.0  # that must lie in the spectrum


@dataclasses.dataclass(frozen=True)
class Profile:
    """A spectrum averaged over places of equal phase of the CTF. frequency: (n,) 1/Å, at the mean defocus. data: (n,)
    power over its smooth background, less 1. model: (n,) the CTF's power, less its mean, from -0.5 to 0.5. weights:
    (n,) samples. ring: (n,) int, number of the ring: how often the CTF passed zero. noise: standard deviation of one
    sample of data."""

    frequency: np.ndarray
    data: np.ndarray
    model: np.ndarray
    weights: np.ndarray
    ring: np.ndarray
    noise: float


@dataclasses.dataclass(frozen=True)
class CtfFit:
    """A fitted CTF. defocus_u, defocus_v: largest and smallest defocus, Å; underfocus is positive. defocus_angle:
    direction of defocus_u, degrees from the x axis (columns) towards the y axis (rows), from 0 to 180. phase_shift:
    degrees. resolution: Å: to where the rings agree with the fit. correlation: of the spectrum, averaged over equal
    phases, with the fit, up to there. strength: how far the rings stand out, in standard deviations of the noise.
    second_best: the same of the best rings at another defocus. power: (side, side // 2 + 1) mean power spectrum."""

    defocus_u: float
    defocus_v: float
    defocus_angle: float
    phase_shift: float
    resolution: float
    correlation: float
    strength: float
    second_best: float
    power: np.ndarray
    profile: Profile


def fit_ctf(
    image: np.ndarray,
    pixel_size: float,
    microscope: Microscope,
    limits: SearchRange,
    lowest_resolution: float = 30.0,
    highest_resolution: float = 5.0,
) -> CtfFit:
    """The CTF of a micrograph. image: (h, w) float32 array as read. pixel_size: Å/px. lowest_resolution,
    highest_resolution: Å: the rings between them are fitted. The second is not finer than the pixels allow. Raises
    ValueError for an image without a spectrum, or without rings that stand out of the noise."""
    power, tiles = mean_spectrum(image, pixel_size)
    highest, finest, ice = (min(1 / end, NYQUIST * 0.5 / pixel_size) for end in (highest_resolution, FINEST, ICE))
    rings = Rings(spectrum_cells(power, tiles, pixel_size, 1 / lowest_resolution, highest), microscope)
    plain = find_rings(rings, dataclasses.replace(limits, phase_shift=False))
    found = find_rings(rings, limits) if limits.phase_shift else plain
    if 0.5 * (found.strength**2 - plain.strength**2) < MIN_LEAD:  # a shift must be needed to explain the rings
        found = plain
    profile, free = (
        phase_averaged(spectrum_cells(power, tiles, pixel_size, 1 / lowest_resolution, end), microscope, found)
        for end in (finest, max(highest, ice))
    )
    resolution = fit_resolution(profile)
    half = float(np.hypot(*found.astigmatism))
    return CtfFit(
        found.defocus + half,
        found.defocus - half,
        float(np.degrees(0.5 * np.arctan2(found.astigmatism[1], found.astigmatism[0])) % 180),
        float(np.degrees(found.phase_shift)),
        resolution,
        _correlation(free, free.frequency <= 1 / resolution),
        found.strength,
        found.second_best,
        power,
        profile,
    )


def checked(fit: CtfFit) -> CtfFit:
    """The same fit, if it can be trusted. Raises ValueError if the rings cannot be told from noise, or another defocus
    explains them about as well."""
    if not fit.strength >= MIN_STRENGTH:  # also where it is not a number
        raise ValueError(
            f"its power spectrum has no significant Thon rings: the best fit is {fit.strength:.1f} standard "
            f"deviations above the noise, and {MIN_STRENGTH:g} are needed. The signal is too weak, pixel size, "
            "voltage or defocus range are wrong, or a phase plate was used and not stated (--find-phase-shift)."
        )
    if fit.correlation < MIN_CORRELATION:
        raise ValueError(
            f"its power spectrum does not agree with the best defocus, {0.5 * (fit.defocus_u + fit.defocus_v):.0f} Å: "
            f"the correlation is {fit.correlation:.2f}, and {MIN_CORRELATION:g} is needed. The signal is too weak, "
            "pixel size, voltage or defocus range are wrong, or a phase plate was used and not stated "
            "(--find-phase-shift)."
        )
    if 0.5 * (fit.strength**2 - fit.second_best**2) < MIN_LEAD:
        raise ValueError(
            "its defocus is ambiguous: another value fits the power spectrum about as well as the best, "
            f"{0.5 * (fit.defocus_u + fit.defocus_v):.0f} Å (strengths {fit.second_best:.1f} and {fit.strength:.1f}). "
            "Narrow the defocus range, or leave the micrograph out."
        )
    return fit


def lowest_defocus(microscope: Microscope, pixel_size: float, highest_resolution: float) -> float:
    """The smallest defocus with enough rings in the spectrum. pixel_size: Å/px. highest_resolution: Å. Returns Å."""
    return _MIN_RINGS / (microscope.wavelength * min(1 / highest_resolution, NYQUIST * 0.5 / pixel_size) ** 2)


# ----- Agreement of a power spectrum's Thon rings with a fit, and the resolution to which they agree.
_RINGS = 3  # judged together
_MINIMUM = 3.0  # standard deviations of the noise that they must stand out


def phase_averaged(cells: SpectrumCells, microscope: Microscope, found: FoundRings) -> Profile:
    """The spectrum averaged over places of equal phase, which astigmatism does not blur."""
    defocus = defocus_at(cells.azimuth, found.defocus, found.astigmatism)
    equal = np.sqrt(cells.squared * np.maximum(defocus[:, None] / found.defocus, 0))
    position = np.rint((equal - cells.frequency[0]) / (cells.frequency[1] - cells.frequency[0])).astype(int)
    inside = (position >= 0) & (position < len(cells.frequency)) & (cells.weights > 0)
    weights, sums = (
        np.bincount(position[inside], w[inside], len(cells.frequency))
        for w in (cells.weights, cells.weights * cells.values)
    )
    data, squared = sums / np.maximum(weights, 1), cells.frequency**2
    phase = found.defocus * microscope.defocus_factor(squared) + microscope.fixed_phase(squared) + found.phase_shift
    loss = window_loss(2 * microscope.wavelength * found.defocus * cells.frequency / cells.tile)
    rest = ((cells.values - np.interp(equal, cells.frequency, data)) * np.sqrt(cells.weights))[inside]
    return Profile(
        cells.frequency,
        data,
        -0.5 * np.cos(2 * phase) * loss,
        weights,
        np.floor(phase / np.pi).astype(int),
        float(1.4826 * np.median(np.abs(rest))),
    )


def fit_resolution(profile: Profile) -> float:
    """Å to where rings agree with the fit; the lowest frequency's if they agree nowhere."""
    numbers = np.arange(profile.ring.min(), profile.ring.max() + 1)
    scores = np.array(
        [_strength(profile, (profile.ring >= n - _RINGS // 2) & (profile.ring <= n + _RINGS // 2)) for n in numbers]
    )
    best = int(scores.argmax())
    last = best
    while last + 1 < len(numbers) and scores[last + 1] >= _MINIMUM:
        last += 1
    inside = profile.ring <= numbers[last] if scores[best] >= _MINIMUM else slice(1)
    return float(1 / profile.frequency[inside][-1])


def _strength(profile: Profile, where: np.ndarray) -> float:
    """How far the rings at some positions stand out, in standard deviations of the noise."""
    if where.sum() < 3:
        return 0.0
    weights, model, data = profile.weights[where], profile.model[where], profile.data[where]
    terms = np.stack([np.ones(len(model)), np.linspace(-1, 1, len(model))], 1) * np.sqrt(weights)[:, None]
    base = np.linalg.qr(terms)[0]
    model, data = (v * np.sqrt(weights) - base @ (base.T @ (v * np.sqrt(weights))) for v in (model, data))
    return float(model @ data / max(np.linalg.norm(model), 1e-12) / profile.noise)


def _correlation(profile: Profile, where: np.ndarray) -> float:
    weights, model, data = profile.weights[where], profile.model[where], profile.data[where]
    model, data = (v - (weights * v).sum() / max(weights.sum(), 1e-12) for v in (model, data))  # perhaps of none
    spread = np.sqrt((weights * model**2).sum() * (weights * data**2).sum())
    return float((weights * model * data).sum() / max(spread, 1e-12))


# ----- The mean power spectrum of a micrograph's tiles.
TILE = 1500.0  # Å: rings of 4 µm defocus are four samples apart at 5 Å
_MIN_TILE = 64  # px
_MAX_TILE = 2048  # px: bounds memory
_MIN_VALID = 0.95  # part of a tile that must be real
_MAX_DECAY = 1e4  # of the power from 150-30 Å to beyond 20 Å: real micrographs have 1 to 100
_MASK = 512  # px: longer side of the mask of what is real
_OUTLIER = 12.0  # robust standard deviations


def mean_spectrum(image: np.ndarray, pixel_size: float) -> tuple[np.ndarray, int]:
    """Mean power spectrum of overlapping tiles, each with the same total power. image: (h, w) float32 as read.
    pixel_size: Å/px. Returns (side, side // 2 + 1) on the grid of rfft2, and the number of tiles. Raises ValueError for
    an image without contrast, mostly not-a-number, or without a whole tile."""
    valid, middle, limit = _what_is_there(image)
    side = fft.next_fast_len(int(min(max(_MIN_TILE, round(TILE / pixel_size)), _MAX_TILE, *image.shape)))
    side = min(side, *image.shape) // 2 * 2
    window = np.hanning(side + 1)[:side].astype(np.float32)
    window = window[:, None] * window
    total, count = np.zeros((side, side // 2 + 1)), 0
    for top, left in ((y, x) for y in _starts(image.shape[0], side) for x in _starts(image.shape[1], side)):
        there = valid[
            _scaled(top, image, valid, 0) : _scaled(top + side, image, valid, 0),
            _scaled(left, image, valid, 1) : _scaled(left + side, image, valid, 1),
        ]
        if there.mean() < _MIN_VALID:
            continue
        tile = np.nan_to_num(image[top : top + side, left : left + side] - middle, nan=0, posinf=0, neginf=0)
        tile = np.clip(tile, -limit, limit)
        power = np.abs(fft.rfft2((tile - tile.mean()) * window)) ** 2
        level = power[side // 16 : side // 4, side // 16 : side // 4].mean()
        if level > 0:
            total += power / level
            count += 1
    if not count:
        raise ValueError(
            f"no square of {side * pixel_size:.0f} Å is free of filled margins, constant areas and pixels "
            "that are not numbers."
        )
    _check_decay(total, pixel_size)
    return total / count, count


def _check_decay(power: np.ndarray, pixel_size: float) -> None:
    """Raises ValueError for a spectrum that falls as no unfiltered micrograph's does: nothing is left of its rings."""
    side = len(power)
    y, x = fft.fftfreq(side, pixel_size)[:, None], np.arange(side // 2 + 1)[None] / (side * pixel_size)
    frequency = np.hypot(y, x)
    low = power[(frequency > 1 / 150) & (frequency < 1 / 30)]
    high = power[(frequency > min(1 / 20, 0.3 / pixel_size)) & (frequency < 0.45 / pixel_size)]
    decay = low.mean() / max(np.median(high), 1e-30) if len(low) else 0
    if decay > _MAX_DECAY:
        raise ValueError(
            f"its power falls by a factor of {decay:,.0f} from 150-30 Å to fine detail. Only smoothed or denoised "
            "micrographs, which have no Thon rings, do so. Use the original average of the frames."
        )


def _what_is_there(image: np.ndarray) -> tuple[np.ndarray, float, float]:
    """A small (h, w) bool mask of what is real, the median, and how far from it values are not outliers."""
    _, valid = rescale_micrograph(image, min(1.0, _MASK / max(image.shape)))
    sample = image[::7, ::7]
    sample = sample[np.isfinite(sample)]
    middle = np.median(sample)
    deviation = 1.4826 * np.median(np.abs(sample - middle))
    return valid.numpy(), middle, _OUTLIER * (deviation if deviation > 0 else sample.std())


def _scaled(position: int, image: np.ndarray, mask: np.ndarray, axis: int) -> int:
    return round(position * mask.shape[axis] / image.shape[axis])


def _starts(length: int, side: int) -> np.ndarray:
    """First pixels of tiles that overlap by half or a little more, from edge to edge."""
    return np.linspace(0, length - side, int(np.ceil(2 * (length - side) / side)) + 1).astype(int)
