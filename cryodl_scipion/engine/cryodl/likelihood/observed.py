# SPDX-License-Identifier: GPL-3.0-or-later
"""Particle images as the likelihood sees them: Fourier coefficients with their CTF and the noise's power.

An image X shows the projection P of the structure with transfer T (its CTF) and noise of power N in each coefficient:
log p(X | P) = - sum |X - T P|² / N. Up to what does not depend on P this is 2 Re sum conj(P) (T X / N) - sum |P|² T² /
N: the images enter by `match` = 2 T X / N and `weight` = T² / N alone.
"""

from __future__ import annotations

import dataclasses
import typing

import torch

from .prepare import noise_spectrum, prepare, sample_rows

if typing.TYPE_CHECKING:
    from ..io.particle_sets import ParticleSet
    from .reference import HalfDisc

CHUNK = 512  # images that are transformed at a time


@dataclasses.dataclass(frozen=True)
class Observed:
    """match: (n, d) complex64. weight: (n, d) float32. disc: the HalfDisc of both."""

    match: torch.Tensor
    weight: torch.Tensor
    disc: HalfDisc

    def __len__(self) -> int:
        return len(self.match)

    def __getitem__(self, rows: typing.Any) -> Observed:
        return Observed(self.match[rows], self.weight[rows], self.disc)


@dataclasses.dataclass(frozen=True)
class Source:
    """Where observed images come from, and how they are to be read.

    particles: ParticleSet. diameter_px: of the particle. contrast: 'bright' or 'dark'. ctf_state: as ParticleSet's, or
    'denoised' (no CTF is left). noise: (box // 2 + 1,) power in the images' rings (white noise of variance 1: 1),
    tensor. denoise: called with prepared images and their CTF (None without), gives denoised images; None: raw images
    are compared.
    """

    particles: ParticleSet
    diameter_px: float
    contrast: str
    ctf_state: str
    noise: torch.Tensor | None = None
    denoise: typing.Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor] | None = None

    @property
    def power(self) -> torch.Tensor:
        """The noise. Raises ValueError as long as it is not measured."""
        if self.noise is None:
            raise ValueError("The noise of these images is not known: ask the Source that measured() gives.")
        return self.noise

    def images(self, rows: typing.Any, device: torch.device | None = None) -> torch.Tensor:
        """(m, box, box) images, normalised, protein bright; denoised if asked for."""
        images = prepare(self.particles.images(rows), self.diameter_px, self.contrast).to(device or "cpu")
        if self.denoise is None:
            return images
        ctf = None if self.particles.optics is None else self.particles.ctf(rows)
        return self.denoise(images, ctf).to(images.device)

    def measured(self) -> Source:
        """The same source with the noise measured outside of the particles. Of denoised images, which have none: a
        quarter of the images' own power, to begin with (assign.Search.learn measures what remains)."""
        images = self.images(sample_rows(len(self.particles)))
        if self.denoise is None and self.ctf_state != "denoised":
            return dataclasses.replace(self, noise=noise_spectrum(images, self.diameter_px))
        from ..core.fourier import radial_mean

        power = radial_mean(torch.fft.rfft2(images).abs().square().mean(0), images.shape[-1]) / images.shape[-1] ** 2
        power[0] = power[1]
        return dataclasses.replace(self, noise=0.25 * power)

    def observed(self, rows: typing.Any, disc: HalfDisc) -> Observed:
        """Observed of some rows (array of int), on the disc's device."""
        parts = [self._observed(rows[start : start + CHUNK], disc) for start in range(0, len(rows), CHUNK)]
        return Observed(torch.cat([p.match for p in parts]), torch.cat([p.weight for p in parts]), disc)

    def _observed(self, rows: typing.Any, disc: HalfDisc) -> Observed:
        noise = self.power.to(disc.device)
        images = self.images(rows, disc.device)
        noise = noise.clamp(min=1e-6 * float(noise.max())) * images.shape[-1] ** 2
        values, inverse = disc.of_images(images), (1 / noise)[disc.ring]
        if self.denoise is not None or self.ctf_state == "denoised" or self.particles.optics is None:
            return Observed(2 * values * inverse, inverse.expand(len(values), -1).contiguous(), disc)
        transfer = disc.on_grid(self._ctf(rows, disc.device))
        if self.ctf_state == "multiplied":  # so was the noise: its power is N T, where T is the square of the CTF
            inverse = inverse * self._ctf_power(disc)
            return Observed(2 * values * inverse, transfer * inverse, disc)
        return Observed(2 * values * transfer * inverse, transfer.square() * inverse, disc)

    def _ctf(self, rows: typing.Any, device: torch.device) -> torch.Tensor:
        values = self.particles.ctf(rows, device=device)
        return values.abs() if self.ctf_state == "flipped" else values

    def _ctf_power(self, disc: HalfDisc) -> torch.Tensor:
        """(d,) mean square of the CTF over the images, ring by ring: what the measured noise of multiplied images
        holds."""
        from ..core.fourier import radial_mean

        mean = self.particles.ctf(sample_rows(len(self.particles), 64), device=disc.device).mean(0)
        return radial_mean(mean, self.particles.box)[disc.ring]
