# SPDX-License-Identifier: GPL-3.0-or-later
"""STAR files of places in tomograms as SetOfCoordinates3D.

The engine counts x, y, z in px from the first voxel's centre, as an index into the array [z, y, x] does: in tomo's
words BOTTOM_LEFT_CORNER. Orientations are RELION's rot, tilt, psi; the matrix of a Coordinate3D is the one of
alignment.py.
"""

from typing import Any, Dict, List, Sequence

from pyworkflow.object import Float, String
from tomo.constants import BOTTOM_LEFT_CORNER
from tomo.objects import Coordinate3D, SetOfCoordinates3D, Tomogram

from ..alignment import matrixOf
from ..star import columnsOf, readColumns, tableWith

PLACE = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
SCORE, PIECE, VOLUME, STRUCTURE = "cryodlScore", "cryodlPiece", "cryodlVolume", "cryodlStructure"


def readPlaces(path: Any) -> List[Dict[str, Any]]:
    """[{column: value}] of the rows of a STAR file; columns that the file lacks are absent."""
    table = tableWith(path, PLACE[0])
    kinds = dict(
        {name: float for name in PLACE + ANGLES + (SCORE, VOLUME)},
        **{PIECE: lambda text: int(float(text)), STRUCTURE: str},
    )
    there = [name for name in columnsOf(path, table) if name in kinds]
    return [dict(zip(there, row)) for row in readColumns(path, there, [kinds[name] for name in there], table)]


def appendPlaces(
    coordinates: SetOfCoordinates3D,
    tomogram: Tomogram,
    rows: Sequence[Dict[str, Any]],
    groups: Any = None,
    scale: float = 1.0,
) -> None:
    """Append rows of readPlaces to a SetOfCoordinates3D.

    tomogram: the one that the places lie in, of the set's precedents. groups: {structure: group number}; None: the
    number of the piece is the group. scale: px of this tomogram per px of the volume of the rows; the two cover the
    same space, as binning keeps it.
    """
    for row in rows:
        item = Coordinate3D()
        item.setVolume(tomogram)  # before the position, which needs the origin
        item.setPosition(*[(row[name] + 0.5) * scale - 0.5 for name in PLACE], BOTTOM_LEFT_CORNER)
        item.setTomoId(tomogram.getTsId())
        item.setGroupId(row.get(PIECE, 0) if groups is None else groups.get(row.get(STRUCTURE), 0))
        item.setScore(row.get(SCORE, 0.0))
        if ANGLES[0] in row:
            item.setMatrix(matrixOf([row[name] for name in ANGLES], (0.0, 0.0, 0.0)))
        for name, kind in ((VOLUME, Float), (STRUCTURE, String)):
            if name in row:
                setattr(item, "_" + name, kind(row[name]))
        coordinates.append(item)
