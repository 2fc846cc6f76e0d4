# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl simulate-micrographs`: a structure in; micrographs, coordinates with angles and CTF, CTFFIND texts out.
Simulate into <output>.partial, micrograph by micrograph. A killed run continues there."""

import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import SimulateMicrographsConfig, SimulateMicrographsOutputs, counted, write_json
from ...core.projections import Projector
from ...io import files, memory, micrographs, particles, relion_tables, structures
from ...running.runner import PROGRAM, Run, command
from ...simulate import noise
from ...simulate.micrographs import REFERENCE_DOSE, Surroundings, particle_diameter, random_optics, simulate_micrograph
from .. import normalize, simulated_files


@command
def simulate_micrographs(config: SimulateMicrographsConfig, run: Run) -> SimulateMicrographsOutputs:
    projector, diameter = _structure(config, run.device)
    given: dict[str, typing.Any] = dict(dark_protein=config.contrast == "dark")
    given.update({name: getattr(config, name) for name in "minimum_distance ice aggregates carbon gradient".split()})
    run.warn(*structures.dark_notes(config.structure))
    if config.orientations:
        given["orientations"] = relion_tables.read_orientations(config.orientations)
    if config.noise_from:
        paths = files.expand_paths(config.noise_from)
        run.warn(*micrographs.pixel_size_warnings(paths, config.pixel_size))
        given["noise"] = _noise_of_files(paths, diameter / config.pixel_size)
    surroundings, folder = Surroundings(**given), _working_folder(config, run)
    total = cut = 0
    for name, _ in run.items([(f"simulated_{n + 1:04d}", str(n)) for n in range(config.count)], "micrograph"):
        done = folder / "done" / f"{name}.json"
        if not done.exists():
            write_json(done, _simulate(config, name, projector, diameter, surroundings, folder, run.seed))
        numbers = files.read_kept(done)
        total, cut = total + numbers["particles"], cut + numbers["cut"]
    if config.box_size:
        rows, optics = sorted((folder / "done").glob("*.rows")), random_optics(config, np.random.default_rng(0))
        particles.write_particles(folder / "particles.star", rows, optics, config.pixel_size, config.box_size)
    made = SimulateMicrographsOutputs(
        folder=str(config.output),
        micrographs=run.at("micrographs"),
        coordinates=run.at("coordinates"),
        ctf=run.at("ctf"),
        masks=run.at("masks") if simulated_files.has_masks(config) else None,
        particles=total,
        particle_diameter=diameter,
        particle_stack=run.at("particles.star") if config.box_size else None,
        movies=run.at("movies") if config.frames else None,
        pixel_size=config.pixel_size,
    )
    wanted, images = config.count * config.particles, counted(config.count, "micrograph")
    run.summary(f"{images} with {counted(made.particles, 'particle')} of {made.particle_diameter:.0f} Å: {made.folder}")
    run.methods(
        f"{PROGRAM} simulated {images} with {counted(made.particles, 'particle')} of {Path(config.structure).name} at "
        f"{config.pixel_size:g} Å/px and {config.voltage:g} kV, with defoci from "
        f"{config.minimum_defocus:.0f} to {config.maximum_defocus:.0f} Å, {config.dose:g} e/Å² and a signal-to-noise "
        f"ratio of {config.snr:g}{f' to {config.snr_max:g}' if config.snr_max else ''}"
        f"{'; the noise has the spectrum of real micrographs' if config.noise_from else ''}."
    )
    if made.particles < 0.9 * wanted:
        run.warn(
            f"Only {made.particles} of {wanted} particles fit. Choose fewer --particles, a smaller --minimum-distance "
            "or a larger --size."
        )
    if config.box_size and cut < made.particles:
        run.warn(
            f"{made.particles - cut} particles were not extracted, because their box of {config.box_size} px extends "
            "beyond the micrograph."
        )
    return made


def _structure(config: SimulateMicrographsConfig, device: torch.device) -> tuple[Projector, float]:
    density = structures.load_density(config.structure, config.pixel_size)
    diameter = particle_diameter(density, config.pixel_size)
    if diameter / config.pixel_size > config.size / 2:
        raise ValueError(
            f"{config.structure} is {diameter:.0f} Å wide, more than half of a micrograph of "
            f"{config.size} px x {config.pixel_size:g} Å/px. Choose a larger --size or --pixel-size."
        )
    if config.box_size and diameter / config.pixel_size > config.box_size - 2:
        raise ValueError(
            f"Box size (--box-size) is {config.box_size} px, but {config.structure} is {diameter:.0f} Å wide, "
            f"{diameter / config.pixel_size:.0f} px. Choose about 1.5 times that, as RELION recommends."
        )
    try:
        return Projector(density.to(device)), diameter
    except (RuntimeError, MemoryError) as error:
        if not memory.is_memory_error(error):
            raise
        raise ValueError(
            f"{config.structure} is {density.shape[-1]} px wide at {config.pixel_size:g} Å/px, too large for "
            "projections in this device's memory. Choose a larger --pixel-size, or --device cpu."
        ) from error


def _noise_of_files(paths: typing.Sequence[str], diameter_px: float) -> noise.MeasuredNoise:
    spectra = []
    for path in paths:
        image = micrographs.read_micrograph(path)  # its errors name the file
        try:
            prepared = normalize.prepare_micrograph(image, 1.0, diameter_px)
            spectra.append(noise.measure_spectrum(prepared.image, diameter_px, prepared.valid))
        except ValueError as error:
            raise ValueError(f"The noise of {path} cannot be measured: {error}") from None
    return noise.MeasuredNoise(np.array(spectra))


def _working_folder(config: SimulateMicrographsConfig, run: Run) -> Path:
    folder = run.folder(config.structure, *filter(None, [config.orientations]), *files.expand_paths(config.noise_from))
    run.discard("done")
    more = dict(particles=config.box_size, movies=config.frames, masks=simulated_files.has_masks(config))
    for name in ["micrographs", "coordinates", "ctf", "done", *(name for name, wanted in more.items() if wanted)]:
        (folder / name).mkdir(exist_ok=True)
    return folder


def _simulate(
    config: SimulateMicrographsConfig,
    name: str,
    projector: Projector,
    diameter: float,
    surroundings: Surroundings,
    folder: Path,
    seed: int,
) -> dict[str, int]:
    # of its own: a run that continues makes the same ones
    rng = np.random.default_rng((seed, int(name.rsplit("_", 1)[1]) - 1))
    optics = random_optics(config, rng)
    snr = config.snr * (config.snr_max / config.snr) ** rng.random() if config.snr_max else config.snr
    micrograph = simulate_micrograph(
        projector,
        config.pixel_size,
        (config.size, config.size),
        config.particles,
        snr * config.dose / REFERENCE_DOSE,
        optics,
        rng,
        diameter / config.pixel_size,
        surroundings,
    )
    if config.frames:
        simulated_files.write_movie(folder, name, micrograph, config, rng)
    return simulated_files.write_simulated(folder, name, micrograph, config, diameter)
