# SPDX-License-Identifier: GPL-3.0-or-later
"""Fourier shells of maps of any shape: correlation of two maps, amplitudes, sharpening; and the resolution of a map
without half-maps, from its signal over the noise of its solvent, or from where its power falls."""

import dataclasses
import typing

import numpy as np
import scipy.fft

from ...core import fourier
from .atoms import dense_mask


@dataclasses.dataclass(frozen=True)
class Curve:
    """A quantity in Fourier shells. frequency: (n,) 1/Å, evenly spaced from 0. value: (n,)."""

    frequency: np.ndarray
    value: np.ndarray

    def resolution(self, threshold: float) -> float | None:
        """Å at which the curve first falls below a threshold; None if it never was above it."""
        return fourier.resolution_at(self.value, threshold, 1 / self.frequency[1], 1)


def volume_frequencies(shape: tuple[int, ...], voxels_zyx: np.ndarray) -> np.ndarray:
    """(z, y, x // 2 + 1) 1/Å of the coefficients of rfftn of an array of this shape."""
    z, y = (np.fft.fftfreq(n, v) for n, v in zip(shape[:2], voxels_zyx[:2]))
    x = np.fft.rfftfreq(shape[2], voxels_zyx[2])
    return np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2).astype(np.float32)


def shell_numbers(shape: tuple[int, ...], voxels_zyx: np.ndarray) -> tuple[np.ndarray, int, float]:
    """Shell of each coefficient of rfftn, and the number of whole shells: those within Nyquist's frequency. A shell is
    as wide as the spacing of the longest axis in Fourier space."""
    length = float((np.array(shape) * voxels_zyx).max())
    count = int(np.floor(length / (2 * np.max(voxels_zyx)) + 1e-6)) + 1
    return np.rint(volume_frequencies(shape, voxels_zyx) * length).astype(np.int32), count, length


def shell_correlation(first: np.ndarray, second: np.ndarray, voxels_zyx: np.ndarray) -> Curve:
    """Fourier shell correlation of two (z, y, x) arrays on one grid, masked by the caller: Curve. As core.fourier.fsc,
    for boxes that are no cubes and voxels that are none either (Harauz and van Heel 1986)."""
    index, count, length = shell_numbers(first.shape, voxels_zyx)
    one, two = (
        scipy.fft.rfftn(np.asarray(x, np.float32) / max(float(np.abs(x).max()), 1e-30)) for x in (first, second)
    )
    sums = lambda values: np.bincount(index.ravel(), (values * _twice(first.shape)).ravel(), count)[:count]
    powers = sums(np.abs(one) ** 2), sums(np.abs(two) ** 2)
    value = sums((one * two.conj()).real) / np.sqrt(np.maximum(powers[0] * powers[1], 1e-300))
    value[0] = 1.0
    return Curve(np.arange(count) / length, value)


def shell_sums(first: np.ndarray, second: np.ndarray, voxels_zyx: np.ndarray) -> np.ndarray:
    """Sum over each Fourier shell of the product of one map with the complex conjugate of another, real part. first,
    second: (z, y, x), maps on one grid. voxels_zyx: (3,), Å. Returns ndarray, (shells,)."""
    index, count, _ = shell_numbers(first.shape, voxels_zyx)
    one, two = (scipy.fft.rfftn(np.asarray(x, np.float32)) for x in (first, second))
    return np.bincount(index.ravel(), ((one * two.conj()).real * _twice(first.shape)).ravel(), count)[:count]


def amplitudes(data: np.ndarray, voxels_zyx: np.ndarray) -> Curve:
    """Root mean square amplitude in each shell of a (z, y, x) array: Curve."""
    index, count, length = shell_numbers(data.shape, voxels_zyx)
    number = np.bincount(index.ravel(), _twice(data.shape).ravel(), count)[:count]
    return Curve(np.arange(count) / length, np.sqrt(shell_sums(data, data, voxels_zyx) / np.maximum(number, 1)))


def shell_filtered(data: np.ndarray, voxels_zyx: np.ndarray, gain: typing.Callable[..., typing.Any]) -> np.ndarray:
    """A (z, y, x) array with each Fourier coefficient multiplied by gain(frequency in 1/Å)."""
    factor = gain(volume_frequencies(data.shape, voxels_zyx)).astype(np.float32)
    return scipy.fft.irfftn(scipy.fft.rfftn(np.asarray(data, np.float32)) * factor, s=data.shape)


def sharpened(data: np.ndarray, voxels_zyx: np.ndarray, b_factor: float, resolution: float) -> np.ndarray:
    """A map with the fall-off of a B-factor (Å², positive) undone to a resolution (Å), where a cosine of 5 % ends it.
    The usual global sharpening (Rosenthal and Henderson 2003): F exp(B s² / 4)."""

    def gain(s: np.ndarray) -> np.ndarray:
        end = np.clip((s * resolution - 0.95) / 0.1, 0, 1)
        return np.exp(b_factor * np.minimum(s, 1.05 / resolution) ** 2 / 4) * (0.5 + 0.5 * np.cos(np.pi * end))

    return shell_filtered(data, voxels_zyx, gain)


def guinier_b_factor(data: np.ndarray, voxels_zyx: np.ndarray, resolution: float) -> float | None:
    """B-factor (Å², positive: it falls off) of a straight line through the logarithm of the amplitudes between 10 Å
    and the resolution (Rosenthal and Henderson 2003). None if fewer than three shells lie there."""
    curve = amplitudes(data, voxels_zyx)
    use = (curve.frequency >= 1 / 10) & (curve.frequency <= 1 / resolution) & (curve.value > 0)
    return None if use.sum() < 3 else float(-4 * np.polyfit(curve.frequency[use] ** 2, np.log(curve.value[use]), 1)[0])


def _twice(shape: tuple[int, ...]) -> np.ndarray:
    weight = fourier.plane_weights(shape[2]).numpy()
    return np.broadcast_to(weight, (shape[0], shape[1], len(weight)))


SIDE = 160.0  # Å; smaller maps are surrounded by zeros, so that there are enough Fourier shells
COARSEST = 40.0  # Å; the signal is sought from here on
NOISE = 1 / 3  # signal over noise, in power, where the FSC of the half-maps is 0.143
EMPTY = 0.015  # of the molecule's power, with equal power in all shells: solvent with less was masked or smoothed
CERTAIN = 0.9  # of the estimate: hardly finer than this was any map of a known resolution whose end is sure
AMPLE = 0.7  # of the box is solvent: with less of it, what is near to the molecule is taken for noise
BREAK, LEAST = 1.5, 20.0  # the slope behind an end is so many times that before it, which counts as LEAST Å² at least
BEFORE, AROUND = (10.0, 0.6), (0.95, 1.2)  # Å and part of the end's frequency: where both slopes are taken
OVERSHARPENED = -60.0  # Å², Guinier's B-factor: power that rises so steeply is noise
FIRST = 3  # shells: a signal that is lost in them is hidden by a solvent that is none
LEVEL = (20.0, 12.0)  # Å; the power of a masked map is compared with that between them
DROP = 60.0  # the power has fallen when it is this many times lower
EDGE, WIDTH = 1e-4, 1.15  # a low-pass filter: so little power is left beyond this many times the frequency


@dataclasses.dataclass(frozen=True)
class EstimatedResolution:
    """value: Å. finest: Å that the resolution may be in truth, as far as the map tells."""

    value: float
    finest: float


def estimated_resolution(data: np.ndarray, voxels_zyx: np.ndarray) -> EstimatedResolution | None:
    """The resolution of a map as the map alone shows it, for maps without half-maps. Where there is noise in the
    solvent: where the signal is no more than a third of it, as it is where the FSC of half-maps is 0.143; of the map
    with equal power in all shells, as the mask would spread that of strong ones over weak ones. Where the solvent is
    empty (a masked map): where the power falls for good. No finer than the end of a low-pass filter in both cases.

    The value is sure to a tenth where there is enough solvent to know its noise, at the end of a filter, and where the
    power of a masked map breaks off: a B-factor, by which it falls too, has the same slope before and behind. Else the
    resolution may be as fine as Nyquist's frequency.

    data: (z, y, x). voxels_zyx: (3,), Å.

    Returns EstimatedResolution or None: none if nothing ends before Nyquist's frequency, the map has no solvent to tell
    it from, or its noise was sharpened more than anything else."""
    inside = dense_mask(data, voxels_zyx)
    if not 0 < inside.mean() < 1:
        return None
    parts = lambda volume: [_power(volume, weight, voxels_zyx) for weight in (inside, 1 - inside)]
    molecule, solvent = parts(_whitened(data, voxels_zyx))
    sought, (signal, noise) = molecule.frequency > 1 / COARSEST, parts(data)
    noisy = solvent.value[sought].mean() > EMPTY * molecule.value[sought].mean()
    found = _above_noise(molecule, solvent) if noisy else _fall(signal, noise)
    filtered, nyquist = _filter_end(data, voxels_zyx) or 0.0, 2 * float(np.max(voxels_zyx))
    if found is None:
        return None
    value = max(found, filtered)
    if (guinier_b_factor(data, voxels_zyx, max(value, nyquist)) or 0.0) < OVERSHARPENED:
        return None
    sure = value == filtered or inside.mean() < 1 - AMPLE if noisy else _breaks(signal, noise, value)
    return EstimatedResolution(value, CERTAIN * value if sure else min(nyquist, CERTAIN * value))


def _whitened(data: np.ndarray, voxels_zyx: np.ndarray) -> np.ndarray:
    curve = amplitudes(data - data.mean(), voxels_zyx)
    scale = np.maximum(np.sqrt(_smooth(curve.value**2)), 1e-6 * curve.value.max())
    return shell_filtered(data - data.mean(), voxels_zyx, lambda s: 1 / np.interp(s, curve.frequency, scale))


def _power(data: np.ndarray, weight: np.ndarray, voxels_zyx: np.ndarray) -> Curve:
    """Power in the shells of a map times a weight, by which it is divided again; with zeros up to SIDE around it."""
    pad = [(0, int(2 * np.ceil(max(0.0, SIDE / v - n) / 2))) for n, v in zip(data.shape, voxels_zyx)]
    curve = amplitudes(np.pad(data * weight, pad), voxels_zyx)
    return Curve(curve.frequency, _smooth(curve.value**2 / np.mean(weight**2)))


def _smooth(power: np.ndarray) -> np.ndarray:
    return np.convolve(np.pad(power, 1, mode="edge"), np.ones(3) / 3, "valid")


def _above_noise(molecule: Curve, solvent: Curve) -> float | None:
    sought = np.flatnonzero(molecule.frequency > 1 / COARSEST)
    below = np.flatnonzero((molecule.value - solvent.value)[sought] / np.maximum(solvent.value[sought], 1e-30) < NOISE)
    return float(1 / molecule.frequency[sought[below[0]]]) if len(below) and below[0] >= FIRST else None


def _breaks(molecule: Curve, solvent: Curve, value: float) -> bool:
    """Whether the power of the molecule falls more steeply behind `value` Å than before it."""
    signal, s = np.maximum(molecule.value - solvent.value, 1e-30), molecule.frequency * value

    def slope(use: np.ndarray) -> float:
        squared = molecule.frequency[use] ** 2
        return float(-2 * np.polyfit(squared, np.log(signal[use]), 1)[0]) if use.sum() > 2 else np.nan

    before = slope((s >= min(value / BEFORE[0], BEFORE[1])) & (s <= AROUND[0]))
    return bool(slope((s >= AROUND[0]) & (s <= AROUND[1])) > BREAK * max(before, LEAST))


def _filter_end(data: np.ndarray, voxels_zyx: np.ndarray) -> float | None:
    curve = amplitudes(data - data.mean(), voxels_zyx)
    power, count = curve.value**2, len(curve.value)
    beyond = np.maximum.accumulate(power[::-1])[::-1]  # the highest from each shell on
    for shell in range(2, count):
        after = max(int(np.ceil(WIDTH * shell)), shell + 1)
        if after < count and beyond[after] < EDGE * power[shell]:
            return float(1 / curve.frequency[min(int(np.floor(WIDTH * shell)), after - 1)])
    return None


def _fall(molecule: Curve, solvent: Curve) -> float | None:
    signal, frequency = np.maximum(molecule.value - solvent.value, 0), molecule.frequency
    level = signal[(frequency >= 1 / LEVEL[0]) & (frequency <= 1 / LEVEL[1])]
    if not len(level):
        return None
    present = np.flatnonzero((frequency >= 1 / LEVEL[0]) & (signal > np.median(level) / DROP))
    return float(1 / frequency[present[-1]]) if len(present) and present[-1] < len(signal) - 1 else None
