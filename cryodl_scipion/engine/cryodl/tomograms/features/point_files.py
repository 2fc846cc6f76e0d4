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
    sizes: {tomogram: Å/px}."""
    species = sorted({one for each in poses.values() for one in each})
    tilts = None if config.tilt_min is None or config.tilt_max is None else (config.tilt_min, config.tilt_max)
    made: dict[str, dict[str, str]] = {name: {} for name in poses}
    for name, each in poses.items():
        all_poses, said = (
            coordinates3d.ParticlePoses.joined(list(each.values())),
            [one for one, those in each.items() for _ in range(len(those))],
        )
        shape, size, files = tomograms[name].shape, sizes[name], made[name]
        xyz = all_poses.zyx[:, ::-1]
        if "napari" in config.points:
            files["napari"] = f"{name}.csv"
            coordinate_files.write_napari_points(folder / files["napari"], all_poses, said)
        if "imod" in config.points:
            files["imod"] = f"{name}.mod"
            coordinate_files.write_imod_model(folder / files["imod"], xyz, said, shape, size, species)
        if "dynamo" in config.points:
            files["dynamo"] = f"{name}.tbl"
            coordinate_files.write_dynamo_table(
                folder / files["dynamo"], all_poses, list(tomograms).index(name) + 1, said, species, tilts, size
            )
        if "eman2" in config.points:
            files["eman2"] = f"{name}_info.json"
            centred = (xyz - np.array(shape[::-1]) / 2) * size
            coordinate_files.write_eman2(
                folder / files["eman2"], centred, said, size, species, all_poses.scores[:, 0]
            )
        if "copick" in config.points:
            for one, those in each.items():
                file = coordinate_files.write_copick(folder, name, one, those, size)
                files["copick"] = str(Path(file).parent)
    if "relion" in config.points and poses:
        tables: list[dict[str, typing.Any]] = []
        every = coordinates3d.ParticlePoses.joined([those for each in poses.values() for those in each.values()])
        oriented, scored = every.oriented.any(), np.isfinite(every.scores).any(axis=0)
        for name, each in poses.items():
            all_poses = coordinates3d.ParticlePoses.joined(list(each.values()))
            columns = tomogram_coordinates.coordinate_columns(name, all_poses.zyx, tomograms[name].shape, sizes[name])
            if oriented:
                columns.update(zip(tomogram_coordinates.ANGLES, np.nan_to_num(all_poses.angles).T))
            told = zip(coordinates3d.SCORES, all_poses.scores.T, scored)
            columns.update((score, values) for score, values, known in told if known)
            columns[tomogram_coordinates.SPECIES[0]] = [one for one, those in each.items() for _ in range(len(those))]
            tables.append(columns)
        tomogram_coordinates.write_coordinates3d((folder / "particles.star"), tables, [sizes[name] for name in poses])
        for files in made.values():
            files["relion"] = "particles.star"
    return made


def left_unsaid(poses: dict[str, dict[str, coordinates3d.ParticlePoses]], config: ExportTomogramsConfig) -> list[str]:
    """Sentences about what the chosen formats cannot hold of these {tomogram: {species: ParticlePoses}}."""
    all_poses = coordinates3d.ParticlePoses.joined([those for each in poses.values() for those in each.values()])
    scored, judged = np.isfinite(all_poses.scores).sum(axis=0).tolist()
    known, names = int(all_poses.oriented.sum()), dict(imod="IMOD's models", eman2="EMAN2's boxes")
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
            f"{counted(len(all_poses) - scored, 'coordinate')} of {len(all_poses)} have no score; that of these is 1 in "
            "Dynamo's tables and copick's files, and 0 in EMAN2's boxes.",
        ),
        (scored and "imod" in config.points, "IMOD's models hold no scores."),
        (
            judged and {"dynamo", "imod", "eman2", "copick"}.intersection(config.points),
            "Only napari's points and RELION's file hold cryodlQ.",
        ),
    )
    notes = [note for there, note in possible if there]
    species = sorted({one for each in poses.values() for one in each})
    changed = [one for one in species if coordinate_files.copick_name(one) != one]
    if "copick" in config.points and changed:
        notes.append(
            f"copick's names have no blanks or underscores: {changed[0]} is called "
            f"{coordinate_files.copick_name(changed[0])} there."
        )
    return notes
