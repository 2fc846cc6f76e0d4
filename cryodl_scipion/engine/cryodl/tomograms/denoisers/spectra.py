# SPDX-License-Identifier: GPL-3.0-or-later
"""Radial spectra of half tomograms, measured on bricks: how strong signal and noise are at each frequency."""

import dataclasses
import typing

import numpy as np
import torch
from scipy.ndimage import convolve1d

from ...core.fourier import frequencies, plane_weights

BINS = 32  # of frequency, from 0 to 0.5 cycles per px; what lies beyond has the value of the last
WINDOW = 1.5**3  # a Hann window along each axis makes so many neighbouring coefficients tell the same
MIN_POWER = 1e-6  # of the largest: below it a filter has left nothing, and its correlations mean nothing


def volume_mean(curve: np.ndarray) -> float:
    """Mean of a (BINS,) curve over the ball of frequencies up to 0.5 cycles per px."""
    return float(np.average(curve, weights=np.diff(np.linspace(0, 1, BINS + 1) ** 3)))


def windowed(subvolume: torch.Tensor) -> torch.Tensor:
    """A (z, y, x) brick times Hann windows of mean square 1, so that its border does not count."""
    for axis, side in enumerate(subvolume.shape):
        window = torch.hann_window(side, periodic=True) * (8 / 3) ** 0.5
        subvolume = subvolume * window.reshape([-1 if a == axis else 1 for a in range(3)])
    return subvolume


@dataclasses.dataclass(frozen=True)
class Powers:
    """(BINS,) sums over bricks: first, second: power of two volumes; cross: of their product. Means by `count`."""

    first: np.ndarray
    second: np.ndarray
    cross: np.ndarray
    count: np.ndarray

    @property
    def fsc(self) -> np.ndarray:
        """(BINS,) Fourier shell correlation; 0 where one of the volumes has next to no power."""
        power = np.sqrt(self.first * self.second) / np.maximum(self.count, 1)
        return np.where(
            power > MIN_POWER * power.max(), self.cross / np.maximum(power * np.maximum(self.count, 1), 1e-300), 0.0
        )

    @property
    def certainty(self) -> np.ndarray:
        """(BINS,) by how many standard deviations the correlation up to each frequency is above that of noise."""
        count = self.count / (2 * WINDOW)  # a coefficient and its conjugate tell the same
        return np.cumsum(self.fsc * count) / np.sqrt(np.maximum(np.cumsum(count), 1e-12))


def measure_powers(
    pairs: typing.Sequence[tuple[torch.Tensor, ...]],
    mask: typing.Callable[[typing.Sequence[int]], torch.Tensor] | None = None,
) -> Powers:
    """Powers of pairs of (z, y, x) bricks. mask: gives the coefficients that count, on the grid of rfftn of a shape."""
    sums = np.zeros((4, BINS))
    for first, second in pairs:
        one, two = (torch.fft.rfftn(windowed(x)) / x.numel() ** 0.5 for x in (first, second))
        kept = torch.ones(one.shape) if mask is None else mask(first.shape)
        values = (one.abs().square(), two.abs().square(), (one * two.conj()).real, torch.ones(one.shape))
        shell = (frequencies(first.shape) * (2 * BINS)).long().clamp(max=BINS).flatten()  # beyond 0.5 they are left out
        kept = kept * plane_weights(first.shape[2])
        sums += [torch.bincount(shell, (v * kept).flatten().double(), BINS + 1)[:BINS].numpy() for v in values]
    return Powers(*sums)


def smoothed(curve: np.ndarray) -> np.ndarray:
    """A (BINS,) curve averaged over neighbouring bins."""
    return np.asarray(convolve1d(np.asarray(curve, float), (0.25, 0.5, 0.25), mode="nearest"))


@dataclasses.dataclass(frozen=True)
class HalfScale:
    """What a network has to know of a half tomogram: middle and width of its grey values; gain: (BINS,) the Wiener
    filter of a half, the best radial filter there is; strength: of the filtered half, in widths."""

    middle: float
    width: float
    gain: np.ndarray
    strength: float

    def normalised(self, volume: torch.Tensor) -> torch.Tensor:
        """A volume with middle 0 and width 1."""
        return (volume - self.middle) / self.width

    def restored(self, volume: torch.Tensor) -> torch.Tensor:
        """A network's answer, which is in units of the strength, in the tomogram's grey values."""
        return volume * (self.strength * self.width) + self.middle


WEAKEST = 1e-3  # strength of a tomogram in which no signal is found


def scale_of_halves(pairs: typing.Sequence[tuple[torch.Tensor, ...]]) -> tuple[HalfScale, Powers]:
    """The HalfScale of two halves, and their Powers, from bricks of both."""
    middle = float(np.mean([[x.mean() for x in pair] for pair in pairs]))
    powers = measure_powers([tuple(x - middle for x in pair) for pair in pairs])
    width = float(np.mean([[x.var() for x in pair] for pair in pairs])) ** 0.5
    count = np.maximum(powers.count, 1)
    total, cross = (powers.first + powers.second) / (2 * count * width**2), powers.cross / (count * width**2)
    cross, total = np.maximum(smoothed(cross), 0), smoothed(total)
    gain = np.where(total > MIN_POWER * total.max(), np.minimum(cross / np.maximum(total, 1e-300), 1), 0.0)
    return _scale(middle, width, gain, total), powers


def scale_of_one(subvolumes: typing.Sequence[torch.Tensor], gain: np.ndarray) -> HalfScale:
    """The HalfScale of a tomogram without halves. gain: of a half as its halves would be, which has more noise."""
    middle = float(np.mean([x.mean() for x in subvolumes]))
    width = float(np.mean([x.var() for x in subvolumes])) ** 0.5
    powers = measure_powers([(x - middle, x - middle) for x in subvolumes])
    return _scale(middle, width, 2 * gain / (1 + gain), powers.first / (np.maximum(powers.count, 1) * width**2))


def _scale(middle: float, width: float, gain: np.ndarray, total: np.ndarray) -> HalfScale:
    return HalfScale(middle, width, gain, max(WEAKEST, volume_mean(gain**2 * total) ** 0.5))
