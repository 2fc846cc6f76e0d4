# SPDX-License-Identifier: GPL-3.0-or-later
"""The structure that particles are compared with, at a pixel size that suits the comparison.

Check of the pixel size: whether the structure fits the images better at another size."""

import dataclasses

import numpy as np
import torch

from ...contract import AssignOrientationsConfig, say_if
from ...core import projections, symmetry
from ...io import particle_sets, structures
from ...likelihood import observed, reference
from ...simulate import micrographs, particle_images
from .amplitude import evidences
from .assign import COARSE, FINEST, Search, SearchSettings

SIZES = (0.67, 0.75, 0.83, 0.9, 1.0, 1.11, 1.2, 1.33, 1.5)  # of the structure
NEAR = (0.9, 1.0, 1.11)
SAMPLE = 96  # particles
# logarithmic evidence of the sample by which another size must be better, and by how much it must differ from 1: of
# right files the best had 2 and lay within 0.01
SURE, LEAST = 8.0, 0.02
FALL = 6.0  # of the amplitude from some detail to half as fine again and beyond: the map ends there; others fall by 2


def best_size(search: Search, near: bool) -> tuple[float, float]:
    """The size at which a Search's structure fits the images best, by the parabola through the best of SIZES and its
    neighbours, and by how much logarithmic evidence it is better than 1 and than none: noise with the CTF's rings fits
    some size less badly. search: with the reading of its source chosen; raw images. near: whether sizes far from 1 need
    no look unless a neighbour of it is better. Detail that a coarse map lacks is not compared: a small molecule scaled
    by 0.9 would have some of it, nearly in its place."""
    source, width, found = search.source, search.width, {}
    rows, finest = observed.sample_rows(len(source.particles), SAMPLE), max(COARSE, end_of(search))
    for sizes in (NEAR, SIZES) if near else (SIZES,):
        # a little beyond the images there is next to nothing of the structure, and the best needs two neighbours
        for size in (s for s in sizes if s not in found and (s in NEAR or s * search.settings.diameter <= width)):
            other = search.coarse(source, size, finest)
            found[size] = evidences([source], rows, other.bank, other.shifts(), width)[0]
        if near and found[1.0] == max(found.values()):
            break
    tried, values = np.array(sorted(found.items())).T
    best = int(values.argmax())
    size, highest = tried[best], values[best]
    if 0 < best < len(tried) - 1:  # the best lies on the parabola through the three
        bend, slope, _ = np.polyfit(tried[best - 1 : best + 2] - size, values[best - 1 : best + 2], 2)
        size, highest = size - slope / (2 * bend), highest - slope**2 / (4 * bend)
    return float(size), float(highest - max(found[1.0], 0.0))


def end_of(search: Search) -> float:
    """Å: the finest detail of the structure; 0 if it has all that is compared."""
    views = search.fine.at_angles(projections.random_angles(64, np.random.default_rng(0))).abs().square().sum(0)
    total, number = (search.fine_disc.ring_sum(one).cpu().numpy() for one in (views, torch.ones_like(views)))
    amplitude = np.sqrt(total / np.maximum(number, 1))
    finer = np.maximum.accumulate(amplitude[::-1])[::-1]
    ends = [ring for ring in range(2, len(finer) * 2 // 3) if FALL * finer[-(-ring * 3 // 2)] < amplitude[ring]]
    return search.width / ends[0] if ends else 0.0


def size_notes(search: Search, particles: str, structure: str, near: bool = False) -> list[str]:
    """[sentence] if the structure fits better at another size. particles, structure: files. near: as of best_size."""
    size, gain = best_size(search, near)
    return say_if(
        gain >= SURE and abs(size - 1) >= LEAST,
        f"{particles} fits {structure} better if the structure is scaled by {size:.2f}: the particles show something "
        "else; or, if it is surely their molecule, one of the pixel sizes is wrong by about this factor (that of the "
        f"particles is {search.pixel_size:.4g} Å).",
    )


def tight_notes(path: str, width: float, structure: str, diameter: float) -> list[str]:
    """[sentence] if a structure nearly fills the images of a file. width, diameter: Å."""
    return say_if(
        diameter > TIGHT * width,
        f"{structure} is {diameter:.0f} Å wide, the images of {path} {width:.0f} Å: around it they show too "
        "little noise alone for it to be measured well, so that less of the evidence seems explained. Extract the "
        "particles with a box of 1.5 diameters.",
    )


FIRST_LOOK = 6.0  # Å/px, to measure the diameter
OVERSAMPLING = 3  # pixels in the finest detail
TIGHT = 0.83  # of the box: around wider particles too little shows noise alone


@dataclasses.dataclass(frozen=True)
class PreparedStructure:
    """projector: Projector at `pixel_size` Å/px. settings: assign.Settings that suit the structure and the particles.
    notes: sentences for the user."""

    projector: projections.Projector
    pixel_size: float
    settings: SearchSettings
    notes: tuple[str, ...]


def prepare_structure(
    config: AssignOrientationsConfig, particles: particle_sets.ParticleSet, device: torch.device
) -> PreparedStructure:
    """The PreparedStructure of an AssignOrientationsConfig. Raises ValueError if it does not fit into the particles'
    box, or does not have the symmetry."""
    width, first = particles.box * particles.pixel_size, max(FIRST_LOOK, particles.pixel_size)
    diameter = micrographs.particle_diameter(structures.load_density(config.structure, first), first)
    if diameter > width:
        raise ValueError(
            f"{config.structure} is {diameter:.0f} Å wide, but the images of {particles.path} are only "
            f"{width:.0f} Å wide ({particles.box} px x {particles.pixel_size:g} Å). Extract them with a "
            "larger box."
        )
    max_shift = width / 10 if config.max_shift is None else config.max_shift
    finest = max(config.resolution or FINEST, 2 * particles.pixel_size)  # images have nothing beyond Nyquist
    settings = SearchSettings(config.angular_step, max_shift, finest, diameter, config.symmetry)
    pixel_size = max(particles.pixel_size, settings.fine_resolution() / OVERSAMPLING)
    density = structures.load_density(config.structure, pixel_size)
    symmetry.check_symmetry(density, config.symmetry, config.structure)
    notes = (
        *particle_images.voxel_notes(config.structure, particles.pixel_size),
        *tight_notes(particles.path, width, config.structure, diameter),
        *observed.smoothed_notes(particles),
        *reference.group_notes(particles),
    )
    return PreparedStructure(projections.Projector(density.to(device)), pixel_size, settings, notes)
