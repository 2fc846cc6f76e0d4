# SPDX-License-Identifier: GPL-3.0-or-later
"""How strongly, and with which treatment of their CTF, particle images show a structure."""
import dataclasses

import torch

from .preprocess import prepare, resample, sample_rows

CLEARLY = 1.3  # ratio of explained powers above which images are taken to be phase-flipped
FEWEST_PROOFS = 30.0  # ... and difference of chi-squared: more than 5 standard deviations


@dataclasses.dataclass(frozen=True)
class Fit:
    """images = amplitude x CTF x projections + noise of variance about 1. error: standard error of the amplitude. explained: chi-
    squared that the projections explain. ctf_state: as ParticleSet's; 'flipped' also where it was not said, but fits better."""
    amplitude: float
    error: float
    explained: float
    ctf_state: str


def fit_structure(particles, projector, diameter_px=None, pixel_size=None):
    """Fit of a structure's projections to particles with angles.

    particles: ParticleSet with angles. projector: of the structure at `pixel_size` (the particles', if None); its side is the
    box that the images are brought to. diameter_px: of the particle in those pixels; 0.8 of the box if None.
    """
    pixel_size = pixel_size or particles.pixel_size
    box = projector.side
    rows = sample_rows(len(particles))
    images, exact = resample(particles.images(rows), particles.pixel_size, pixel_size, box)
    images = prepare(images, diameter_px or 0.8 * box).to(projector.device)
    views = torch.fft.rfft2(projector.project(particles.angles[rows], particles.shifts_yx[rows] * particles.pixel_size / exact, box))
    if particles.optics is None:
        return _fit(images, views, "none")
    ctf = particles.ctf(rows, box, exact, projector.device)
    said = _fit(images, views * ctf, particles.ctf_state)
    if particles.ctf_state != "none":
        return said
    flipped = _fit(images, views * ctf.abs(), "flipped")
    better = flipped.explained > CLEARLY * said.explained and flipped.explained > said.explained + FEWEST_PROOFS
    return flipped if better else said


def _fit(images, transforms, state):
    """Least squares over all images at once, mean values left out."""
    seen = torch.fft.irfft2(transforms, s=images.shape[-2:])
    seen = seen - seen.mean((1, 2), keepdim=True)
    match, power = (images * seen).sum((1, 2)).double(), seen.square().sum((1, 2)).double()
    total = power.sum().clamp(min=1e-30)
    amplitude = match.sum() / total
    # the spread from image to image holds all that is wrong: noise, angles, differing strengths
    error = (match - amplitude * power).square().sum().sqrt() / total
    return Fit(float(amplitude), float(error), float(match.sum() ** 2 / total), state)
