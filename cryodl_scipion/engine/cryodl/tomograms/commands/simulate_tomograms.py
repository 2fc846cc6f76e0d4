# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl simulate-tomograms`: structures in; tomograms of cells with exact labels, coordinates and angles out.

Result.outputs are the contract's SimulateTomogramsOutputs.
"""

from __future__ import annotations

import json
import os
import typing
from pathlib import Path

import numpy as np

from ...contract import Result, SimulateTomogramsConfig, counted
from ...contract.result import write_json
from ...contract.tomograms.simulating import SimulateTomogramsOutputs
from ...io.files import expand_paths
from ...io.unfinished import check_output, finish_folder, working_folder
from ...io.warn import warn

if typing.TYPE_CHECKING:
    import torch

    from ...simulate.tomograms import Particle, Placed

FOLDERS = ("tomograms", "labels", "coordinates")
HALVES = ("even", "odd")
MAX_FEATURES = 127  # of int8 labels


def run(config: SimulateTomogramsConfig) -> Result:
    """Simulate into <output>.partial, one tomogram after the other; a stopped run continues."""
    check_output(config.output)
    from tqdm import tqdm

    from ...core.devices import choose_device, device_name, set_threads
    from ...simulate.structures import dark_notes
    from ...simulate.tilt_series import tilt_angles

    device, tilts = choose_device(), tilt_angles(config)
    set_threads()
    _check_memory(config, len(tilts))
    paths = expand_paths(config.structures)
    particles, copies = _particles(config, paths)
    notes = [note for path in paths for note in dark_notes(path)]
    for note in notes:
        warn(note)
    folder = working_folder(config, paths)
    for name in (*FOLDERS, "done", *["tilt_series"] * config.tilt_series, *["halves"] * config.halves):
        (folder / name).mkdir(exist_ok=True)
    counts = {}
    for index in tqdm(range(config.count), unit="tomogram", mininterval=1.0):
        name = f"tomo_{index + 1:03d}"
        done = folder / "done" / f"{name}.json"
        if not done.exists():
            write_json(done, _simulate(config, index, name, particles, copies, tilts, device, folder))
        counts[name] = json.loads(done.read_text(encoding="utf-8"))
    outputs = _finish(config, folder, particles, counts, tilts)
    print(
        f"{counted(config.count, 'tomogram')} with "
        f"{', '.join(f'{n} {k}' for k, n in outputs['counts'].items()) or 'nothing'}: {config.output}"
    )
    return Result("simulate-tomograms", outputs, device=device_name(device), warnings=(*notes, *_warnings(counts)))


def _check_memory(config: SimulateTomogramsConfig, tilts: int) -> None:
    from ...simulate.cells import BYTES_PER_VOXEL
    from ...simulate.structures import available_memory

    needed = config.size**2 * (config.thickness * BYTES_PER_VOXEL + 16 * tilts)
    if needed > available_memory():
        raise ValueError(
            f"A tomogram of {config.size} x {config.size} x {config.thickness} px with {tilts} "
            f"tilts needs {needed / 1e9:.1f} GB of memory to be simulated; {available_memory() / 1e9:.1f} "
            "GB are free. Choose a smaller --size or --thickness, or a larger --tilt-step."
        )


def _particles(config: SimulateTomogramsConfig, paths: typing.Sequence[str]) -> tuple[list[Particle], list[int]]:
    """Particles of the structures' files, and the copies wanted of each."""
    from ...simulate.structures import structure_names
    from ...simulate.tomograms import OTHERS, load_particle

    names, copies = structure_names(paths), [int(c) for c in config.copies]
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
    """Make and write one tomogram; {feature: (placed, wanted)}."""
    from ...simulate.tomograms import fill_cell, photograph, reconstruct_halves, reconstruct_tomogram

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
        _write_tilts(folder / "tilt_series" / f"{name}.rawtlt", tilts)
    _write_coordinates(folder / "coordinates" / f"{name}.star", name, placed)
    return counts


def _write(path: Path, volume: np.ndarray, pixel_size: float, dtype: type[np.float32] | type[np.int8]) -> None:
    from ...io.tomograms import VolumeWriter

    with VolumeWriter(path, volume.shape, pixel_size, dtype) as file:
        file.write(0, volume)


def _write_tilts(path: Path, tilts: typing.Sequence[float]) -> None:
    from ...io.files import whole_file

    with whole_file(path) as temporary:
        temporary.write_text("".join(f"{tilt:.2f}\n" for tilt in tilts))


def _write_coordinates(path: Path, name: str, placed: Placed) -> None:
    from ...io.particles import ANGLES
    from ...io.star import write_tables

    write_tables(
        path,
        {
            "particles": {
                "rlnTomoName": [name] * len(placed.names),
                **{f"rlnCoordinate{axis}": placed.centres_zyx[:, position] for axis, position in zip("XYZ", (2, 1, 0))},
                **dict(zip(ANGLES, placed.angles.T)),
                "cryodlStructure": placed.names,
            }
        },
    )


def _finish(
    config: SimulateTomogramsConfig,
    folder: Path,
    particles: typing.Sequence[Particle],
    counts: typing.Mapping[str, typing.Any],
    tilts: typing.Sequence[float],
) -> SimulateTomogramsOutputs:
    """features.json, what belongs to the unfinished run removed, and the final name. Returns the outputs."""
    from ...simulate.tomograms import features_of

    features = features_of(config, particles)
    tomograms = {
        name: dict(
            file=f"tomograms/{name}.mrc",
            labels=f"labels/{name}.mrc",
            pixel_size=config.pixel_size,
            counts={feature: n for feature, (n, _) in found.items()},
        )
        for name, found in counts.items()
    }
    write_json(
        folder / "features.json",
        dict(features=[dict(label=label, name=name) for label, name in enumerate(features, 1)], tomograms=tomograms),
    )
    finish_folder(folder, config.output, "done")
    files = lambda kind, end=".mrc": {name: os.path.join(config.output, kind, name + end) for name in counts}
    return SimulateTomogramsOutputs(
        tomograms=files("tomograms"),
        labels=files("labels"),
        coordinates=files("coordinates", ".star"),
        features=features,
        pixel_size=config.pixel_size,
        tilt_min=tilts[0],
        tilt_max=tilts[-1],
        tilt_series=files("tilt_series") if config.tilt_series else None,
        **{half: files("halves", f"_{half}.mrc") if config.halves else None for half in HALVES},
        counts={f: sum(found[f][0] for found in counts.values()) for f in features},
    )


def _warnings(counts: typing.Mapping[str, typing.Any]) -> typing.Iterator[str]:
    for name, found in counts.items():
        for feature, (placed, wanted) in found.items():
            if placed < wanted:
                yield (
                    f"Only {placed} of {wanted} copies of {feature} fit into {name}. Choose fewer copies, or a "
                    "larger --size or --thickness."
                )
