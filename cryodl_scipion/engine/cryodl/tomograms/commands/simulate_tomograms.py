# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl simulate-tomograms`: structures in; tomograms of cells with exact labels, coordinates and angles out.
Simulate into <output>.partial, one tomogram after the other; a stopped run continues."""

import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import SimulateTomogramsConfig, SimulateTomogramsOutputs, counted, write_json
from ...io import memory, progress, structures, volume_writer
from ...io.files import expand_paths, read_kept, whole_file
from ...io.particles import ANGLES
from ...io.star import write_tables
from ...running.runner import PROGRAM, Run, command
from ...simulate import cells, tilt_series
from ...simulate.tomograms import (
    OTHERS,
    Particle,
    features_of,
    fill_cell,
    load_particle,
    photograph,
    reconstruct_halves,
    reconstruct_tomogram,
)

FOLDERS = ("tomograms", "labels", "coordinates")
HALVES = ("even", "odd")
MAX_FEATURES = 127  # of int8 labels


@command
def simulate_tomograms(config: SimulateTomogramsConfig, run: Run) -> SimulateTomogramsOutputs:
    device, tilts = run.device, tilt_series.tilt_angles(config)
    memory.require_memory(
        config.size**2 * (config.thickness * cells.BYTES_PER_VOXEL + 16 * len(tilts)),
        f"Simulating a tomogram of {config.size} x {config.size} x {config.thickness} px with {len(tilts)} tilts",
        "Choose a smaller --size or --thickness, or a larger --tilt-step.",
    )
    paths = expand_paths(config.structures)
    particles, copies = _particles(config, paths)
    run.warn(*(note for path in paths for note in structures.dark_notes(path)))
    folder = run.folder(*paths)
    run.discard("done")
    for name in (*FOLDERS, "done", *["tilt_series"] * config.tilt_series, *["halves"] * config.halves):
        (folder / name).mkdir(exist_ok=True)
    found = dict[str, dict[str, tuple[int, int]]]()
    for index in progress.ProgressBar(range(config.count), unit="tomogram", mininterval=1.0):
        name = f"tomo_{index + 1:03d}"
        done = folder / "done" / f"{name}.json"
        if not done.exists():
            write_json(done, _simulate(config, index, name, particles, copies, tilts, device, folder))
        found[name] = read_kept(done)
    run.warn(
        *(
            f"Only {placed} of {wanted} copies of {feature} fit into {name}. Choose fewer copies, or a larger --size "
            "or --thickness."
            for name, each in found.items()
            for feature, (placed, wanted) in each.items()
            if placed < wanted
        )
    )
    features = features_of(config, particles)
    counts = {feature: sum(each[feature][0] for each in found.values()) for feature in features}
    tomograms = {
        name: dict(
            file=f"tomograms/{name}.mrc",
            labels=f"labels/{name}.mrc",
            pixel_size=config.pixel_size,
            counts={feature: placed for feature, (placed, _) in each.items()},
        )
        for name, each in found.items()
    }
    named = [dict(label=label, name=name) for label, name in enumerate(features, 1)]
    write_json((folder / "features.json"), dict(features=named, tomograms=tomograms))
    run.summary(
        f"{counted(config.count, 'tomogram')} of {config.size} x {config.size} x {config.thickness} px, at "
        f"{config.pixel_size:g} Å/px, with {', '.join(f'{n} {k}' for k, n in counts.items()) or 'nothing'}: "
        f"{config.output}",
        "Labels: " + ", ".join(f"{value} {name}" for value, name in enumerate(features, 1)) + ".",
        "Labels, positions and angles are exact.",
    )
    run.methods(
        f"{counted(config.count, 'tomogram was', 'tomograms were')} simulated with {', '.join(features)} by {PROGRAM} "
        f"at {config.pixel_size:g} Å/px, from tilts of {config.tilt_min:g} to {config.tilt_max:g}° in steps of "
        f"{config.tilt_step:g}°, with a signal-to-noise ratio of {config.snr:g}."
    )
    files = lambda kind, end=".mrc": {name: run.at(f"{kind}/{name}{end}") for name in found}
    return SimulateTomogramsOutputs(
        tomograms=files("tomograms"),
        labels=files("labels"),
        coordinates=files("coordinates", ".star"),
        features=features,
        pixel_size=config.pixel_size,
        tilt_min=tilts[0],
        tilt_max=tilts[-1],
        tilt_series=files("tilt_series") if config.tilt_series else None,
        even=files("halves", "_even.mrc") if config.halves else None,
        odd=files("halves", "_odd.mrc") if config.halves else None,
        counts=counts,
    )


def _particles(config: SimulateTomogramsConfig, paths: typing.Sequence[str]) -> tuple[list[Particle], list[int]]:
    names, copies = structures.structure_names(paths), [int(c) for c in config.copies]
    if len(copies) not in (1, len(paths)) and paths:
        raise ValueError(
            f"There are {len(paths)} structures (--structures) and {len(copies)} numbers of copies "
            "(--copies). Give one number for all, or one for each."
        )
    taken = sorted(set(names) & set(OTHERS))
    if taken:
        raise ValueError(
            f"A structure (--structures) has the name {taken[0]}, which is the name of another feature. Rename its "
            "file."
        )
    if len(names) + len(OTHERS) > MAX_FEATURES:
        raise ValueError(
            f"There are {len(names)} structures (--structures); at most {MAX_FEATURES - len(OTHERS)} can be labelled."
        )
    particles = [load_particle(path, name, config) for path, name in zip(paths, names)]
    return particles, copies * len(paths) if len(copies) == 1 else copies


def _simulate(
    config: SimulateTomogramsConfig,
    index: int,
    name: str,
    particles: typing.Sequence[Particle],
    copies: typing.Sequence[int],
    tilts: typing.Sequence[float],
    device: torch.device,
    folder: Path,
) -> dict[str, tuple[int, int]]:
    rng = np.random.default_rng((config.seed, index))  # of its own: a run that continues makes the same ones
    cell, placed, counts = fill_cell(config, particles, copies, rng)
    images = photograph(cell.density, config, tilts, rng, device)
    tomogram, scale = reconstruct_tomogram(images, config, tilts)
    _write(folder / "tomograms" / f"{name}.mrc", tomogram.cpu().numpy(), config.pixel_size, np.float32)
    if config.halves:
        for half, volume in zip(HALVES, reconstruct_halves(images, tomogram, scale, config, tilts, rng)):
            _write(folder / "halves" / f"{name}_{half}.mrc", volume.cpu().numpy(), config.pixel_size, np.float32)
    _write(folder / "labels" / f"{name}.mrc", cell.labels, config.pixel_size, np.int8)
    if config.tilt_series:
        _write(folder / "tilt_series" / f"{name}.mrc", images.cpu().numpy(), config.pixel_size, np.float32)
        with whole_file(folder / "tilt_series" / f"{name}.rawtlt") as temporary:
            temporary.write_text("".join(f"{tilt:.2f}\n" for tilt in tilts))
    positions = {f"rlnCoordinate{axis}": placed.centres_zyx[:, k] for axis, k in zip("XYZ", (2, 1, 0))}
    columns = dict(rlnTomoName=[name] * len(placed.names), **positions, **dict(zip(ANGLES, placed.angles.T)))
    write_tables(folder / "coordinates" / f"{name}.star", {"particles": dict(columns, cryodlStructure=placed.names)})
    return counts


def _write(path: Path, volume: np.ndarray, pixel_size: float, dtype: type[np.float32] | type[np.int8]) -> None:
    with volume_writer.VolumeWriter(path, volume.shape, pixel_size, dtype) as file:
        file.write(0, volume)
