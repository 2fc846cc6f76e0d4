# SPDX-License-Identifier: GPL-3.0-or-later
"""Check that particles are aligned to a reference, with the contrast and CTF that their file states."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch

from ...core.projections import Projector
from ...io.particle_sets import treated_ctf
from ...likelihood.observed import check_not_empty, prepare, resample, sample_rows

if typing.TYPE_CHECKING:
    from ...io.particle_sets import ParticleSet

SAMPLE = 1024  # particles that are compared with projections of the reference
SURE, UNSURE = 5.0, 3.0  # standard errors
STATES = ("none", "flipped", "multiplied")
WORDS = {
    "none": "neither phase-flipped nor multiplied by their CTF",
    "flipped": "phase-flipped (or corrected for their CTF)",
    "multiplied": "multiplied by their CTF",
}


@dataclasses.dataclass(frozen=True)
class Matches:
    """Of m images with projections of a reference, in units of the noise.

    own, shuffled : (m,) normalised correlations at the images' own orientations and at those of other images. gains :
    {state: (m,)} what the projections explain of each image, if that was done to the images with their CTF.
    """

    own: np.ndarray
    shuffled: np.ndarray
    gains: dict[str, np.ndarray]


def check_alignment(
    particles: ParticleSet, reference: torch.Tensor, voxel: float, diameter: float, name: str, contrast: str
) -> tuple[str, list[str]]:
    """The contrast of aligned particles, and sentences for the user.

    Parameters
    ----------
    particles : ParticleSet
        With angles and CTF.
    reference : Tensor, (box, box, box)
    voxel, diameter : float
        Å.
    name : str
        Of the reference, for messages.
    contrast : str
        'bright', 'dark', or 'auto' to find it from the images.

    Raises
    ------
    ValueError
        Empty images; images that were only aligned in the plane, that fit the reference no better at their own
        orientations than at others, or whose CTF was treated otherwise than the file says.
    """
    angles = particles.poses(np.arange(len(particles)))[0]
    if len(particles) > 1 and not np.ptp(angles[:, :2], axis=0).any():
        rot, tilt = angles[0, :2]
        raise ValueError(
            f"All particles of {particles.path} have the same rlnAngleRot ({rot:g}) and rlnAngleTilt ({tilt:g}): "
            "they have at best a 2-D alignment. Refine them in 3-D, or assign orientations with `cryodl "
            "assign-orientations`."
        )
    found = match_reference(particles, reference, voxel, diameter)
    value = errors_from_zero(found.own)
    if abs(value) <= SURE:
        return ("bright" if contrast == "auto" else contrast), [
            f"{particles.path}: the images do not show {name} at their orientations ({abs(value):.1f} standard "
            "errors from no correlation). They are noise, or their orientations are wrong."
        ]
    _check_ctf(particles, found.gains)
    sign = 1 if value > 0 else -1
    if errors_from_zero(sign * (found.own - found.shuffled)) < UNSURE:
        raise ValueError(
            f"{particles.path}: the images fit {name} no better at their own orientations than at those of other "
            "images. The angles do not belong to these images or to this map. Give the particles and the map of the "
            "same refinement."
        )
    return (("bright" if sign > 0 else "dark") if contrast == "auto" else contrast), []


def match_reference(particles: ParticleSet, reference: torch.Tensor, voxel: float, diameter: float) -> Matches:
    """Matches of a sample of the particles. Parameters: see check_alignment."""
    rows, box = sample_rows(len(particles), SAMPLE), reference.shape[-1]
    images, exact = resample(particles.images(rows), particles.pixel_size, voxel, box)
    check_not_empty(images, particles.path)
    images = prepare(images, min(1.1 * diameter / voxel, 0.98 * box))
    angles, shifts_yx = particles.poses(rows)
    shifts_yx = shifts_yx * (particles.pixel_size / exact)
    projector, order = Projector(reference), np.random.default_rng(0).permutation(len(rows))
    transforms = torch.fft.rfft2(projector.project(angles, shifts_yx, box))
    others = torch.fft.rfft2(projector.project(angles[order], shifts_yx, box))
    plain = dataclasses.replace(particles, ctf_state="none").ctf(rows, box, exact)
    gains = {}
    for state in STATES:
        match, power = _ring_products(images, transforms * treated_ctf(plain, state))
        amplitude = match.sum(0) / power.sum(0).clamp(min=1e-30)
        amplitude = torch.where(amplitude * match.sum() > 0, amplitude, 0)  # of one sign in all rings
        gains[state] = (amplitude * match - 0.5 * amplitude**2 * power).sum(1).numpy()
    stated = treated_ctf(plain, particles.ctf_state)
    own, shuffled = (
        match / np.sqrt(np.maximum(power, 1e-30))
        for match, power in (_products(images, part * stated) for part in (transforms, others))
    )
    return Matches(own, shuffled, gains)


def errors_from_zero(values: np.ndarray) -> float:
    """Mean of (m,) numbers in standard errors of it."""
    return float(values.mean() / max(values.std() / np.sqrt(len(values)), 1e-30))


def _products(images: torch.Tensor, transforms: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """(m,) products of images with the images of transforms, and squares of the latter, their means left out."""
    seen = torch.fft.irfft2(transforms, s=images.shape[-2:])
    seen = seen - seen.mean((1, 2), keepdim=True)
    return (images * seen).sum((1, 2)).double().numpy(), seen.square().sum((1, 2)).double().numpy()


def _ring_products(images: torch.Tensor, transforms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(m, rings) products of images with the images of transforms, and squares of the latter, by their detail: how
    blurred a reference is must not decide how the images seem to be treated."""
    box = images.shape[-1]
    ky, kx = torch.fft.fftfreq(box) * box, torch.arange(transforms.shape[-1])
    ring = torch.hypot(ky[:, None], kx.float()).round().long().flatten()
    twice = (1.0 + ((kx > 0) & (2 * kx < box))).expand(box, -1)  # what the other half of the transform adds
    found = []
    for values in ((torch.fft.rfft2(images).conj() * transforms).real, transforms.abs().square()):
        sums = torch.zeros(len(images), int(ring.max()) + 1, dtype=torch.double)
        found.append(sums.index_add_(1, ring, (values * twice).flatten(1).double())[:, 1 : box // 2])
    return found[0], found[1]


def _check_ctf(particles: ParticleSet, gains: dict[str, np.ndarray]) -> None:
    stated = particles.ctf_state
    best = max(STATES, key=lambda state: gains[state].mean())
    if best == stated or errors_from_zero(gains[best] - gains[stated]) < SURE:
        return
    raise ValueError(
        f"According to {particles.path} its images are {WORDS[stated]}, but they seem to be {WORDS[best]}. Correct "
        "rlnCtfDataArePhaseFlipped and rlnCtfDataAreCtfPremultiplied of its optics table (0 or 1), or give the raw "
        "images."
    )
