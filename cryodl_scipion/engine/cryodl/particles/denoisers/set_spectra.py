# SPDX-License-Identifier: GPL-3.0-or-later
"""Spectra of signal and noise of a set of particles whose structure is not known, and images whitened with them."""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F

from ...core.fourier import filtered, on_grid, plane_weights, radial_mean
from ...likelihood.observed import WIDEST, noise_spectra, prepare

WHITE = 512  # images of white noise that tell what the corners miss
SURE = 4.0  # standard errors by which a set with signal has more power than noise in at least one ring
UNSURE = 0.5  # standard errors: least signal of a ring in such a set
NEAR = 4  # rings to either side that sums are taken over


@dataclasses.dataclass(frozen=True)
class SetSpectra:
    """What a set tells of itself, at the rings of fourier.shells of working images of `side` px. noise: (r,) power of
    the noise. signal: (r,) of the projections, 0 if the set has nothing but noise. Of white noise of variance 1 the
    power is 1. trust: (r,) how far the network's answer replaces the Wiener filter's, 0 to 1."""

    side: int
    noise: torch.Tensor
    signal: torch.Tensor
    trust: torch.Tensor

    @property
    def deviation(self) -> float:
        """Standard deviation of a projection within the images' circle."""
        power = on_grid(self.signal, self.side) * plane_weights(self.side)
        power[0, 0] = 0  # the mean value is no variation
        return float(power.sum() / self.side**2 * 4 / torch.pi) ** 0.5


def measure_spectra(images: torch.Tensor, ctf: torch.Tensor) -> SetSpectra:
    """SetSpectra of prepared images (n, side, side) and their CTF (n, side, side // 2 + 1), without trust.

    The corners that the noise is measured in are narrow, which costs the coarsest rings; what white noise loses there
    says how much.
    """
    side = images.shape[-1]
    noise, powers, transfer = noise_spectra(images, WIDEST * side), _powers(images), radial_mean(ctf.square(), side)
    white = torch.randn((WHITE, side, side), generator=torch.Generator().manual_seed(1))
    white = prepare(white, WIDEST * side)
    mean = noise.mean(0) * _powers(white).mean(0) / noise_spectra(white, WIDEST * side).mean(0)
    rest, weight = (powers - mean) * transfer, transfer.square().sum(0).clamp(min=1e-12)
    signal = rest.sum(0) / weight
    error = (rest - rest.mean(0)).square().sum(0).sqrt() / weight
    found = bool((signal > SURE * error).any())
    signal = torch.maximum(signal, UNSURE * error) * found
    return SetSpectra(side, mean.clamp(min=1e-6), signal, torch.zeros_like(signal))


def whitened(images: torch.Tensor, ctf: torch.Tensor, spectra: SetSpectra) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, side, side) with white noise of variance 1, flipped phases and dark protein, as in the micrographs
    that the network learnt from; and the power of their signal (n, side, side // 2 + 1)."""
    signal, noise = (on_grid(x, images.shape[-1]) for x in (spectra.signal, spectra.noise))
    signs = torch.where(ctf < 0, -1.0, 1.0)
    return -filtered(images, signs * noise.rsqrt()), ctf.square() * signal / noise


def summed_rings(values: torch.Tensor) -> torch.Tensor:
    """(n, r) sums over NEAR rings to either side, the farther the less."""
    kernel = NEAR + 1 - (torch.arange(2 * NEAR + 1) - NEAR).abs().float()
    return F.conv1d(F.pad(values[:, None], (NEAR, NEAR), mode="replicate"), kernel[None, None])[:, 0]


def _powers(images: torch.Tensor) -> torch.Tensor:
    """(n, r) power of each image at the rings."""
    return radial_mean(torch.fft.rfft2(images).abs().square() / images[0].numel(), images.shape[-1])
