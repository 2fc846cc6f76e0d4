# SPDX-License-Identifier: GPL-3.0-or-later
"""RELION's STAR files of the engine's input: optics groups, poses, rows.

Orientations: RELION's rot, tilt, psi and origins against Scipion's matrices of projection alignment.

Scipion's matrix of a particle (ALIGN_PROJ) is the inverse of [R(-rot, -tilt, -psi) | -origin], where R is the matrix of
rotations about z, y, z with fixed axes; so the plugin of RELION reads and writes it (convert31.py), and a test
compares. That of a subtomogram or a 3-D coordinate is the same with three axes: it turns places of the subtomogram into
places of the reference, as tomo.objects.convertMatrix defines it.

Tables of the STAR files that the engine writes."""

import contextlib
import io
import itertools
import os
import shlex
import sqlite3
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple

import numpy as np
from emtable import Table
from pwem.convert import transformations
from pwem.objects import SetOfImages

from ..engine.cryodl.contract.reading import check_end, star_head, star_text

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")


def matrixOf(angles: Any, origin: Sequence[float] = (0, 0)) -> np.ndarray:
    """(4, 4) matrix. angles: rot, tilt, psi in degrees. origin: x, y (and z) in px, which centre the particle."""
    matrix = transformations.euler_matrix(*[-np.deg2rad(angle) for angle in angles], axes="szyz")
    matrix[: len(origin), 3] = [-shift for shift in origin]
    return np.linalg.inv(matrix)


def anglesOf(matrix: np.ndarray) -> np.ndarray:
    """(3,) rot, tilt, psi in degrees of a (4, 4) matrix."""
    return -np.rad2deg(transformations.euler_from_matrix(np.linalg.inv(matrix), axes="szyz"))


def originOf(matrix: np.ndarray, axes: int = 2) -> np.ndarray:
    """(2,) x, y in px, the shift that centres the particle of a (4, 4) matrix; of a subtomogram 3 axes."""
    return -np.linalg.inv(matrix)[:axes, 3]


def writeTable(path: str, table: str, columns: Sequence[str], rows: Iterable[Iterable[Any]], before: str = "") -> int:
    """Write a table, whole or not at all. Returns the number of rows. table: what follows `data_`. rows: iterator; each
    is used before the next is asked for. before: tables above it."""
    count = 0
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        file.write(before + star_head(table, columns))
        for count, row in enumerate(rows, 1):
            file.write(" ".join(map(star_text, row)) + "\n")
        file.write("\n")
    os.replace(path + ".tmp", path)
    return count


def readColumns(path: str, columns: Any, kinds: Any, table: str = "") -> Any:
    """[(value, ...)] of a table's rows, see iterColumns."""
    return list(iterColumns(path, columns, kinds, table))


def iterColumns(path: str, columns: Sequence[str], kinds: Sequence[Callable[..., Any]], table: str = "") -> Any:
    """(value, ...) of each row of a table, in the file's order; nothing is held, the table may have a million rows.
    columns: names without underscore, in the order wanted. kinds: str or float, one for each. table: what follows
    `data_`. Raises FileNotFoundError, or ValueError that names the file and the line without these columns."""
    names, inside = [], False
    check_end(path)
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            # only texts with spaces have quotes, and splitting by them takes ten times as long
            words = shlex.split(line) if '"' in line or "'" in line else line.split()
            if not words or line.startswith("#") or line.strip() == "loop_":
                continue
            if line.startswith("data_"):  # of the line, not of the words: a name in quotes may begin so, too
                names, inside = [], words[0] == "data_" + table
            elif line.startswith("_"):
                names.append(words[0][1:])
            elif inside:
                try:
                    values = tuple(kind(words[names.index(column)]) for column, kind in zip(columns, kinds))
                except (ValueError, IndexError):
                    raise ValueError(f"{path}, line {number}: the columns {', '.join(columns)} are needed.") from None
                yield values


def columnsOf(path: str, table: str = "") -> List[str]:
    """Names of a table's columns, without underscores, in the file's order."""
    names, inside = [], False
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("data_"):
                inside = line.strip() == "data_" + table
            elif inside and line.startswith("_"):
                names.append(line.split()[0][1:])
            elif names and inside:
                break
    return names


def writeStar(
    path: str,
    optics: Sequence[Dict[str, Any]],
    writers: Sequence[Tuple[Tuple[str, ...], Callable[..., Any]]],
    items: Iterable[Any],
) -> int:
    """Write STAR 3.1, whole or not at all. Returns the number of rows. optics: of opticsOf. writers: [(column names,
    function of an item that gives their values)]. items: iterator; each is used before the next is asked for."""
    before = star_head("optics", optics[0])
    before += "".join(" ".join(star_text(group[name]) for name in optics[0]) + "\n" for group in optics)
    columns = [name for columns, _ in writers for name in columns]
    rows = ((value for _, values in writers for value in values(item)) for item in items)
    return writeTable(path, "particles", columns, rows, before)


def attributeOf(name: str) -> Callable[[Any], Tuple[Any]]:
    return lambda item: (item.getAttributeValue(name),)


def poseOf(matrix: np.ndarray, pixelSize: float, axes: int = 2) -> Tuple[float, ...]:
    """(rot, tilt, psi, origin x, origin y [, origin z]) in degrees and Å of a matrix of this file."""
    return tuple(anglesOf(matrix)) + tuple(shift * pixelSize for shift in originOf(matrix, axes))


def opticsOf(particles: SetOfImages, dimensions: int, **more: Any) -> List[Dict[str, Any]]:
    """[{column: value}] of a set's optics groups, if known. dimensions: 2 or 3. more: columns of every group."""
    size, box = particles.getSamplingRate(), particles.getXDim()
    more = dict(rlnImagePixelSize=size, rlnImageSize=box, rlnImageDimensionality=dimensions, **more)
    groups = [dict(group, **more) for group in _groupsOf(particles)]
    return [
        {name: value for name, value in group.items() if all(g[name] is not None for g in groups)} for group in groups
    ]


_ACQUIRED = dict(
    rlnVoltage="_voltage", rlnSphericalAberration="_sphericalAberration", rlnAmplitudeContrast="_amplitudeContrast"
)


def _groupsOf(particles: SetOfImages) -> List[Dict[str, Any]]:
    """Those that RELION's plugin keeps with the set, else those of the acquisitions: one, but for joined sets."""
    if kept := _keptGroups(particles):
        return kept
    return [
        dict(zip(_ACQUIRED, values), rlnOpticsGroupName=f"opticsGroup{number}", rlnOpticsGroup=number)
        for number, values in enumerate(itertools.product(*(acquired(particles, n) for n in _ACQUIRED.values())), 1)
    ]


def _keptGroups(particles: SetOfImages) -> List[Dict[str, Any]]:
    """Of joined sets Scipion keeps those of the first one alone: none, where their items were acquired otherwise."""
    table, kept = Table(), particles.getAcquisition().getAttributeValue("opticsGroupInfo", None)
    if not kept:
        return []
    table.readStar(io.StringIO(kept), tableName="optics")
    groups = [row._asdict() for row in table]
    for column, name in _ACQUIRED.items():
        own, theirs = acquired(particles, name), [float(group.get(column, np.nan)) for group in groups]
        if len(own) > 1 and not all(np.isclose(value, theirs).any() for value in own):
            return []
    return groups


def knowsMicroscope(images: SetOfImages) -> bool:
    """Whether all is known without which the engine refuses particles with a CTF."""
    every = itertools.product(_groupsOf(images), _ACQUIRED)
    return all(group.get("rlnVoltage") and group.get(column) is not None for group, column in every)


def acquired(images: SetOfImages, name: str) -> List[float]:
    """Values of an attribute of the items' acquisitions, where a joined set has several; else that of the set."""
    column, found = f"_acquisition.{name}", []
    # a query for each value: a set may have a million items; its rows are read to the end, which ends its lock
    query = lambda low: images.iterItems(orderBy=column, where=f"{column}>{low}", limit=1)
    with contextlib.suppress(sqlite3.OperationalError):  # no such column: its items note none of their own
        while items := [item.clone() for item in query(found[-1] if found else -1)]:
            found.append(items[0].getAcquisition().getAttributeValue(name))
    return found if len(found) > 1 else [images.getAcquisition().getAttributeValue(name)]


def opticsGroupOf(particles: SetOfImages, groups: Sequence[Dict[str, Any]], kept: str) -> Callable[[Any], int]:
    """A function of an item: its optics group. groups: of opticsOf. kept: attribute in which RELION's plugin has it."""
    several = [column for column in _ACQUIRED if len({group.get(column) for group in groups}) > 1]
    known = {tuple(group[column] for column in several): group["rlnOpticsGroup"] for group in groups}
    if not several or _keptGroups(particles):
        return lambda item: item.getAttributeValue(kept, 1)
    own = lambda item: (item.getAcquisition().getAttributeValue(_ACQUIRED[column]) for column in several)
    return lambda item: known.get(tuple(own(item)), 1)
