# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl export-relion`: picks in, the files that RELION 3.1, 4 and 5 and cryoSPARC need out.

<output>/<folders of the micrograph>/<micrograph>_pick.star each; micrographs.star; autopick.star (RELION 4 and 5);
coords_suffix_pick.star (RELION 3.1's form); picked_particles.star (cryoSPARC).
Micrographs without a list of picks are in Result.skipped.
"""

import os
import typing
from pathlib import Path

from ...contract import ExportRelionConfig, Result, Skipped, counted, said_skipped
from ...contract.micrographs.exporting import ExportRelionOutputs
from ...io.coordinates import align_keys, read_coordinates, write_coordinates
from ...io.files import expand_paths, name_micrographs, whole_file
from ...io.relion_picks import (
    SUFFIX,
    coordinate_file,
    extraction_command,
    helical_tables,
    micrograph_tables,
    pick_tables,
    project_name,
)
from ...io.star import read_tables, write_tables
from ...io.unfinished import check_output, finish_folder, working_folder


def run(config: ExportRelionConfig) -> Result:
    """Write everything into <output>.partial, then rename."""
    check_output(config.output)
    named = dict(name_micrographs(expand_paths(config.micrographs), config.names))
    picks = align_keys(read_coordinates(config.coordinates, config.flip_y), list(named))
    helical = align_keys(helical_tables(config.coordinates), list(named))
    rows = {name: project_name(path, config.project) for name, path in named.items() if name in picks}
    skipped = [Skipped(n, str(p), "there is no list of picks of it") for n, p in named.items() if n not in picks]
    if not rows:
        raise ValueError(
            f"None of the {counted(len(named), 'micrograph')} has picks in {config.coordinates}. They are matched "
            f"by name: the first micrograph is {next(iter(named))}, the first list of picks {next(iter(picks))}."
        )
    _check_files(rows)
    output = project_name_of_folder(config.output, config.project)
    folder = Path(working_folder(config, continues=False))
    table, tables, groups = _micrographs(config, rows, folder, output)
    for name, row in rows.items():
        file = folder / coordinate_file(row)
        file.parent.mkdir(parents=True, exist_ok=True)
        if name in helical:
            write_tables(file, {"": helical[name]})  # tube number and angle stay with the segments
        else:
            yx, scores = picks[name]
            write_coordinates(file, yx, scores, f"cryodl: picks of {row}")
    lists = [os.path.join(output, coordinate_file(row)) for row in rows.values()]
    columns = dict(rlnMicrographName=list(rows.values()), rlnMicrographCoordinates=lists)
    write_tables(folder / "autopick.star", dict(coordinate_files=columns))
    with whole_file(folder / f"coords_suffix{SUFFIX}") as temporary:
        temporary.write_text(table + "\n")
    located = [(row, groups[row], *picks[name]) for name, row in rows.items()]
    write_tables(folder / "picked_particles.star", pick_tables(tables, located))
    finish_folder(folder, config.output)
    counts = {name: len(picks[name][0]) for name in rows}
    commands = _commands(config, table, output, bool(helical))
    _say(config, counts, commands)
    warnings = _warnings(set(picks) - set(named), counts, skipped)
    outputs = ExportRelionOutputs(
        folder=str(config.output),
        micrographs=table,
        counts=counts,
        commands=commands,
        picks=sum(counts.values()),
        pixel_size=config.pixel_size,
    )
    return Result("export-relion", outputs, skipped=tuple(skipped), warnings=tuple(warnings))


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
    """Two micrographs must not have one file of coordinates."""
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
    """{versions of RELION: command}"""
    diameter = config.particle_diameter / config.pixel_size
    box = config.box or 2 * -(-int(1.5 * diameter + 0.999) // 2)
    where = {
        "3.1": ["--coord_dir", output + "/", "--coord_suffix", SUFFIX],
        "4 and 5": ["--coord_list", os.path.join(output, "autopick.star")],
    }
    return {
        version: extraction_command(
            table, words, box, diameter, config.contrast == "dark", config.particle_diameter if helical else None
        )
        for version, words in where.items()
    }


def _say(config: ExportRelionConfig, counts: typing.Mapping[str, int], commands: typing.Mapping[str, str]) -> None:
    print(f"{counted(sum(counts.values()), 'pick')} in {counted(len(counts), 'micrograph')}: {config.output}")
    print(f"Extraction, in RELION's project folder ({config.project}):")
    for version, command in commands.items():
        print(f"RELION {version}:\n  {command}")
    print(f"cryoSPARC: Import Particle Stack takes {Path(config.output) / 'picked_particles.star'}.")


def _warnings(
    unknown: typing.Collection[str], counts: typing.Mapping[str, int], skipped: list[Skipped]
) -> typing.Iterator[str]:
    """Sentences about picks and micrographs that do not belong together."""
    if unknown:
        first = ", ".join(sorted(unknown)[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        yield f"No micrograph has the name of these lists of picks, which are not written: {first}{more}."
    empty = [name for name, count in counts.items() if not count]
    if empty:
        yield f"{counted(len(empty), 'micrograph')} without picks: {', '.join(empty[:5])}."
    if skipped:
        yield from said_skipped(skipped, "micrograph")
