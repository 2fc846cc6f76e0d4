# SPDX-License-Identifier: GPL-3.0-or-later
"""Inputs of a heterogeneity fit, and their checks."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ...contract import PARTICLES_PER_DIMENSION, FitHeterogeneityConfig
from ...core.frc import fsc
from ...io.particle_sets import ParticleSet, read_particles
from ...latent.masks import checked_mask, copy_notes, symmetry_notes
from ...simulate.micrographs import particle_diameter
from ...simulate.particle_images import fit_cube, voxel_notes
from ...simulate.structures import load_density
from .alignment import check_alignment

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
    """The Inputs of a FitHeterogeneityConfig.

    Raises
    ------
    ValueError
        Particles without angles or CTF, of several sizes or denoised, or not aligned to the reference; too few of
        them; a reference larger than the images; a mask outside of the molecule.
    """
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
    cube = fit_cube(density, box)
    mask = None if config.mask is None else checked_mask(config.mask, voxel, cube.numpy(), reference)
    contrast, more = check_alignment(particles, cube, voxel, diameter, reference, config.contrast)
    return Inputs(particles, radius, box, cube.numpy(), mask, diameter, contrast, notes + more, seed)


def compare_maps(
    own: np.ndarray, halves_fsc: np.ndarray, reference: np.ndarray, config: FitHeterogeneityConfig
) -> list[str]:
    """Whether the particles' own map is that of the reference.

    Parameters
    ----------
    own, reference : ndarray, (box, box, box)
    halves_fsc : ndarray, (rings,)
        Of the halves of `own`.

    Returns
    -------
    list of str
        Warnings.

    Raises
    ------
    ValueError
        The particles agree with each other at their orientations, but not with the reference.
    """
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
