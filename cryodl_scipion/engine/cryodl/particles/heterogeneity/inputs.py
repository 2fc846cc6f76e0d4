# SPDX-License-Identifier: GPL-3.0-or-later
"""Inputs of a heterogeneity fit, and their checks.

Check that particles are aligned to a reference, with the contrast and CTF that their file states."""

import dataclasses

import numpy as np
import torch

from ...contract import PARTICLES_PER_DIMENSION, FitHeterogeneityConfig
from ...core.frc import fsc
from ...core.projections import Projector
from ...core.volumes import cube_crop
from ...io.particle_sets import ParticleSet, read_particles, treated_ctf
from ...io.structures import load_density
from ...latent.masks import checked_mask, copy_notes, symmetry_notes
from ...likelihood.observed import check_not_empty, prepare, resample, sample_rows
from ...likelihood.reference import image_products
from ...simulate.micrographs import particle_diameter
from ...simulate.particle_images import voxel_notes

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
    {state: (m,)} what the projections explain of each image, if that was done to the images with their CTF."""

    own: np.ndarray
    shuffled: np.ndarray
    gains: dict[str, np.ndarray]


def check_alignment(
    particles: ParticleSet, reference: torch.Tensor, voxel: float, diameter: float, name: str, contrast: str
) -> tuple[str, list[str]]:
    """The contrast of aligned particles, and sentences for the user.

    particles: with angles and CTF. reference: (box, box, box). voxel, diameter: Å. name: of the reference, for
    messages. contrast: 'bright', 'dark', or 'auto' to find it from the images. Raises ValueError: empty images; images
    that were only aligned in the plane, that fit the reference no better at their own orientations than at others, or
    whose CTF was treated otherwise than the file says."""
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
        match.numpy() / np.sqrt(np.maximum(power.numpy(), 1e-30))
        for match, power in (image_products(images, part * stated) for part in (transforms, others))
    )
    return Matches(own, shuffled, gains)


def errors_from_zero(values: np.ndarray) -> float:
    """Mean of (m,) numbers in standard errors of it."""
    return float(values.mean() / max(values.std() / np.sqrt(len(values)), 1e-30))


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


EXPANDED_BY = " (relion_particle_symmetry_expand)"
SHELLS = slice(2, 8)  # in which maps of the same molecule agree, whatever their resolution
AGREE, DIFFER = 0.3, 0.2  # mean FSC above which maps show the same, below which they do not
OTHER_HAND = 0.1  # by which the mirror image must agree better
DETAIL = 24  # waves per box: finest detail by default
LARGEST = 48  # waves per box: the finest detail that is ever used


@dataclasses.dataclass
class Inputs:
    """particles : ParticleSet. radius : waves per box. box : side of the volumes. reference, mask : (box, box, box)
    arrays; mask None without one. diameter : Å. contrast : 'bright' or 'dark'. notes : sentences for the user.
    seed : of all that is drawn."""

    particles: ParticleSet
    radius: float
    box: int
    reference: np.ndarray
    mask: np.ndarray | None
    diameter: float
    contrast: str
    notes: list[str]
    seed: int = 0


def load_inputs(config: FitHeterogeneityConfig, seed: int = 0) -> Inputs:
    """The Inputs of a FitHeterogeneityConfig. Raises ValueError: particles without angles or CTF, of several sizes or
    denoised, or not aligned to the reference; too few of them; a reference larger than the images; a mask outside of
    the molecule."""
    particles = read_particles(config.particles, need=("angles", "ctf", "raw"))
    needed = PARTICLES_PER_DIMENSION * config.latent
    if len(particles) < needed:
        raise ValueError(
            f"{config.particles} has {len(particles)} particles; {config.latent} latent dimensions "
            f"(--latent) need at least {needed}. Give more particles or fewer dimensions."
        )
    width = particles.box * particles.pixel_size
    radius = min(DETAIL if config.resolution is None else width / config.resolution, particles.box / 2 - 2, LARGEST)
    box = 2 * int(np.ceil(radius)) + 4
    voxel = width / box
    reference = str(config.reference)
    density = load_density(reference, voxel)
    diameter = particle_diameter(density, voxel)
    if diameter > width:
        raise ValueError(
            f"{reference} is {diameter:.0f} Å wide, but the images of {config.particles} are only "
            f"{width:.0f} Å wide. Give the map that the particles were refined against."
        )
    copies = copy_notes(particles)
    notes = voxel_notes(reference, particles.pixel_size) + copies
    notes += [] if copies else symmetry_notes(density, reference, by=EXPANDED_BY)
    if config.resolution is not None and width / config.resolution > radius + 0.5:
        notes.append(
            f"Particles are compared to {width / radius:.1f} Å, not to {config.resolution:g} Å (--resolution): the "
            f"limit is 1/{LARGEST} of the box size, and the pixel size."
        )
    cube = cube_crop(density, box)
    mask = None if config.mask is None else checked_mask(config.mask, voxel, cube.numpy(), reference)
    contrast, more = check_alignment(particles, cube, voxel, diameter, reference, config.contrast)
    return Inputs(particles, radius, box, cube.numpy(), mask, diameter, contrast, notes + more, seed)


def compare_maps(
    own: np.ndarray, halves_fsc: np.ndarray, reference: np.ndarray, config: FitHeterogeneityConfig
) -> list[str]:
    """Whether the particles' own map is that of the reference. own, reference: (box, box, box). halves_fsc: (rings,),
    of the halves of `own`. Returns warnings. Raises ValueError: the particles agree with each other at their
    orientations, but not with the reference."""
    together = float(np.mean(halves_fsc[SHELLS]))
    same = _alike(own, reference)
    if together < AGREE:
        return [
            f"{config.particles}: at their orientations the two halves of the particles have nothing in common "
            f"(FSC {together:.2f} at low resolution). They are noise, or their orientations are wrong."
        ]
    if same < DIFFER:
        raise ValueError(
            f"{config.particles} are not aligned to {config.reference}: the map of the particles and the reference "
            f"have a Fourier shell correlation of {same:.2f} at low resolution (between the halves of the particles "
            f"{together:.2f}). Give the map of the refinement that their angles come from, in the same coordinate "
            "frame and handedness."
        )
    flipped = max(_alike(own, np.roll(np.flip(reference, axis), 1, axis)) for axis in range(3))
    if flipped > same + OTHER_HAND:
        raise ValueError(
            f"{config.reference} is the mirror image of the map of {config.particles}: their Fourier shell "
            f"correlation at low resolution is {same:.2f}, that of its mirror image {flipped:.2f}. Give the mirrored "
            "map."
        )
    return []


def _alike(first: np.ndarray, second: np.ndarray) -> float:
    return float(fsc(torch.from_numpy(first), torch.from_numpy(np.ascontiguousarray(second)))[SHELLS].mean())
