# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise of micrographs: of solvent and detector, or with the power spectrum of the user's own micrographs.

A source of noise is called as noise(shape, pixel_size, optics, rng, device) and returns an (h, w) float32 tensor of
mean 0 and expected variance 1; noise.chosen(rng) is the source for one micrograph, and noise.damping(shape, device)
what it leaves of the particles' amplitudes (None: all)."""

import dataclasses
import math
import typing

import numpy as np
import torch
from scipy.special import gammaincinv

from ..core.fourier import curve_on_grid, frequencies, plane_weights
from ..core.optics import Optics

# power of the solvent over the detector's at low frequencies, before the CTF (EMPIAR-10947 has 0.5)
SOLVENT = 1.0
SOLVENT_DETAIL = 8.0  # Å: finest detail of the solvent; its power falls to 1/e there
BINS = 128  # of a measured spectrum, from frequency 0 to the corner of the transform, sqrt(1/2) per px
CORNER = math.sqrt(0.5)
SMALLEST_PATCH, LARGEST_PATCH = 64, 512  # px
MAX_PATCHES = 4000
NoiseSource = typing.Callable[[np.random.Generator], torch.Tensor]  # one (h, w) image after the other


@dataclasses.dataclass(frozen=True)
class MicroscopeNoise:
    """White detector noise, and solvent whose structure passes through the CTF (so there are Thon rings). solvent:
    power of the solvent over that of the detector at low frequencies; 0 leaves white noise."""

    solvent: float = SOLVENT

    def __call__(
        self,
        shape: tuple[int, ...],
        pixel_size: float,
        optics: Optics,
        rng: np.random.Generator,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        if not self.solvent:
            return _white(shape, rng, device)
        return shaped_noise(1 + self._solvent(shape, pixel_size, optics, device), shape, rng, device)

    def _solvent(
        self, shape: tuple[int, ...], pixel_size: float, optics: Optics, device: torch.device | None
    ) -> torch.Tensor:
        """(h, w // 2 + 1) power, that of the detector being 1."""
        envelope = torch.exp(-((frequencies(shape, device=device) * (SOLVENT_DETAIL / pixel_size)) ** 2))
        return self.solvent * envelope * optics.transfer(shape, pixel_size, device).square()

    def of_specimen(
        self, shape: tuple[int, ...], pixel_size: float, optics: Optics, rng: np.random.Generator
    ) -> tuple[torch.Tensor, NoiseSource]:
        """Of noise of variance 1, (h, w) what belongs to the specimen and moves with it, and a source of the rest."""
        solvent = self._solvent(shape, pixel_size, optics, None)
        part = float(_mean_over_plane(solvent, shape[1])) / (1 + float(_mean_over_plane(solvent, shape[1])))
        moving = shaped_noise(solvent, shape, rng) * part**0.5 if part else torch.zeros(shape)
        return moving, lambda rng: _white(shape, rng, None) * (1 - part) ** 0.5

    def chosen(self, rng: np.random.Generator) -> "MicroscopeNoise":
        """The noise of one micrograph: this one for all."""
        return self

    def damping(self, shape: tuple[int, ...], device: torch.device | None = None) -> None:
        """Factors of the signal in Fourier space: none."""


@dataclasses.dataclass(frozen=True)
class MeasuredNoise:
    """Noise with the spectrum of one of several real micrographs. spectra: (m, BINS) power at the frequencies of
    `bin_frequencies`, each from measure_spectrum. The first is used; `chosen` takes one at random."""

    spectra: np.ndarray

    def __call__(
        self,
        shape: tuple[int, ...],
        pixel_size: float,
        optics: Optics,
        rng: np.random.Generator,
        device: torch.device | None = None,
    ) -> torch.Tensor:
        return shaped_noise(self._on_grid(self.spectra[0], shape, device), shape, rng, device)

    def chosen(self, rng: np.random.Generator) -> "MeasuredNoise":
        """The noise of one micrograph: one of the measured spectra."""
        return MeasuredNoise(self.spectra[rng.integers(len(self.spectra))][None])

    def of_specimen(
        self, shape: tuple[int, ...], pixel_size: float, optics: Optics, rng: np.random.Generator
    ) -> tuple[torch.Tensor, NoiseSource]:
        """As MicroscopeNoise.of_specimen; what moves is not known of a measured spectrum: nothing does."""
        return torch.zeros(shape), lambda rng: self(shape, pixel_size, optics, rng)

    def damping(self, shape: tuple[int, ...], device: torch.device | None = None) -> torch.Tensor:
        """(h, w // 2 + 1) amplitude: particles fade beyond the spectrum's maximum as the noise does. Without this,
        particles would have detail that no particle of a low-passed or binned file has."""
        power = self.spectra[0]
        envelope = np.minimum.accumulate(np.where(np.arange(BINS) < power.argmax(), power.max(), power))
        return self._on_grid(envelope / power.max(), shape, device).sqrt()

    @staticmethod
    def _on_grid(spectrum: np.ndarray, shape: tuple[int, ...], device: torch.device | None) -> torch.Tensor:
        """(h, w // 2 + 1) power between the bins, straight in its logarithm: filtered files fall steeply."""
        return spectrum_on_grid(np.log(np.maximum(spectrum, 1e-12 * spectrum.max())), shape, device).exp()


def spectrum_on_grid(spectrum: np.ndarray, shape: tuple[int, ...], device: torch.device | None = None) -> torch.Tensor:
    """(h, w // 2 + 1) values of a (BINS,) spectrum on the grid of rfft2 of an (h, w) image, straight between bins."""
    return curve_on_grid(spectrum, shape, device, CORNER)


def plane_mean(spectrum: np.ndarray) -> float:
    """Mean over the plane of Fourier space, up to the circle that a square holds, of a (BINS,) spectrum."""
    area = np.diff(np.minimum(np.linspace(0, CORNER, BINS + 1), 0.5) ** 2)
    return float(np.average(spectrum, weights=np.maximum(area, 0)))


def shaped_noise(
    power: torch.Tensor, shape: tuple[int, ...], rng: np.random.Generator, device: torch.device | None = None
) -> torch.Tensor:
    """(h, w) Gaussian noise of variance 1 with a power spectrum, (h, w // 2 + 1) on the grid of rfft2 (any scale)."""
    amplitude = power.sqrt() / _mean_over_plane(power, shape[1]).sqrt()
    amplitude[0, 0] = 0
    return torch.fft.irfft2(torch.fft.rfft2(_white(shape, rng, device)) * amplitude, s=shape)


def bin_frequencies() -> np.ndarray:
    """Frequencies of a measured spectrum. Returns (BINS,), cycles per px."""
    return (np.arange(BINS) + 0.5) * CORNER / BINS


def measure_spectrum(image: torch.Tensor, diameter_px: float, valid: torch.Tensor | None = None) -> np.ndarray:
    """Power spectrum of a micrograph's noise, by rotational averages of its patches with the fewest particles.

    Patches of 1.5 diameters overlap by half. Those that stand out in the band of frequencies where particles of this
    diameter have their signal, by more than chance (2 %) above the quietest tenth, are left out: particles, ice,
    carbon. Of crowded micrographs the quietest patches still hold parts of particles, which the spectrum then contains.

    image: Tensor or ndarray, (h, w) float32. diameter_px: px. valid: (h, w) bool, patches with False are left out.
    Returns (BINS,) float64, power at bin_frequencies(), its mean over the plane 1. Raises ValueError: without any
    patch."""
    image = torch.as_tensor(image, dtype=torch.float32)
    side = int(np.clip(2 * round(0.75 * diameter_px), SMALLEST_PATCH, LARGEST_PATCH))
    power, frequency = _patch_powers(image, side, valid), frequencies((side, side))
    weight = plane_weights(side).expand(side, -1)
    mean = power[_quiet_patches(power, frequency, weight, diameter_px)].double().mean(0)
    usable = frequency > 1.8 / side  # below, the window and the plane that was taken off leave nothing true
    index = (frequency * (BINS / CORNER)).long().clamp(max=BINS - 1)[usable]
    total = torch.bincount(index, (mean * weight)[usable], BINS)
    count = torch.bincount(index, weight[usable].double(), BINS)
    known = (count > 0).numpy()
    radial = np.interp(bin_frequencies(), bin_frequencies()[known], (total[known] / count[known]).numpy())
    # the smear of the patches' Hann window taken off to first order
    beside = [np.interp(bin_frequencies() + step, bin_frequencies(), radial) for step in (-1 / side, 1 / side)]
    radial = radial * radial / np.maximum((beside[0] + 4 * radial + beside[1]) / 6, 1e-12 * radial.max())
    return radial / plane_mean(radial)


def _patch_powers(image: torch.Tensor, side: int, valid: torch.Tensor | None) -> torch.Tensor:
    """(n, side, side // 2 + 1) periodograms of the usable patches."""
    step = side // 2
    if min(image.shape) < side:
        raise ValueError(f"the image of {image.shape[1]} x {image.shape[0]} px is smaller than a patch of {side} px.")
    patches = image.unfold(0, side, step).unfold(1, side, step).reshape(-1, side, side)
    if valid is not None:
        whole = torch.as_tensor(valid).unfold(0, side, step).unfold(1, side, step).reshape(-1, side * side).all(1)
        patches = patches[whole]
    if not len(patches):
        raise ValueError("no part of it is free of margins and empty areas.")
    if len(patches) > MAX_PATCHES:
        patches = patches[torch.linspace(0, len(patches) - 1, MAX_PATCHES).long()]
    window = torch.hann_window(side, periodic=True)
    window = window[:, None] * window[None]
    transforms = (torch.fft.rfft2(_without_plane(part) * window) for part in patches.split(256))
    return torch.cat([transform.abs().square() / window.square().sum() for transform in transforms])


def _without_plane(patches: torch.Tensor) -> torch.Tensor:
    side = patches.shape[-1]
    axis = torch.linspace(-1, 1, side)
    norm, patches = axis.square().sum() * side, patches - patches.mean((1, 2), keepdim=True)
    ramp_y, ramp_x = (patches * axis[:, None]).sum((1, 2)) / norm, (patches * axis[None]).sum((1, 2)) / norm
    return patches - ramp_y[:, None, None] * axis[:, None] - ramp_x[:, None, None] * axis[None]


def _quiet_patches(
    power: torch.Tensor, frequency: torch.Tensor, weight: torch.Tensor, diameter_px: float
) -> torch.Tensor:
    """(n,) bool: patches whose power in the particles' band is no more than chance above the quietest ones'."""
    side = power.shape[1]
    # a particle's signal lies from one over its diameter to some five times that; a few modes at least
    band = (frequency > min(0.6 / diameter_px, 2.0 / side)) & (frequency < max(5 / diameter_px, 8.0 / side))
    band &= frequency > 1.8 / side
    # the logarithm weighs weak frequencies as much as strong ones; its mean over modes is nearly normal
    level = ((power / power.median(0).values.clamp(min=1e-30))[:, band] * weight[band]).sum(1) / weight[band].sum()
    # independent ones: a Hann window joins neighbours (1.94 along each axis)
    modes = float(weight[band].sum()) / 2 / 3.8

    quietest, limit = gammaincinv(max(modes, 1.0), [0.1, 0.98])  # a mean of so many powers of noise alone
    return level <= float(torch.quantile(level, 0.1)) * limit / quietest


def _white(shape: tuple[int, ...], rng: np.random.Generator, device: torch.device | None) -> torch.Tensor:
    generator = torch.Generator(device or "cpu").manual_seed(int(rng.integers(2**62)))
    return torch.randn(shape, generator=generator, device=device)


def _mean_over_plane(power: torch.Tensor, width: int) -> torch.Tensor:
    """Mean over the whole plane of what is given on the grid of rfft2."""
    return ((power.double() * plane_weights(width).to(power.device)).sum() / (power.shape[0] * width)).float()
