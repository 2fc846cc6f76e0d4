# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl export-relion`: picks in, the files that RELION 3.1, 4 and 5 and cryoSPARC need out.

<output>/<folders of the micrograph>/<micrograph>_pick.star each; micrographs.star; autopick.star (RELION 4 and 5);
coords_suffix_pick.star (RELION 3.1's form); picked_particles.star (cryoSPARC). Write everything into <output>.partial,
then rename.
"""

import os
import typing
from pathlib import Path

from ...contract import ExportRelionConfig, ExportRelionOutputs, counted, some_names
from ...io.coordinates import align_keys, read_coordinates, write_coordinates
from ...io.files import expand_paths, name_micrographs, whole_file
from ...io.pick_sets import (
    SUFFIX,
    coordinate_file,
    extraction_command,
    helical_tables,
    micrograph_tables,
    pick_tables,
    project_name,
)
from ...io.star import read_tables, write_tables
from ...runner import Run, command


@command
def export_relion(config: ExportRelionConfig, run: Run) -> ExportRelionOutputs:
    named = dict(name_micrographs(expand_paths(config.micrographs), run.names))
    picks = align_keys(read_coordinates(config.coordinates, config.flip_y), list(named))
    helical = align_keys(helical_tables(config.coordinates), list(named))
    rows = {name: project_name(path, config.project) for name, path in named.items() if name in picks}
    if not rows:
        raise ValueError(
            f"None of the {counted(len(named), 'micrograph')} has picks in {config.coordinates}. They are matched "
            f"by name: the first micrograph is {next(iter(named))}, the first list of picks {next(iter(picks))}."
        )
    for name in (name for name in named if name not in picks):
        run.skip(name, named[name], "there is no list of picks of it", "micrograph")
    _check_files(rows)
    output = project_name_of_folder(config.output, config.project)
    folder = run.folder(continues=False)
    table, tables, groups = _micrographs(config, rows, folder, output)
    for name, row in rows.items():
        file = folder / coordinate_file(row)
        file.parent.mkdir(parents=True, exist_ok=True)
        if name in helical:
            write_tables(file, {"": helical[name]})  # tube number and angle stay with the segments
        else:
            write_coordinates(file, *picks[name], f"cryodl: picks of {row}")
    lists = [os.path.join(output, coordinate_file(row)) for row in rows.values()]
    columns = dict(rlnMicrographName=list(rows.values()), rlnMicrographCoordinates=lists)
    write_tables(folder / "autopick.star", dict(coordinate_files=columns))
    with whole_file(folder / f"coords_suffix{SUFFIX}") as temporary:
        temporary.write_text(table + "\n")
    located = [(row, groups[row], *picks[name]) for name, row in rows.items()]
    write_tables(folder / "picked_particles.star", pick_tables(tables, located))
    counts = {name: len(picks[name][0]) for name in rows}
    made = ExportRelionOutputs(
        folder=str(config.output),
        micrographs=table,
        counts=counts,
        commands=_commands(config, table, output, bool(helical)),
        picks=sum(counts.values()),
        pixel_size=config.pixel_size,
    )
    _say(config, made, set(picks) - set(named), run)
    return made


def project_name_of_folder(output: str, project: str) -> str:
    """The output's folder relative to RELION's project. Raises ValueError if it lies outside, or for a blank in it."""
    name = os.path.relpath(os.path.abspath(output), os.path.abspath(project))
    if name.startswith(os.pardir):
        raise ValueError(
            f"The output folder {output} (--output) lies outside RELION's project folder (--project {project}), "
            "where RELION cannot read it. Choose a folder inside the project."
        )
    if any(letter.isspace() for letter in name):
        raise ValueError(
            f"The output folder {output} (--output) has a space in its path, which RELION's STAR files do not allow. "
            "Choose another name."
        )
    return name


def _check_files(rows: typing.Mapping[str, str]) -> None:
    owner: dict[str, str] = {}
    for row in rows.values():
        other = owner.setdefault(coordinate_file(row), row)
        if other != row:
            raise ValueError(
                f"RELION looks for the picks of {other} and {row} in the same file. Rename one of the micrographs."
            )


def _micrographs(
    config: ExportRelionConfig, rows: typing.Mapping[str, str], folder: Path, output: str
) -> tuple[str, typing.Mapping[str, typing.Mapping[str, typing.Any]], typing.Mapping[str, str | int]]:
    """The table of micrographs for RELION's command: its name, its tables, {row: optics group}.

    A STAR file of RELION that was given keeps all its columns, the CTF's among them; otherwise one is written.
    """
    given = config.micrographs[0] if len(config.micrographs) == 1 else ""
    tables = read_tables(given) if given.lower().endswith(".star") else {}
    own = tables.get("micrographs", {})
    if "optics" in tables and set(rows.values()) <= set(own.get("rlnMicrographName", ())) and "rlnOpticsGroup" in own:
        groups = dict(zip(own["rlnMicrographName"], own["rlnOpticsGroup"]))
        return os.path.relpath(given, config.project), tables, groups
    names = list(rows.values())
    optics = (config.voltage, config.spherical_aberration, config.amplitude_contrast)
    written = micrograph_tables(names, config.pixel_size, *optics)
    write_tables(folder / "micrographs.star", written)
    return os.path.join(output, "micrographs.star"), written, dict.fromkeys(names, 1)


def _commands(config: ExportRelionConfig, table: str, output: str, helical: bool) -> dict[str, str]:
    diameter = config.particle_diameter / config.pixel_size
    box = config.box or 2 * -(-int(1.5 * diameter + 0.999) // 2)
    where = {
        "3.1": ["--coord_dir", output + "/", "--coord_suffix", SUFFIX],
        "4 and 5": ["--coord_list", os.path.join(output, "autopick.star")],
    }
    tube = config.particle_diameter if helical else None
    return {
        version: extraction_command(table, words, box, diameter, config.contrast == "dark", tube)
        for version, words in where.items()
    }


def _say(config: ExportRelionConfig, made: ExportRelionOutputs, unknown: typing.Collection[str], run: Run) -> None:
    run.summary(f"{counted(made.picks, 'pick')} in {counted(len(made.counts), 'micrograph')}: {config.output}")
    print(f"Extraction, in RELION's project folder ({config.project}):")
    for version, words in made.commands.items():
        print(f"RELION {version}:\n  {words}")
    print(f"cryoSPARC: Import Particle Stack takes {Path(config.output) / 'picked_particles.star'}.")
    if unknown:
        run.warn(f"No micrograph has the name of these lists of picks, which are not written: {some_names(unknown)}.")
    empty = [name for name, count in made.counts.items() if not count]
    if empty:
        run.warn(f"{counted(len(empty), 'micrograph')} without picks: {some_names(empty)}.")
