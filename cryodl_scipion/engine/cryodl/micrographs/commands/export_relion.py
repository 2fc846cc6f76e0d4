# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl export-relion`: picks in, the files that RELION 3.1, 4 and 5 and cryoSPARC need out.

<output>/<folders of the micrograph>/<micrograph>_pick.star each; micrographs.star; autopick.star (RELION 4 and 5);
coords_suffix_pick.star (RELION 3.1's form); picked_particles.star (cryoSPARC). First in <output>.partial."""

import os
import typing
from pathlib import Path

from ...contract import ExportRelionConfig, ExportRelionOutputs, counted, some_names
from ...core.geometry import inside
from ...io import coordinates, cryosparc, files, micrographs, particle_positions, pick_sets, relion_tables, star
from ...io.particles import MICROSCOPE
from ...running.runner import Run, command
from ..pickers.pick_record import OTHER_BINNING, notes_of_picks

_GROUP = "rlnOpticsGroup"


@command
def export_relion(config: ExportRelionConfig, run: Run) -> ExportRelionOutputs:
    named = dict(files.name_micrographs(files.expand_paths(config.micrographs), run.names))
    run.warn(*notes_of_picks(config.coordinates, config.contrast, config.pixel_size))
    given = config.coordinates, config.pixel_size, config.particle_diameter, config.flip_y
    picks = coordinates.align_keys(particle_positions.read_centred(*given), list(named))
    helical = coordinates.align_keys(pick_sets.helical_tables(config.coordinates), list(named))
    if cryosparc.is_cryosparc(config.coordinates):
        _check_shapes(config.coordinates, named)
    rows = {name: pick_sets.project_name(path, config.project) for name, path in named.items() if name in picks}
    if not rows:
        raise ValueError(
            f"Of {counted(len(named), 'micrograph')}, none has picks in {config.coordinates}. They are matched "
            f"by name: the first micrograph is {next(iter(named))}, the first list of picks {next(iter(picks))}."
        )
    for name in (name for name in named if name not in picks):
        run.skip(name, named[name], "there is no list of picks of it", "micrograph")
    owner: dict[str, str] = {}
    for row in rows.values():
        other = owner.setdefault(pick_sets.coordinate_file(row), row)
        if other != row:
            raise ValueError(
                f"RELION looks for the picks of {other} and {row} in the same file. Rename one of the micrographs."
            )
    of_output = f"The output folder {config.output} (--output)", "Choose a folder inside the project."
    output = pick_sets.project_name(config.output, config.project, *of_output)
    folder = run.folder(continues=False)
    table, tables, groups = _micrographs(config, rows, folder, output)
    for name, row in rows.items():
        file = folder / pick_sets.coordinate_file(row)
        file.parent.mkdir(parents=True, exist_ok=True)
        if name in helical:
            star.write_tables(file, {"": helical[name]})  # tube number and angle stay with the segments
        else:
            coordinates.write_coordinates(file, *picks[name], f"cryodl: picks of {row}")
    columns = dict(
        rlnMicrographName=list(rows.values()),
        rlnMicrographCoordinates=[os.path.join(output, pick_sets.coordinate_file(row)) for row in rows.values()],
    )
    star.write_tables(folder / "autopick.star", dict(coordinate_files=columns))
    files.write_text(folder / f"coords_suffix{pick_sets.SUFFIX}", table + "\n")
    located = [(row, groups[row], *picks[name]) for name, row in rows.items()]
    star.write_tables(folder / "picked_particles.star", pick_sets.pick_tables(tables, located))
    counts = {name: len(picks[name][0]) for name in rows}
    commands, unknown = _commands(config, table, output, bool(helical)), set(picks) - set(named)
    run.summary(f"{counted(sum(counts.values()), 'pick')} in {counted(len(counts), 'micrograph')}: {config.output}")
    print(f"Extraction, in RELION's project folder ({config.project}):")
    print("\n".join(f"RELION {version}:\n  {words}" for version, words in commands.items()))
    print(f"cryoSPARC: Import Particle Stack takes {run.at('picked_particles.star')}.")
    if unknown:
        run.warn(f"No micrograph has the name of these lists of picks, which are not written: {some_names(unknown)}.")
    outside = {
        name: count
        for name in rows
        for shape in files.read_some(micrographs.micrograph_shape, [named[name]], 1)
        if (count := int((~inside(picks[name][0], shape)).sum()))
    }
    if outside:
        run.warn(
            f"{sum(outside.values())} of these picks lie outside their micrographs: {some_names(outside)}. "
            + OTHER_BINNING
        )
    if empty := [name for name, count in counts.items() if not count]:
        run.warn(f"{counted(len(empty), 'micrograph')} without picks: {some_names(empty)}.")
    return ExportRelionOutputs(
        folder=str(config.output),
        micrographs=table,
        counts=counts,
        commands=commands,
        picks=sum(counts.values()),
        pixel_size=config.pixel_size,
    )


def _check_shapes(path: str, named: dict[str, str]) -> None:
    """Raises ValueError if a .cs file, whose positions are fractions, is of micrographs of another size."""
    names, shapes = cryosparc.cryosparc_shapes(path)
    stated = coordinates.align_keys(dict(zip(coordinates.keys_of(names), shapes)), list(named))
    for name in stated.keys() & named.keys():
        (high, wide), own = stated[name], micrographs.micrograph_shape(named[name])
        if (high, wide) != own:
            raise ValueError(
                f"{path}: {name} has {wide} x {high} px by its field location/micrograph_shape, but {named[name]} has "
                f"{own[1]} x {own[0]} px. Give the micrographs that were picked in cryoSPARC, neither binned nor cut."
            )


def _micrographs(
    config: ExportRelionConfig, rows: typing.Mapping[str, str], folder: Path, output: str
) -> tuple[str, typing.Mapping[str, typing.Mapping[str, typing.Any]], typing.Mapping[str, str | int]]:
    """The table of micrographs for RELION's command: its name, its tables, {row: optics group}.

    A STAR file of RELION that was given keeps all its columns, the CTF's among them; otherwise one is written."""
    given = config.micrographs[0] if len(config.micrographs) == 1 else ""
    tables = star.read_tables(given) if given.lower().endswith(".star") else {}
    own = tables.get("micrographs", {})
    if "optics" in tables and set(rows.values()) <= set(own.get("rlnMicrographName", ())):
        lacking = [n for n in (*MICROSCOPE, _GROUP) if n not in tables["optics"] or (n == _GROUP and n not in own)]
        if lacking:
            raise ValueError(f"{given}: its tables lack {', '.join(lacking)}. Add these, or give the micrographs.")
        relion_tables.optics_rows(tables["optics"], own, given)
        return os.path.relpath(given, config.project), tables, dict(zip(own["rlnMicrographName"], own[_GROUP]))
    names = list(rows.values())
    optics = (config.voltage, config.spherical_aberration, config.amplitude_contrast)
    written = pick_sets.micrograph_tables(names, config.pixel_size, *optics)
    star.write_tables(folder / "micrographs.star", written)
    return os.path.join(output, "micrographs.star"), written, dict.fromkeys(names, 1)


def _commands(config: ExportRelionConfig, table: str, output: str, helical: bool) -> dict[str, str]:
    diameter = config.particle_diameter / config.pixel_size
    box = config.box or 2 * -(-int(1.5 * diameter + 0.999) // 2)
    where = {
        "3.1": ["--coord_dir", output + "/", "--coord_suffix", pick_sets.SUFFIX],
        "4 and 5": ["--coord_list", os.path.join(output, "autopick.star")],
    }
    tube = config.particle_diameter if helical else None
    return {
        version: pick_sets.extraction_command(table, words, box, diameter, config.contrast == "dark", tube)
        for version, words in where.items()
    }
