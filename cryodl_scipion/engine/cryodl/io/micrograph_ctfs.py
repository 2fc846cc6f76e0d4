# SPDX-License-Identifier: GPL-3.0-or-later
"""The CTF of each micrograph, in the STAR files of `cryodl estimate-ctf` and RELION."""

import os
import typing
from pathlib import Path

import numpy as np

from ..contract.reading import reader
from ..core.optics import Optics
from . import files, star
from .particles import CTF, MICROSCOPE
from .relion_tables import check_microscope, known_columns, number_columns, optics_rows

_WHICH = "the STAR file of `cryodl estimate-ctf`, or RELION's micrographs_ctf.star"
_NAME, _GROUP, _PHASE = "rlnMicrographName", "rlnOpticsGroup", "rlnPhaseShift"


@reader
def read_micrograph_ctfs(
    path: str | os.PathLike[str], microscope: dict[str, float | None] | None = None
) -> dict[str, Optics]:
    """CTFs by micrograph key. path: STAR file with rlnMicrographName and rlnDefocusU, rlnDefocusV, rlnDefocusAngle;
    rlnPhaseShift if there is one. The microscope stands in its optics table, or in columns of the same table.
    microscope: {rlnVoltage, rlnSphericalAberration, rlnAmplitudeContrast: value, or None for that of the file}. Raises
    FileNotFoundError or ValueError that names the file and what it lacks, or two micrographs of one name."""
    table, optics = _tables(path)
    count, defocus = len(table[_NAME]), known_columns(path, table, CTF, "micrograph")
    phases = number_columns(path, table, (_PHASE,), "micrograph")
    constants = [_constant(path, name, (microscope or {}).get(name), table, optics, count) for name in MICROSCOPE]
    check_microscope(path, np.column_stack(constants))
    found = {}
    for row, name in enumerate(table[_NAME]):
        key = files.micrograph_key(name)
        if key in found:
            raise ValueError(f"{path} has two micrographs with the name {key}. Keep one of them, or rename it.")
        phase = 0.0 if phases is None else float(phases[row, 0])
        found[key] = Optics(*map(float, (*defocus[row], *(values[row] for values in constants), phase)))
    return found


def ctf_of(ctfs: typing.Mapping[str, Optics], name: str, path: str | os.PathLike[str]) -> Optics | None:
    """CTF of a micrograph by its name or that of its file; None if there is none. ctfs: of read_micrograph_ctfs."""
    return ctfs.get(name) or ctfs.get(files.micrograph_key(path))


def _tables(path: str | os.PathLike[str]) -> tuple[dict[str, typing.Any], dict[str, typing.Any]]:
    """The table of micrographs and that of optics groups, which may be empty."""
    if Path(path).is_dir():
        raise ValueError(f"{path} (--ctf) is a folder; a file is needed: {_WHICH}.")
    tables = star.read_tables(path)
    table = next((t for t in tables.values() if _NAME in t and CTF[0] in t), None)
    if table is None:
        raise ValueError(f"{path} (--ctf) has no table with {_NAME} and {CTF[0]}. Give {_WHICH}.")
    return table, next((t for t in tables.values() if _GROUP in t and _NAME not in t), {})


def _constant(
    path: str | os.PathLike[str],
    name: str,
    given: float | None,
    table: dict[str, typing.Any],
    optics: dict[str, typing.Any],
    count: int,
) -> list[float]:
    if given is not None:
        return [float(given)] * count
    if name in table:
        return known_columns(path, table, (name,), "micrograph")[:, 0].tolist()
    if name in optics:
        return known_columns(path, optics, (name,), "optics group")[optics_rows(optics, table, path), 0].tolist()
    word = {MICROSCOPE[0]: "voltage", MICROSCOPE[1]: "spherical-aberration", MICROSCOPE[2]: "amplitude-contrast"}[name]
    raise ValueError(f"{path} (--ctf) has no {name}. Give it with --{word}.")
