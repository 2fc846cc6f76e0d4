# SPDX-License-Identifier: GPL-3.0-or-later
"""The map of one set of picks: extraction, orientations from the structure, half-maps, FSC."""

from __future__ import annotations

import json
import typing
from pathlib import Path

import numpy as np

from ...contract import AssignOrientationsConfig, ExtractParticlesConfig, ReconstructConfig
from ...contract.result import write_json
from ...core.frc import fsc, resolution_at
from ...core.volumes import cube_crop
from ...io.coordinates import write_coordinates
from ...io.mrc import read_data, read_header
from ...io.particle_sets import read_particles, write_particles_star
from ...micrographs.commands.extract_particles import extract_particles
from ...particles.commands.assign_orientations import assign_orientations
from ...particles.commands.reconstruct import reconstruct
from .sets import Common, Picks, drawn

if typing.TYPE_CHECKING:
    import torch

    from ...contract import CompareMapsOfPicksConfig

RECORD = "map.json"  # written last
MINIMUM = 20  # particles of a half


def map_of_set(
    name: str, picks: Picks, config: CompareMapsOfPicksConfig, common: Common, folder: Path, seed: int
) -> dict:
    """The record of the map of a set; a stopped run continues in the folder. Raises ValueError if there is none."""
    record = folder / RECORD
    if record.exists():
        return dict(json.loads(record.read_text(encoding="utf-8")))
    folder.mkdir(parents=True, exist_ok=True)
    particles, oriented, density = (folder / part for part in ("particles.star", "oriented.star", "map.mrc"))
    if not particles.exists():
        _extract(name, picks, config, common, folder, particles, seed)
    if not oriented.exists():
        assign_orientations(
            AssignOrientationsConfig(
                particles=str(particles),
                structure=config.structure,
                output=str(oriented),
                angular_step=config.angular_step,
                max_shift=config.max_shift,
                resolution=config.search_resolution(common.diameter),
                symmetry=config.symmetry,
                contrast="bright",  # as extraction leaves protein
            )
        )
    for half in folder.glob("map*.mrc"):  # of a run that was stopped before its record
        half.unlink()
    made = reconstruct(
        ReconstructConfig(particles=str(oriented), output=str(density), symmetry=config.symmetry), seed=seed
    ).outputs
    curve = structure_fsc(density, config.structure, made.pixel_size)
    found = dict(
        particles=made.count,
        resolution=made.resolution,
        noise_resolution=noise_resolution(made.noise_fsc, config.search_resolution(common.diameter), made),
        structure_resolution=resolution_at(curve, 0.5, made.pixel_size, made.box),
        fsc=list(made.fsc),
        structure_fsc=[round(float(value), 5) for value in curve],
        box=made.box,
        pixel_size=made.pixel_size,
    )
    write_json(record, found)
    return found


def _extract(
    name: str, picks: Picks, config: CompareMapsOfPicksConfig, common: Common, folder: Path, particles: Path, seed: int
) -> None:
    """Write the particles of a set, with their half-sets."""
    if config.maximum_particles is not None:
        picks, count = drawn(picks, common.paths, common.box, config.maximum_particles, seed)
        if count > config.maximum_particles:
            print(
                f"{name}: {config.maximum_particles} of {count} picks were drawn at random (--maximum-particles, "
                f"--seed {seed})."
            )
    (folder / "picks").mkdir(exist_ok=True)
    for micrograph, (yx, scores) in picks.items():
        write_coordinates(folder / "picks" / f"{micrograph}.star", yx, scores)
    extracted = folder / "extracted.star"
    made = extract_particles(
        ExtractParticlesConfig(
            coordinates=str(folder / "picks"),
            micrographs=tuple(common.paths.values()),
            pixel_size=config.pixel_size,
            particle_diameter=common.diameter,
            output=str(extracted),
            ctf=common.ctf,
            box=common.box,
            scaled_box=config.scaled_box,
            contrast=config.contrast,
            voltage=config.voltage,
            spherical_aberration=config.spherical_aberration,
            amplitude_contrast=config.amplitude_contrast,
        ),
        names=tuple(common.paths),
    ).outputs
    halves = [half for micrograph, n in made.counts.items() for half in [common.halves[micrograph]] * n]
    counts = [halves.count(half) for half in (1, 2)]
    if min(counts) < MINIMUM:
        raise ValueError(
            f"{counts[0]} and {counts[1]} of its picks have a whole box on the micrographs of the two halves; each "
            f"half needs at least {MINIMUM} particles. Pick more particles, give more micrographs, or draw more "
            "particles (--maximum-particles)."
        )
    write_particles_star(particles, read_particles(extracted), {"rlnRandomSubset": halves})


def noise_resolution(curve: list[float] | None, search: float, made: typing.Any) -> float | None:
    """Å where the FSC of oriented noise falls below 0.143; detail finer than `search` (Å) was not compared, and counts
    as zero. None without such an FSC, or if nothing agrees: the first shell alone, of a few voxels and a period as long
    as the box, is no agreement. made: outputs of reconstruct."""
    if curve is None:
        return None
    last = int(np.ceil(made.box * made.pixel_size / search))
    compared = [v if shell <= last else 0.0 for shell, v in enumerate(curve)]
    found = resolution_at(compared, 0.143, made.pixel_size, made.box)
    return None if found is None or found > made.box * made.pixel_size / 2 else found


def structure_fsc(path: Path, structure: str, pixel_size: float) -> torch.Tensor:
    """(d // 2 + 1,) FSC of a map with a structure, within a soft sphere of 0.9 of the box."""
    import torch

    from ...reconstruction.halves import soft_sphere
    from ...simulate.structures import load_density

    density = torch.from_numpy(np.array(read_data(path, read_header(path)), np.float32))
    box = len(density)
    mask = soft_sphere(box, 0.9 * box)
    truth = cube_crop(load_density(structure, pixel_size)[None], box)[0]
    return fsc(density * mask, truth * mask)
