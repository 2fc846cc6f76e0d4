# SPDX-License-Identifier: GPL-3.0-or-later
"""RELION's STAR files of the engine's input: optics groups, poses, rows."""

import io
import os
import re
from typing import Any, Callable, Dict, Iterable, List, Sequence, TextIO, Tuple

import numpy as np
from emtable import Table
from pwem.objects import SetOfImages

from ..engine.cryodl.contract.reading import star_head
from .alignment import anglesOf, originOf

_SPACE = re.compile(r"\s")
# Words of the STAR format itself begin so; a name that does must stand in quotes.
_RESERVED = re.compile(r"data_|loop_|save_|stop_|global_|[_#$'\[\];]", re.IGNORECASE)


def writeStar(
    path: str,
    optics: Sequence[Dict[str, Any]],
    writers: Sequence[Tuple[Tuple[str, ...], Callable[..., Any]]],
    items: Iterable[Any],
) -> int:
    """Write STAR 3.1, whole or not at all. Returns the number of rows.

    optics: of opticsOf. writers: [(column names, function of an item that gives their values)]. items: iterator; each
    is used before the next is asked for.
    """
    count = 0
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        _writeOptics(file, optics)
        file.write(star_head("particles", [name for columns, _ in writers for name in columns]))
        for count, item in enumerate(items, 1):
            file.write(" ".join(_text(value) for _, values in writers for value in values(item)) + "\n")
    os.replace(path + ".tmp", path)
    return count


def poseOf(matrix: np.ndarray, pixelSize: float, axes: int = 2) -> Tuple[float, ...]:
    """(rot, tilt, psi, origin x, origin y [, origin z]) in degrees and Å of a matrix of alignment.py."""
    return tuple(anglesOf(matrix)) + tuple(shift * pixelSize for shift in originOf(matrix, axes))


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    text = str(value)
    if not text:
        return "None"  # RELION's word; nothing at all would shift the row's other values
    return f'"{text}"' if _SPACE.search(text) or _RESERVED.match(text) else text


# ----- optics
def _writeOptics(file: TextIO, groups: Sequence[Dict[str, Any]]) -> None:
    file.write(star_head("optics", groups[0]))
    for group in groups:
        file.write(" ".join(_text(group[name]) for name in groups[0]) + "\n")


def opticsOf(particles: SetOfImages, dimensions: int, **more: Any) -> List[Dict[str, Any]]:
    """[{column: value}] of the optics groups of a set; without what is not known of the microscope.

    dimensions: 2 or 3. more: columns of every group.
    """
    groups = [
        dict(
            group,
            rlnImagePixelSize=particles.getSamplingRate(),
            rlnImageSize=particles.getXDim(),
            rlnImageDimensionality=dimensions,
            **more,
        )
        for group in _groupsOf(particles)
    ]
    return [
        {name: value for name, value in group.items() if all(g[name] is not None for g in groups)} for group in groups
    ]


def _groupsOf(particles: SetOfImages) -> List[Dict[str, Any]]:
    """Those that RELION's plugin keeps with the set, else one of its acquisition."""
    acquisition = particles.getAcquisition()
    kept = acquisition.getAttributeValue("opticsGroupInfo", None)
    if kept:
        table = Table()
        table.readStar(io.StringIO(kept), tableName="optics")
        return [row._asdict() for row in table]
    return [
        dict(
            rlnOpticsGroupName="opticsGroup1",
            rlnOpticsGroup=1,
            rlnVoltage=acquisition.getVoltage(),
            rlnSphericalAberration=acquisition.getSphericalAberration(),
            rlnAmplitudeContrast=acquisition.getAmplitudeContrast(),
        )
    ]
