# SPDX-License-Identifier: GPL-3.0-or-later
"""The structure that particles are compared with, at a pixel size that suits the comparison.

Check of the pixel size: whether the structure fits the images better at another size."""

import dataclasses

import numpy as np
import torch

from ...contract import AssignOrientationsConfig
from ...core.projections import Projector, random_angles, rotation_matrices
from ...core.symmetry import check_symmetry
from ...io.particle_sets import ParticleSet
from ...io.structures import load_density
from ...likelihood.observed import sample_rows, smoothed_notes
from ...likelihood.reference import Reference, group_notes
from ...likelihood.refine import Neighbourhood, refine
from ...simulate.micrographs import particle_diameter
from ...simulate.particle_images import voxel_notes
from .amplitude import evidences
from .assign import FINEST, Orientations, Search, SearchSettings

SIZES = (0.67, 0.75, 0.83, 0.9, 1.0, 1.11, 1.2, 1.33, 1.5)  # of the structure
SAMPLE = 96  # particles
STEP, FINEST_SCALE = 15.0, 20.0  # degrees, Å: the size is seen in coarse detail
# logarithmic evidence of the sample by which another size must be better; see pixel_sizes in benchmarks/NOTES.md
SURE = 15.0
# sizes that are tried beside 1, near the orientations found; standard errors, and how much, that is said
CLOSE, ERRORS, LEAST = 0.05, 5.0, 0.02
FAR = 0.15  # from 1: orientations found at a size as wrong as this fit a size between
FALL = 6.0  # of the amplitude from some detail to half as fine again and beyond: the map ends there; others fall by 2


def best_size(search: Search) -> tuple[float, float]:
    """The size, of SIZES, at which a Search's structure fits the images best, and by how much logarithmic evidence it
    is better than 1. search: with the reading of its source chosen; raw images. Detail that a coarse map lacks is not
    compared: a small molecule scaled by 0.9 would have some of it, nearly in its place."""
    source, settings = search.source, search.settings
    particles = source.particles.subset(sample_rows(len(source.particles), SAMPLE))
    source = dataclasses.replace(source, particles=particles)
    width, rows = particles.box * particles.pixel_size, np.arange(len(particles))
    finest = max(settings.resolution, FINEST_SCALE, end_of(search))
    coarse = SearchSettings(STEP, settings.max_shift, finest, settings.diameter, settings.symmetry)
    found = {}
    for size in (one for one in SIZES if one * settings.diameter <= width):
        other = Search(source, search.projector, size * search.zoom * search.pixel_size, coarse, search.disc.device)
        found[size] = evidences([source], rows, other.bank, other.shifts(), width)[0]
    best = max(found, key=found.__getitem__)
    return best, found[best] - found.get(1.0, found[best])


def end_of(search: Search) -> float:
    """Å: the finest detail of the structure; 0 if it has all that is compared."""
    views = search.fine.at_angles(random_angles(64, np.random.default_rng(0))).abs().square().sum(0)
    total, number = (search.fine_disc.ring_sum(one).cpu().numpy() for one in (views, torch.ones_like(views)))
    amplitude = np.sqrt(total / np.maximum(number, 1))
    finer = np.maximum.accumulate(amplitude[::-1])[::-1]
    ends = [ring for ring in range(2, len(finer) * 2 // 3) if FALL * finer[-(-ring * 3 // 2)] < amplitude[ring]]
    return search.width / ends[0] if ends else 0.0


def close_size(search: Search, found: Orientations) -> tuple[float, float]:
    """The size near 1 at which a Search's structure fits the images best near the orientations that were found, and by
    how many standard errors it differs from 1; (1, 0) if it is further off: best_size sees that."""
    rows, disc, settings = search.sample(SAMPLE), search.fine_disc, search.settings
    observed, gain = search.source.observed(rows, disc), search.fit.gain(disc.rings, search.width)
    matrices, shifts = (
        torch.as_tensor(values[rows], dtype=torch.float32, device=disc.device)
        for values in (rotation_matrices(found.angles), found.shifts_yx)
    )
    near = settings.angular_step / 3, settings.search_resolution() / 16 / search.pixel_size  # steps of both
    given = matrices, shifts, Neighbourhood.of(*near, disc.device)
    sizes = [Reference(search.projector, disc, gain, search.zoom * (1 + off)) for off in (-CLOSE, 0.0, CLOSE)]
    below, there, above = (refine(observed, one, *given).evidence.double().cpu().numpy() for one in sizes)
    bend = max(float((2 * there - below - above).sum()), 1e-9)  # the best lies on the parabola through the three
    off, error = (
        CLOSE * float(v) / (2 * bend) for v in ((above - below).sum(), (above - below).std() * len(rows) ** 0.5)
    )
    return (1 + off, abs(off) / max(error, LEAST / ERRORS)) if abs(off) < 2 * CLOSE else (1.0, 0.0)


def size_notes(search: Search, particles: str, structure: str, found: Orientations | None = None) -> list[str]:
    """A sentence, in a list, if the structure fits better at another size. particles, structure: their files. found:
    orientations, where the structure explains the particles: then a size that differs little is seen, too."""
    far, gain = best_size(search)
    off = gain >= SURE and abs(far - 1) > FAR
    size, errors = (1.0, 0.0) if off or found is None else close_size(search, found)
    return [
        f"{particles} fits {structure} better if the structure is scaled by {told:.2f}: the particles show something "
        f"else; or, if it is surely their molecule, one of the pixel sizes is wrong by about this factor{more} (that "
        f"of the particles is {search.pixel_size:.4g} Å)."
        for told, more in ([(size, " or more")] * (errors >= ERRORS) or [(far, "")] * (gain >= SURE))
    ]


FIRST_LOOK = 6.0  # Å/px, to measure the diameter
OVERSAMPLING = 3  # pixels in the finest detail
TIGHT = 0.83  # of the box: around wider particles too little shows noise alone


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
    finest = max(config.resolution or FINEST, 2 * particles.pixel_size)  # images have nothing beyond Nyquist
    settings = SearchSettings(config.angular_step, max_shift, finest, diameter, config.symmetry)
    pixel_size = max(particles.pixel_size, settings.fine_resolution() / OVERSAMPLING)
    density = load_density(config.structure, pixel_size)
    check_symmetry(density, config.symmetry, config.structure)
    tight = (
        f"{config.structure} is {diameter:.0f} Å wide, the images of {particles.path} {width:.0f} Å: around it they "
        "show too little noise alone, and the noise is overestimated, so that less of the evidence seems explained. "
        "Extract the particles with a box of 1.5 diameters."
    )
    notes = (
        *voxel_notes(config.structure, particles.pixel_size),
        *[tight] * (diameter > TIGHT * width),
        *smoothed_notes(particles),
        *group_notes(particles),
    )
    return PreparedStructure(Projector(density.to(device)), pixel_size, settings, notes)
