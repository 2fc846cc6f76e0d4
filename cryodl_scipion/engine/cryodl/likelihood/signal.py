# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit of a structure's projections to particle images: amplitude, contrast and treatment of the CTF."""

from __future__ import annotations

import dataclasses
import typing

import torch

from .prepare import check_not_empty, prepare, resample, sample_rows

if typing.TYPE_CHECKING:
    from ..core.projections import Projector
    from ..io.particle_sets import ParticleSet


@dataclasses.dataclass(frozen=True)
class SignalFit:
    """images = amplitude x CTF x projections + noise of variance about 1. error: standard error of the amplitude.
    ctf_state: as ParticleSet's; 'flipped' also where the file does not say it, but the images show it."""

    amplitude: float
    error: float
    ctf_state: str

    @property
    def significant(self) -> bool:
        """Whether the amplitude is clearly not 0."""
        return abs(self.amplitude) > SURE * self.error


def fit_structure(
    particles: ParticleSet, projector: Projector, diameter_px: float | None = None, pixel_size: float | None = None
) -> SignalFit:
    """Fit of a structure's projections to particles with angles.

    Parameters
    ----------
    particles : ParticleSet
        With angles.
    projector : Projector
        Of the structure at `pixel_size`; its side is the box that the images are brought to.
    diameter_px : float, px, optional
        Of the particle in those pixels; 0.8 of the box if None.
    pixel_size : float, Å/px, optional
        The particles' if None.

    Raises
    ------
    ValueError
        For empty images.
    """
    pixel_size = pixel_size or particles.pixel_size
    box = projector.side
    rows = sample_rows(len(particles))
    images, exact = resample(particles.images(rows), particles.pixel_size, pixel_size, box)
    check_not_empty(images, particles.path)
    images = prepare(images, diameter_px or 0.8 * box).to(projector.device)
    angles, shifts_yx = particles.poses(rows)
    views = torch.fft.rfft2(projector.project(angles, shifts_yx * (particles.pixel_size / exact), box))
    if particles.optics is None:
        return _fit(images, views, "none")
    ctf = particles.ctf(rows, box, exact, projector.device)
    if particles.ctf_state == "none":
        # where the CTF is negative, flipped images show the structure with the other sign than where it is positive
        positive, negative = (_fit(images, views * part, "none") for part in (ctf.clamp(min=0), ctf.clamp(max=0)))
        if positive.significant and negative.significant and positive.amplitude * negative.amplitude < 0:
            return _fit(images, views * ctf.abs(), "flipped")
    return _fit(images, views * ctf, particles.ctf_state)


def _fit(images: torch.Tensor, transforms: torch.Tensor, state: str) -> SignalFit:
    """Least squares over all images at once, mean values left out. One image alone leaves the error unknown:
    infinite."""
    seen = torch.fft.irfft2(transforms, s=images.shape[-2:])
    seen = seen - seen.mean((1, 2), keepdim=True)
    match, power = (images * seen).sum((1, 2)).double(), seen.square().sum((1, 2)).double()
    total = power.sum().clamp(min=1e-30)
    amplitude = match.sum() / total
    # the spread from image to image holds all that is wrong: noise, angles, differing strengths
    error = (match - amplitude * power).square().sum().sqrt() / total if len(images) > 1 else float("inf")
    return SignalFit(float(amplitude), float(error), state)


SURE = 5.0  # standard errors


def find_contrast(
    particles: ParticleSet, structure_projector: Projector | None = None, diameter_px: float | None = None
) -> tuple[str, bool, str]:
    """Whether protein is bright or dark in particle images.

    Parameters
    ----------
    structure_projector : Projector, optional
        At the particles' box and pixel size; with it and angles the images are compared with the structure's
        projections, else with a ball.
    diameter_px : float, px, optional
        Of the ball; 0.6 of the box if None.

    Returns
    -------
    contrast : str
        'bright' or 'dark'; what is not sure is taken as bright.
    significant : bool
        Beyond 5 standard errors.

    Raises
    ------
    ValueError
        For empty images.
    """
    if structure_projector is not None and particles.angles is not None:
        fit = fit_structure(particles, structure_projector, diameter_px)
        return _verdict(fit.amplitude, fit.error, "the structure's projections")
    rows = sample_rows(len(particles))
    box = particles.box
    diameter_px = diameter_px or 0.6 * box
    images = particles.images(rows)
    check_not_empty(images, particles.path)
    images = prepare(images, diameter_px)
    seen = torch.fft.rfft2(_ball(box, diameter_px))
    if particles.optics is not None:
        seen = seen * particles.ctf(rows)
    template = torch.fft.irfft2(seen.expand(len(rows), -1, -1), s=(box, box))
    template = template - template.mean((1, 2), keepdim=True)
    matches = (images * template).mean((1, 2))
    error = float(matches.std() / len(rows) ** 0.5) if len(rows) > 1 else float("inf")
    return _verdict(float(matches.mean()), error, "a sphere of the particle's size")


def _verdict(value: float, error: float, compared: str) -> tuple[str, bool, str]:
    if abs(value) <= SURE * error:
        return (
            "bright",
            False,
            (
                f"The contrast could not be determined by comparing the images with {compared}; protein is assumed "
                "to be bright, as after RELION's extraction. If it is dark, set --contrast dark."
            ),
        )
    contrast = "bright" if value > 0 else "dark"
    return (
        contrast,
        True,
        (f"Protein is {contrast} in the images (compared with {compared}, {abs(value) / error:.0f} standard errors)."),
    )


def _ball(box: int, diameter_px: float) -> torch.Tensor:
    """(box, box) projection of a ball around pixel box // 2."""
    axis = torch.arange(box) - box // 2
    return ((diameter_px / 2) ** 2 - (axis[:, None] ** 2 + axis[None] ** 2)).clamp(min=0).sqrt()
