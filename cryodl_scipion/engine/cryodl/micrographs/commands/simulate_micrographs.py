# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl simulate-micrographs`: a structure in; micrographs, coordinates with angles and CTF, CTFFIND texts out.

Result.outputs are the contract's SimulateMicrographsOutputs.
"""

from __future__ import annotations

import json
import os
import typing
from pathlib import Path

import numpy as np

from ...contract import Result, SimulateMicrographsConfig, counted
from ...contract.micrographs.simulating import SimulateMicrographsOutputs
from ...contract.result import write_json
from ...io.files import expand_paths
from ...io.unfinished import check_output, finish_folder, working_folder
from ...io.warn import warn
from ..simulated_files import has_masks

if typing.TYPE_CHECKING:
    import torch

    from ...core.projections import Projector
    from ...simulate.micrographs import Surroundings
    from ...simulate.noise import MeasuredNoise


def run(config: SimulateMicrographsConfig) -> Result:
    """Simulate into <output>.partial, micrograph by micrograph, then rename. A killed run continues there."""
    check_output(config.output)
    from tqdm import tqdm

    from ...core.devices import choose_device, device_name, set_threads

    device = choose_device()
    set_threads()
    projector, diameter = _structure(config, device)
    surroundings, notes = _surroundings(config, diameter)
    for note in notes:
        warn(note)
    folder = _working_folder(config)
    total = cut = 0
    for index in tqdm(range(config.count), unit="micrograph", mininterval=1.0):
        name = f"simulated_{index + 1:04d}"
        done = folder / "done" / f"{name}.json"
        if not done.exists():
            write_json(done, _simulate(config, index, name, projector, diameter, surroundings, folder))
        numbers = json.loads(done.read_text(encoding="utf-8"))
        total, cut = total + numbers["particles"], cut + numbers["cut"]
    outputs = _finish(config, folder, diameter, total)
    print(
        f"{counted(config.count, 'micrograph')} with {counted(total, 'particle')} of {diameter:.0f} Å: {config.output}"
    )
    notes += list(_warnings(config, total, cut))
    return Result("simulate-micrographs", outputs, device=device_name(device), warnings=tuple(notes))


def _structure(config: SimulateMicrographsConfig, device: torch.device) -> tuple[Projector, float]:
    """A Projector of the structure on the device, and its diameter in Å."""
    from ...core.projections import Projector
    from ...learning.inference import is_out_of_memory
    from ...simulate.micrographs import particle_diameter
    from ...simulate.structures import load_density

    density = load_density(config.structure, config.pixel_size)
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
        if not is_out_of_memory(error):
            raise
        raise ValueError(
            f"{config.structure} is {density.shape[-1]} px wide at {config.pixel_size:g} Å/px, too large for "
            "projections in this device's memory. Choose a larger --pixel-size, or --device cpu."
        ) from error


def _surroundings(config: SimulateMicrographsConfig, diameter: float) -> tuple[Surroundings, list[typing.Any]]:
    """Surroundings of the config, and warnings about the files that it names."""
    from ...io.micrographs import pixel_size_warnings
    from ...io.particles import read_orientations
    from ...simulate.micrographs import Surroundings
    from ...simulate.structures import dark_notes

    given: dict[str, typing.Any] = dict(
        minimum_distance=config.minimum_distance,
        ice=config.ice,
        aggregates=config.aggregates,
        carbon=config.carbon,
        gradient=config.gradient,
        dark_protein=config.contrast == "dark",
    )
    notes = dark_notes(config.structure)
    if config.orientations:
        given["orientations"] = read_orientations(config.orientations)
    if config.noise_from:
        paths = expand_paths(config.noise_from)
        notes += pixel_size_warnings(paths, config.pixel_size)
        given["noise"] = _noise_of_files(paths, diameter / config.pixel_size)
    return Surroundings(**given), notes


def _noise_of_files(paths: typing.Sequence[str], diameter_px: float) -> MeasuredNoise:
    """MeasuredNoise of real micrographs. Raises ValueError that names the file that cannot be used."""
    from ...io.micrographs import read_micrograph
    from ...simulate.noise import MeasuredNoise, measure_spectrum
    from ..normalize import prepare_micrograph

    spectra = []
    for path in paths:
        image = read_micrograph(path)  # its errors name the file
        try:
            prepared = prepare_micrograph(image, 1.0, diameter_px)
            spectra.append(measure_spectrum(prepared.image, diameter_px, prepared.valid))
        except ValueError as error:
            raise ValueError(f"The noise of {path} cannot be measured: {error}") from None
    return MeasuredNoise(np.array(spectra))


def _working_folder(config: SimulateMicrographsConfig) -> Path:
    """<output>.partial with its folders; emptied if it is of a run with other parameters."""
    folder = working_folder(
        config,
        [config.structure, *([config.orientations] if config.orientations else []), *expand_paths(config.noise_from)],
    )
    names = ["micrographs", "coordinates", "ctf", "done"] + ["particles"] * bool(config.box_size)
    for name in names + ["masks"] * has_masks(config):
        (folder / name).mkdir(exist_ok=True)
    return folder


def _simulate(
    config: SimulateMicrographsConfig,
    index: int,
    name: str,
    projector: Projector,
    diameter: float,
    surroundings: Surroundings,
    folder: Path,
) -> dict[str, int]:
    """Make and write one micrograph; its numbers of particles."""
    from ...simulate.micrographs import REFERENCE_DOSE, random_optics, simulate_micrograph
    from ..simulated_files import write_simulated

    rng = np.random.default_rng((config.seed, index))  # of its own: a run that continues makes the same ones
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
    return write_simulated(folder, name, micrograph, config, diameter)


def _finish(config: SimulateMicrographsConfig, folder: Path, diameter: float, total: int) -> SimulateMicrographsOutputs:
    """particles.star, what belongs to the unfinished run removed, and the final name. Returns the outputs."""
    from ...io.particles import write_particles
    from ...simulate.micrographs import random_optics

    if config.box_size:
        write_particles(
            folder / "particles.star",
            sorted((folder / "done").glob("*.rows")),
            random_optics(config, np.random.default_rng(0)),
            config.pixel_size,
            config.box_size,
        )
    finish_folder(folder, config.output, "done")
    at = lambda name: os.path.join(config.output, name)
    return SimulateMicrographsOutputs(
        **{name: at(name) for name in ("micrographs", "coordinates", "ctf")},
        folder=str(config.output),
        masks=at("masks") if has_masks(config) else None,
        particles=total,
        particle_diameter=diameter,
        particle_stack=at("particles.star") if config.box_size else None,
        pixel_size=config.pixel_size,
    )


def _warnings(config: SimulateMicrographsConfig, total: int, cut: int) -> typing.Iterator[str]:
    wanted = config.count * config.particles
    if total < 0.9 * wanted:
        yield (
            f"Only {total} of {wanted} particles fit. Choose fewer --particles, a smaller --minimum-distance or a "
            "larger --size."
        )
    if config.box_size and cut < total:
        yield (
            f"{total - cut} particles were not extracted, because their box of {config.box_size} px extends beyond "
            "the micrograph."
        )
