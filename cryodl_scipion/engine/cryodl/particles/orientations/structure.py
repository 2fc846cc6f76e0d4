# SPDX-License-Identifier: GPL-3.0-or-later
"""The structure that particles are compared with, at a pixel size that suits the comparison."""

from __future__ import annotations

import dataclasses
import typing

from ...contract import AssignOrientationsConfig
from ...core.projections import Projector
from ...core.symmetry import check_symmetry
from ...simulate.micrographs import particle_diameter
from ...simulate.particle_images import voxel_notes
from ...simulate.structures import load_density
from .settings import FINEST, SearchSettings

if typing.TYPE_CHECKING:
    import torch

    from ...io.particle_sets import ParticleSet

FIRST_LOOK = 6.0  # Å/px, to measure the diameter
OVERSAMPLING = 3  # pixels in the finest detail


@dataclasses.dataclass(frozen=True)
class PreparedStructure:
    """projector: Projector at `pixel_size` Å/px. settings: assign.Settings that suit the structure and the particles.
    notes: sentences for the user."""

    projector: Projector
    pixel_size: float
    settings: SearchSettings
    notes: tuple[str, ...]


def prepare_structure(
    config: AssignOrientationsConfig, particles: ParticleSet, device: torch.device
) -> PreparedStructure:
    """The PreparedStructure of an AssignOrientationsConfig. Raises ValueError if it does not fit into the particles'
    box, or does not have the symmetry."""
    width = particles.box * particles.pixel_size
    first = max(FIRST_LOOK, particles.pixel_size)
    diameter = particle_diameter(load_density(config.structure, first), first)
    if diameter > width:
        raise ValueError(
            f"{config.structure} is {diameter:.0f} Å wide, but the images of {particles.path} are only "
            f"{width:.0f} Å wide ({particles.box} px x {particles.pixel_size:g} Å). Extract them with a "
            "larger box."
        )
    max_shift = width / 10 if config.max_shift is None else config.max_shift
    settings = SearchSettings(config.angular_step, max_shift, config.resolution or FINEST, diameter, config.symmetry)
    pixel_size = max(particles.pixel_size, settings.fine_resolution() / OVERSAMPLING)
    density = load_density(config.structure, pixel_size)
    check_symmetry(density, config.symmetry, config.structure)
    notes = tuple(voxel_notes(config.structure, particles.pixel_size))
    return PreparedStructure(Projector(density.to(device)), pixel_size, settings, notes)
