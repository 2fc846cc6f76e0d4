# SPDX-License-Identifier: GPL-3.0-or-later
"""The phase of the contrast transfer function, and what it does to the power spectrum of a tile. A power spectrum in
cells of direction and frequency, without its smooth background. How much of a power spectrum's variance the Thon rings
of a CTF explain."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft

SECTORS = 36
_AXES = 1.5  # samples beside both axes that detectors' lines disturb
_SPOT = 6.0  # standard deviations above the ring's median: spots of crystals are cut down to it
_DEGREE = 4  # of the background's polynomial: more would take the few rings of coarse pixels for background
_MIN_RINGS = 8  # of frequencies: fewer could not be told from the background's terms
_START = 0.15  # where the background's falling terms begin, in bands


@dataclasses.dataclass(frozen=True)
class SpectrumCells:
    """A power spectrum in cells of direction and frequency, divided by its smooth background. values: (sectors, rings)
    power over background, less 1. weights: (sectors, rings) how many samples a cell holds. frequency: (rings,) 1/Å.
    squared: (sectors, rings) mean squared frequency of a cell, 1/Å^2. azimuth: (sectors,) middle direction, radians,
    from the x axis towards the y axis. tile: side of the tiles, Å."""

    values: np.ndarray
    weights: np.ndarray
    frequency: np.ndarray
    squared: np.ndarray
    azimuth: np.ndarray
    tile: float


def spectrum_cells(power: np.ndarray, count: int, pixel_size: float, lowest: float, highest: float) -> SpectrumCells:
    """The part of a spectrum that is fitted. power: (side, side // 2 + 1) of mean_spectrum. count: tiles in the mean.
    pixel_size: Å/px. lowest, highest: limits of the frequency, 1/Å. Raises ValueError for too few frequencies between
    the limits."""
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
    # those far above their ring's median are cut down: spots of crystals and of compression
    values, sizes = power[position], np.bincount(ring, minlength=rings)
    median = values[np.lexsort((values, ring))][np.minimum(np.cumsum(sizes) - sizes + sizes // 2, len(values) - 1)]
    values = np.minimum(values, median[ring] * (1 + _SPOT / np.sqrt(count)))
    cell = np.minimum((azimuth / np.pi * SECTORS).astype(int), SECTORS - 1) * rings + ring
    weights, sums, squares = (
        np.bincount(cell, w, SECTORS * rings).reshape(SECTORS, rings)
        for w in (None, values, (radius[position] / tile) ** 2)
    )
    filled, frequency = np.maximum(weights, 1), (np.arange(rings) + first) / tile
    squared = np.where(weights > 0, squares / filled, frequency**2)
    background = smooth_profile(sums.sum(0) / np.maximum(weights.sum(0), 1), weights.sum(0))
    values = np.where(weights > 0, sums / filled / background - 1, 0)
    return SpectrumCells(
        values, weights.astype(float), frequency, squared, (np.arange(SECTORS) + 0.5) * np.pi / SECTORS, tile
    )


def background_terms(rings: int) -> np.ndarray:
    """Smooth functions of the frequency, of which a background is made: polynomials, and two that fall as particles'
    power does. Returns (terms, rings)."""
    position, inverse = np.linspace(-1, 1, rings), 1 / np.linspace(_START, 1, rings)
    return np.concatenate([np.polynomial.legendre.legvander(position, _DEGREE).T, [inverse, inverse**3]])


def smooth_profile(profile: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A smooth function through a radial profile of a power spectrum. profile: (rings,) mean power. weights: (rings,)
    samples of each. Returns (rings,), positive."""
    logarithm = np.log(np.maximum(profile, 1e-12 * profile.max()))
    terms, root = background_terms(len(profile)), np.sqrt(weights)
    return np.exp(terms.T @ np.linalg.lstsq((terms * root).T, logarithm * root, rcond=None)[0])


@dataclasses.dataclass(frozen=True)
class Microscope:
    """What is known of the microscope. voltage: acceleration voltage, kV. spherical_aberration: mm. amplitude_contrast:
    fraction from 0 to 1."""

    voltage: float
    spherical_aberration: float
    amplitude_contrast: float

    @property
    def wavelength(self) -> float:
        """Wavelength of the electrons, Å, with the relativistic correction."""
        volts = 1e3 * self.voltage
        return 12.2642598 / np.sqrt(volts * (1 + 0.978475598e-6 * volts))

    def defocus_factor(self, squared: ArrayLike) -> np.ndarray:
        """Radians of phase for each Å of defocus. squared: squared spatial frequency, 1/Å^2."""
        return np.pi * self.wavelength * np.asarray(squared)

    def fixed_phase(self, squared: ArrayLike) -> np.ndarray:
        """Radians of phase without defocus: spherical aberration and amplitude contrast. squared: squared spatial
        frequency, 1/Å^2."""
        aberration = 1e7 * self.spherical_aberration  # mm to Å
        return (
            np.arcsin(self.amplitude_contrast)
            - 0.5 * np.pi * aberration * self.wavelength**3 * np.asarray(squared) ** 2
        )


def defocus_at(azimuth: ArrayLike, defocus: float, astigmatism: ArrayLike) -> np.ndarray:
    """Defocus in some directions. azimuth: directions from the x axis towards the y axis, radians. defocus: mean of the
    largest and the smallest defocus, Å. astigmatism: (2,) half the difference of the largest and the smallest defocus,
    Å, times cosine and sine of twice the angle of the largest one. Returns Å, of the shape of azimuth."""
    double = 2 * np.asarray(azimuth)
    cosine, sine = np.asarray(astigmatism)
    return defocus + cosine * np.cos(double) + sine * np.sin(double)


def window_loss(lag: ArrayLike) -> np.ndarray:
    """How much a Hann window weakens a wave in the power spectrum. A tile's power spectrum is the true one, smoothed.
    Rings narrower than a tile can resolve become weaker. lag: waves for each unit of frequency over the side of the
    tile: how far the rings' wave is from the tile's centre. Returns array of the same shape, from 1 (not weakened) to
    0: the autocorrelation of the window."""
    lag = np.minimum(np.abs(lag), 1.0)
    return ((1 - lag) * (2 + np.cos(2 * np.pi * lag)) + 1.5 / np.pi * np.sin(2 * np.pi * lag)) / 3


DECAYS = (0.0, 30.0, 100.0, 300.0)  # Å^2: how fast rings become weaker with the squared frequency


class Rings:
    """Scores of rings against the cells of a spectrum."""

    def __init__(self, cells: SpectrumCells, microscope: Microscope) -> None:
        self.cells, self.microscope = cells, microscope
        self._root = np.sqrt(cells.weights)
        # (sectors, rings, terms): what the smooth background of each sector can explain
        self._bases = np.linalg.qr(np.swapaxes(background_terms(cells.values.shape[1]) * self._root[:, None], 1, 2))[0]
        self._data = self._flat((cells.values * self._root)[:, None])[:, 0]
        self.noise = float(1.4826 * np.median(np.abs(self._data[cells.weights > 0])))
        self._factor = microscope.defocus_factor(cells.squared)
        self._fixed = microscope.fixed_phase(cells.squared)
        self._envelopes = {decay: self._root * np.exp(-decay * cells.squared) for decay in DECAYS}

    def _flat(self, values: np.ndarray) -> np.ndarray:
        """(sectors, n, rings) values without what the background explains."""
        return values - (values @ self._bases) @ np.swapaxes(self._bases, 1, 2)

    def _waves(self, defocus: np.ndarray, phase_shift: float, decay: float) -> np.ndarray:
        """Rings (sectors, n, rings) at defocus values (sectors, n): the CTF's power without its mean, weakened by the
        window, times the root of the weights, without what the background explains."""
        phase = defocus[..., None] * self._factor[:, None] + self._fixed[:, None] + phase_shift
        return self._flat(-np.cos(2 * phase) * self._loss(defocus) * self._envelopes[decay][:, None])

    def tables(self, grid: np.ndarray, phase_shift: float) -> list[tuple[np.ndarray, np.ndarray]]:
        """What the rings of each sector at each defocus explain. grid: (n,) defocus, Å. phase_shift: radians. Returns
        pairs of (sectors, n) arrays, for each of DECAYS: the product of rings and spectrum, and the squared length of
        the rings."""
        loss = self._loss(grid).astype(np.float32)
        tables = np.empty((len(DECAYS), 2, len(self._data), len(grid)))
        for sector, data in enumerate(self._data):  # one at a time bounds memory
            phase = np.outer(grid, self._factor[sector]) + self._fixed[sector] + phase_shift
            waves = -np.cos(2 * phase.astype(np.float32)) * loss
            basis = self._bases[sector].astype(np.float32)
            for position, decay in enumerate(DECAYS):
                root = self._envelopes[decay][sector].astype(np.float32)
                tables[position, 0, sector] = waves @ (root * data.astype(np.float32))  # data has no background left
                length = np.square(waves) @ np.square(root)
                tables[position, 1, sector] = length - np.square(waves @ (root[:, None] * basis)).sum(1)
        return [(products, lengths) for products, lengths in tables]

    def _loss(self, defocus: np.ndarray) -> np.ndarray:
        """(..., rings) what the window leaves of rings at defocus values (...)."""
        return window_loss(2 * self.microscope.wavelength / self.cells.tile * defocus[..., None] * self.cells.frequency)

    def strength(self, defocus: float, astigmatism: np.ndarray, phase_shift: float, decay: float) -> float:
        """How far rings stand out, in standard deviations of the noise. All arguments as in FoundRings."""
        model = self._waves(defocus_at(self.cells.azimuth, defocus, astigmatism)[:, None], phase_shift, decay)[:, 0]
        return float((model * self._data).sum() / np.sqrt(max(np.square(model).sum(), 1e-12)) / self.noise)
