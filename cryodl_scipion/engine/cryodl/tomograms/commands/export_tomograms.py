# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl export-tomograms`: volumes and coordinates in; OME-Zarr, and files of napari, IMOD, Dynamo and EMAN2 out.

Result.outputs are the contract's ExportTomogramsOutputs. Volumes that could not be read are in Result.skipped.
"""

from __future__ import annotations

import typing
from pathlib import Path

import numpy as np

from ...contract import AllSkipped, ExportTomogramsConfig, Result, Skipped, counted, in_words, said_skipped
from ...contract.tomograms.exporting import ExportTomogramsOutputs
from ...io.files import expand_paths, name_tomograms
from ...io.origins import origin_of
from ...io.tomograms import Tomogram, working_pixel_size
from ...io.unfinished import check_output, finish_folder, working_folder
from ...io.warn import warn


def run(config: ExportTomogramsConfig) -> Result:
    """Write everything into <output>.partial, then rename."""
    from ..features.particle_coordinates import read_positions

    check_output(config.output)
    tomograms, sizes, skipped, notes = _sources(config)
    positions = read_positions(config.coordinates, tomograms, sizes, notes) if config.coordinates else {}
    folder = Path(working_folder(config, continues=False))
    species = sorted({one for each in positions.values() for one in each})
    volumes, points = {}, {}
    for number, (name, tomogram) in enumerate(tomograms.items(), 1):
        if config.volumes:
            volumes[name] = _write_volume(folder, name, tomogram, sizes[name], config.labels)
        if positions.get(name):
            points[name] = _write_points(
                folder, name, number, positions[name], species, tomogram.shape, sizes[name], config.points
            )
    finish_folder(folder, config.output)
    counts = {name: sum(map(len, positions[name].values())) for name in points}
    notes += said_skipped(skipped, "volume")
    for note in notes:
        warn(note)
    print(
        f"{counted(len(volumes), 'volume')} and {counted(sum(counts.values()), 'coordinate')} of "
        f"{counted(len(tomograms), 'tomogram')}: {config.output}"
    )
    outputs = ExportTomogramsOutputs(
        folder=str(config.output),
        volumes={name: str(Path(config.output) / file) for name, file in volumes.items()},
        points={
            name: {form: str(Path(config.output) / file) for form, file in files.items()}
            for name, files in points.items()
        },
        counts=counts,
        pixel_sizes=sizes,
    )
    return Result("export-tomograms", outputs, device="cpu", skipped=tuple(skipped), warnings=tuple(notes))


def _sources(config: ExportTomogramsConfig) -> tuple[dict[str, Tomogram], dict[str, float], list[Skipped], list[str]]:
    """Tomograms and their pixel sizes by name, those that cannot be used, and sentences for the user."""
    tomograms: dict[str, Tomogram] = {}
    sizes: dict[str, float] = {}
    skipped: list[Skipped] = []
    notes: list[str] = []
    for name, path in name_tomograms(expand_paths(config.tomograms), config.names):
        try:
            tomogram = Tomogram(path)
            size, note = working_pixel_size(tomogram, config.pixel_size)
            tomograms[name], sizes[name] = tomogram, size
            notes += [note] if note else []
        except (ValueError, FileNotFoundError) as error:
            skipped.append(Skipped(name, str(path), str(error)))
            print(f"Skipped {in_words(skipped[-1])}")
    if not tomograms:
        raise AllSkipped(f"No volume could be written. The first: {in_words(skipped[0])}")
    return tomograms, sizes, skipped, notes


def _write_volume(folder: Path, name: str, tomogram: Tomogram, pixel_size: float, labels: bool) -> str:
    """Returns the name of the OME-Zarr folder."""
    from ...io.zarr_writer import write_zarr

    levels = write_zarr(folder / f"{name}.zarr", tomogram, pixel_size, origin_of(tomogram.path), labels)
    print(f"{name}.zarr: {counted(levels, 'level')}.")
    return f"{name}.zarr"


def _write_points(
    folder: Path,
    name: str,
    number: int,
    positions: typing.Mapping[str, np.ndarray],
    all_species: typing.Sequence[str],
    shape: tuple[int, ...],
    pixel_size: float,
    forms: typing.Sequence[str],
) -> dict[str, str]:
    """{format: file} of the coordinates of a tomogram. number: of the tomogram, for Dynamo. all_species: of
    all tomograms, so that a class has the same number in all."""
    from ...io import coordinate_files as files

    zyx = np.concatenate(list(positions.values()))
    species = [one for one, points in positions.items() for _ in points]
    xyz, made = zyx[:, ::-1], {}
    for form in forms:
        if form == "napari":
            made[form] = f"{name}.csv"
            files.write_napari_points(folder / made[form], zyx, species)
        elif form == "imod":
            made[form] = f"{name}.mod"
            files.write_imod_model(folder / made[form], xyz, species, shape, pixel_size, all_species)
        elif form == "dynamo":
            made[form] = f"{name}.tbl"
            files.write_dynamo_table(folder / made[form], xyz, number, np.ones(len(xyz)), species, all_species)
        else:
            made[form] = f"{name}_info.json"
            centred = (xyz - np.array(shape[::-1]) / 2) * pixel_size
            files.write_eman2(folder / made[form], centred, species, pixel_size, all_species)
    return made
