# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles of tomograms in the files of other programs, and what these files leave unsaid."""

import typing
from pathlib import Path

import numpy as np

from ...contract import ExportTomogramsConfig, counted
from ...io import coordinate_files, coordinates3d, tomogram_coordinates
from ...io.tomograms import Tomogram


def write_points(
    folder: Path,
    poses: dict[str, dict[str, coordinates3d.ParticlePoses]],
    tomograms: dict[str, Tomogram],
    sizes: dict[str, float],
    config: ExportTomogramsConfig,
) -> dict[str, dict[str, str]]:
    """Write positions and orientations into a folder in the formats of a config (points). Returns {tomogram: {format:
    file}}. Numbers of tomograms and species are the same in all files. poses: {tomogram: {species: ParticlePoses}};
    sizes: {tomogram: Å/px}. Raises ValueError for two species that copick would call alike."""
    species = sorted({one for each in poses.values() for one in each})
    called = {coordinate_files.copick_name(one): one for one in species}
    if "copick" in config.points and (alike := [one for one in species if one not in called.values()]):
        raise ValueError(
            f"{alike[0]} and {called[coordinate_files.copick_name(alike[0])]} would have one name in copick. Rename "
            "one of these species, or leave copick out of --points."
        )
    tilts = None if config.tilt_min is None or config.tilt_max is None else (config.tilt_min, config.tilt_max)
    made: dict[str, dict[str, str]] = {name: {} for name in poses}
    tables: list[dict[str, typing.Any]] = []
    every, names = _all_poses(poses), (*tomogram_coordinates.ANGLES, *coordinates3d.SCORES)
    known = (every.oriented.any(),) * 3 + tuple(np.isfinite(every.scores).any(axis=0))
    for name, each in poses.items():
        those, shape, size, files = _all_poses({name: each}), tomograms[name].shape, sizes[name], made[name]
        said = [one for one, some in each.items() for _ in range(len(some))]
        columns = tomogram_coordinates.coordinate_columns(name, those.zyx, shape, size)
        values = zip(names, (*np.nan_to_num(those.angles).T, *those.scores.T))
        columns.update((pair for pair, there in zip(values, known) if there), cryodlSpecies=said)
        tables.append(columns)
        path = lambda form, ending: folder / files.setdefault(form, f"{name}{ending}")
        if "napari" in config.points:
            coordinate_files.write_napari_points(path("napari", ".csv"), those, said, size)
        if "imod" in config.points:
            coordinate_files.write_imod_model(path("imod", ".mod"), those.zyx[:, ::-1], said, shape, size, species)
        if "dynamo" in config.points:
            number = list(tomograms).index(name) + 1
            coordinate_files.write_dynamo_table(path("dynamo", ".tbl"), those, number, said, species, tilts, size)
        if "eman2" in config.points:
            centred, scores = (those.zyx[:, ::-1] - np.array(shape[::-1]) / 2) * size, those.scores[:, 0]
            coordinate_files.write_eman2(path("eman2", "_info.json"), centred, said, size, species, scores)
        if "copick" in config.points:
            for one, some in each.items():
                files["copick"] = str(Path(coordinate_files.write_copick(folder, name, one, some, size)).parent)
        if "relion" in config.points:
            files["relion"] = "particles.star"
    if "relion" in config.points and poses:
        tomogram_coordinates.write_coordinates3d(folder / "particles.star", tables, [sizes[name] for name in poses])
    return made


def _all_poses(poses: dict[str, dict[str, coordinates3d.ParticlePoses]]) -> coordinates3d.ParticlePoses:
    return coordinates3d.ParticlePoses.joined([those for each in poses.values() for those in each.values()])


def left_unsaid(poses: dict[str, dict[str, coordinates3d.ParticlePoses]], config: ExportTomogramsConfig) -> list[str]:
    """Sentences about what the chosen formats cannot hold of these {tomogram: {species: ParticlePoses}}."""
    all_poses = _all_poses(poses)
    scored, judged = np.isfinite(all_poses.scores).sum(axis=0).tolist()
    known, names = int(all_poses.oriented.sum()), dict(imod="IMOD's models", eman2="EMAN2's boxes")
    species = sorted({one for each in poses.values() for one in each})
    changed = next((one for one in species if coordinate_files.copick_name(one) != one), "")
    poor = [name for form, name in names.items() if form in config.points]
    possible = (
        (known and poor, f"{' and '.join(poor)} hold no orientations: only positions are there."),
        (
            0 < known < len(all_poses),
            f"{counted(len(all_poses) - known, 'coordinate')} of {len(all_poses)} have no orientation; the angles of "
            "these are 0 in Dynamo's tables and RELION's file, and copick's files say that they are not known.",
        ),
        (
            "dynamo" in config.points and len(all_poses) and config.tilt_min is None,
            "Dynamo's tables say nothing about the missing wedge (columns 13 to 15), as the tilt range is not known: "
            "give --tilt-min and --tilt-max.",
        ),
        (
            0 < scored < len(all_poses),
            f"{counted(len(all_poses) - scored, 'coordinate')} of {len(all_poses)} have no score: it is 1 in Dynamo's "
            "tables and copick's files, and 0 in EMAN2's boxes.",
        ),
        (
            "dynamo" in config.points and len(species) > 1,
            f"Dynamo's tables number species (column 22): {', '.join(f'{n} {s}' for n, s in enumerate(species, 1))}.",
        ),
        (scored and "imod" in config.points, "IMOD's models hold no scores."),
        (
            judged and {"dynamo", "imod", "eman2", "copick"}.intersection(config.points),
            "Only napari's points and RELION's file hold cryodlQ.",
        ),
        (
            "copick" in config.points and changed,
            f"copick's names have no blanks or underscores: {changed} is called "
            f"{coordinate_files.copick_name(changed)} there.",
        ),
    )
    return [note for there, note in possible if there]
