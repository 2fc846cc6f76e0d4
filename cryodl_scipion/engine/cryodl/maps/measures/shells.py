# SPDX-License-Identifier: GPL-3.0-or-later
"""Fourier shells of maps of any shape: correlation of two maps, amplitudes, sharpening."""

import dataclasses
import typing

import numpy as np
import scipy.fft

from ...core.fourier import plane_weights
from ...core.frc import resolution_at


@dataclasses.dataclass(frozen=True)
class Curve:
    """A quantity in Fourier shells. frequency: (n,) 1/Å, evenly spaced from 0. value: (n,)."""

    frequency: np.ndarray
    value: np.ndarray

    def resolution(self, threshold: float) -> float | None:
        """Å at which the curve first falls below a threshold; None if it never was above it."""
        return resolution_at(self.value, threshold, 1 / self.frequency[1], 1)


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
    """Fourier shell correlation of two (z, y, x) arrays on one grid, masked by the caller: Curve. As core.frc.fsc, for
    boxes that are no cubes and voxels that are none either (Harauz and van Heel 1986)."""
    index, count, length = shell_numbers(first.shape, voxels_zyx)
    one, two = (
        scipy.fft.rfftn(np.asarray(x, np.float32) / max(float(np.abs(x).max()), 1e-30)) for x in (first, second)
    )
    sums = lambda values: np.bincount(index.ravel(), (values * _twice(first.shape)).ravel(), count)[:count]
    cross = sums((one * two.conj()).real)
    powers = sums(np.abs(one) ** 2), sums(np.abs(two) ** 2)
    value = cross / np.sqrt(np.maximum(powers[0] * powers[1], 1e-300))
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
    weight = np.broadcast_to(_twice(data.shape), index.shape).ravel()
    power = np.abs(scipy.fft.rfftn(np.asarray(data, np.float32))) ** 2
    total = np.bincount(index.ravel(), power.ravel() * weight, count)[:count]
    number = np.bincount(index.ravel(), weight, count)[:count]
    return Curve(np.arange(count) / length, np.sqrt(total / np.maximum(number, 1)))


def shell_filtered(data: np.ndarray, voxels_zyx: np.ndarray, gain: typing.Callable[..., typing.Any]) -> np.ndarray:
    """A (z, y, x) array with each Fourier coefficient multiplied by gain(frequency in 1/Å)."""
    factor = gain(volume_frequencies(data.shape, voxels_zyx)).astype(np.float32)
    return scipy.fft.irfftn(scipy.fft.rfftn(np.asarray(data, np.float32)) * factor, s=data.shape)


def sharpened(data: np.ndarray, voxels_zyx: np.ndarray, b_factor: float, resolution: float) -> np.ndarray:
    """A map with the fall-off of a B-factor (Å², positive) undone to a resolution (Å), where a cosine of 5 % ends it.
    The usual global sharpening (Rosenthal and Henderson 2003): F exp(B s² / 4)."""
    limit = 1 / resolution

    def gain(s: np.ndarray) -> np.ndarray:
        end = np.clip((s - 0.95 * limit) / (0.1 * limit), 0, 1)
        return np.exp(b_factor * np.minimum(s, 1.05 * limit) ** 2 / 4) * (0.5 + 0.5 * np.cos(np.pi * end))

    return shell_filtered(data, voxels_zyx, gain)


def guinier_b_factor(
    data: np.ndarray, voxels_zyx: np.ndarray, resolution: float, coarsest: float = 10.0
) -> float | None:
    """B-factor (Å², positive: it falls off) of a straight line through the logarithm of the amplitudes between
    `coarsest` Å and the resolution (Rosenthal and Henderson 2003). None if fewer than three shells lie there."""
    curve = amplitudes(data, voxels_zyx)
    use = (curve.frequency >= 1 / coarsest) & (curve.frequency <= 1 / resolution) & (curve.value > 0)
    if use.sum() < 3:
        return None
    return float(-4 * np.polyfit(curve.frequency[use] ** 2, np.log(curve.value[use]), 1)[0])


def _twice(shape: tuple[int, ...]) -> np.ndarray:
    """Weight of each coefficient of rfftn: those of the planes that stand for two."""
    weight = plane_weights(shape[2]).numpy()
    return np.broadcast_to(weight, (shape[0], shape[1], len(weight)))
