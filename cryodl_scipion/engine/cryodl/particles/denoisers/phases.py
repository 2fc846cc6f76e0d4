# SPDX-License-Identifier: GPL-3.0-or-later
"""Test whether particle images are phase-flipped although their file does not state it."""

from __future__ import annotations

import typing

import torch

from ...likelihood.observed import prepare, sample_rows

if typing.TYPE_CHECKING:
    from ...io.particle_sets import ParticleSet
    from .run import Denoiser

SAMPLE = 96  # particles: at an SNR of 0.05 their difference is some 5 standard errors
CLEARLY = 4.0  # standard errors


def looks_flipped(denoiser: Denoiser, particles: ParticleSet, contrast: str, diameter_px: float) -> bool:
    """True if a denoiser's answers, seen through the CTF, fit the images clearly better (4 standard errors of a sample
    of the particles) where the images are read as phase-flipped.

    denoiser: run.Denoiser. particles: ParticleSet. contrast, diameter_px: as for preprocess.prepare. False where
    nothing can be told: without a CTF, where the file says what was done, and for networks that do not use the CTF.
    """
    if particles.optics is None or particles.ctf_state != "none" or not denoiser.method.uses_ctf:
        return False
    rows = sample_rows(len(particles), SAMPLE)
    if len(rows) < 2:
        return False
    images, ctf = prepare(particles.images(rows), diameter_px, contrast), particles.ctf(rows)
    told, flipped = (_fit(denoiser, images, transfer, particles.pixel_size) for transfer in (ctf, ctf.abs()))
    gain = flipped - told
    return bool(gain.mean() > CLEARLY * gain.std() / len(gain) ** 0.5)


def _fit(denoiser: Denoiser, images: torch.Tensor, transfer: torch.Tensor, pixel_size: float) -> torch.Tensor:
    """(n,) correlations of images with what the denoiser makes of them, seen through the CTF."""
    answers = denoiser.denoise(images, transfer, pixel_size)
    seen = torch.fft.irfft2(torch.fft.rfft2(answers) * transfer, s=images.shape[-2:])
    seen, images = (x - x.mean((1, 2), keepdim=True) for x in (seen, images))
    norms = (seen.square().sum((1, 2)) * images.square().sum((1, 2))).sqrt()
    return (images * seen).sum((1, 2)) / norms.clamp(min=1e-12)
