# SPDX-License-Identifier: GPL-3.0-or-later
"""STAR files of positions in tomograms as SetOfCoordinates3D.

The engine counts x, y, z in px from the first voxel's centre, as an index into the array [z, y, x] does: in tomo's
words BOTTOM_LEFT_CORNER. Orientations are RELION's rot, tilt, psi; matrices are those of relion_star.py."""

from typing import Any, Dict, Iterator, List, Sequence, Tuple

from pyworkflow.object import Float, String
from tomo.constants import BOTTOM_LEFT_CORNER, SCIPION
from tomo.objects import Coordinate3D, SetOfCoordinates3D, Tomogram

from ...engine.cryodl.contract import rescaled
from ..reading import ENABLED
from ..relion_star import ANGLES, columnsOf, matrixOf, readColumns, writeTable
from .tomograms import byId

POSITION = ("rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ")
SCORE, PIECE, VOLUME, STRUCTURE = "cryodlScore", "cryodlPiece", "cryodlVolume", "cryodlStructure"
Q = "cryodlQ"  # estimated part of look-alikes among detections of such a score
SPECIES = "cryodlSpecies"
_TABLE = "particles"  # of all files of 3-D coordinates that the engine writes


def readCoordinates3D(path: Any) -> List[Dict[str, Any]]:
    """[{column: value}] of the rows of a STAR file; columns that the file lacks are absent."""
    kinds = dict(
        {name: float for name in POSITION + ANGLES + (SCORE, VOLUME, Q)},
        **{PIECE: lambda text: int(float(text)), STRUCTURE: str, SPECIES: str},
    )
    there = [*POSITION, *(name for name in columnsOf(path, _TABLE) if name in kinds and name not in POSITION)]
    return [dict(zip(there, row)) for row in readColumns(path, there, [kinds[name] for name in there], _TABLE)]


def appendCoordinates3D(
    coordinates: SetOfCoordinates3D,
    tomogram: Tomogram,
    rows: Sequence[Dict[str, Any]],
    groups: Any = None,
    scale: float = 1.0,
) -> None:
    """Append rows of readCoordinates3D to a SetOfCoordinates3D, or a SetOfMeshes. tomogram: the one that the positions
    lie in, of the set's precedents. groups: {structure or species: group number}; None: the number of the piece is the
    group. scale: px of this tomogram per px of the volume of the rows; the two cover the same space."""
    for row in rows:
        item = coordinates.ITEM_TYPE()
        item.setVolume(tomogram)  # before the position, which needs the origin
        item.setPosition(*[rescaled(row[name], scale) for name in POSITION], BOTTOM_LEFT_CORNER)
        item.setTomoId(tomogram.getTsId())
        item.setGroupId(row.get(PIECE, 0) if groups is None else groups.get(speciesOfRow(row), 0))
        item.setScore(row.get(SCORE, 0.0))
        if ANGLES[0] in row:
            item.setMatrix(matrixOf([row[name] for name in ANGLES], (0.0, 0.0, 0.0)))
        for name, kind in ((VOLUME, Float), (Q, Float), (STRUCTURE, String), (SPECIES, String)):
            if name in row:
                setattr(item, "_" + name, kind(row[name]))
        coordinates.append(item)


def speciesOfRow(row: Dict[str, Any]) -> Any:
    """What a row of readCoordinates3D is of; None if it does not say."""
    return row.get(SPECIES, row.get(STRUCTURE))


def speciesOf(item: Coordinate3D, otherwise: Any) -> Any:
    """What a Coordinate3D is of: what cryodl noted on it, else `otherwise`."""
    noted = [item.getAttributeValue("_" + name, None) for name in (SPECIES, STRUCTURE)]
    return next((name for name in noted if name), otherwise)


def writeCoordinates3D(
    path: str, sets: Sequence[Tuple[SetOfCoordinates3D, str]], tomograms: Any, names: Dict[str, str]
) -> int:
    """STAR file of coordinates for the engine, in px of the tomograms. sets: [(SetOfCoordinates3D, species of those
    that do not say)]. tomograms: SetOfTomograms that the engine is given. names: {tsId: name for the engine}.
    Coordinates of other tomograms are left out. Returns how many were written."""
    known = byId(tomograms)

    def rows() -> Iterator[Tuple[Any, ...]]:
        for coordinates, otherwise in sets:
            scale, own = coordinates.getSamplingRate() / tomograms.getSamplingRate(), byId(coordinates.getPrecedents())
            for item in coordinates.iterItems(where=ENABLED):
                tsId = item.getTomoId()
                if tsId in known:
                    item.setVolume(own.get(tsId, known[tsId]))
                    corner = item.getPosition(BOTTOM_LEFT_CORNER)
                    if tsId not in own:  # of joined sets Scipion keeps the first one's: the middle of ours is the same
                        corner = [at + (c - at) / scale for at, c in zip(item.getPosition(SCIPION), corner)]
                    yield (names[tsId], *(rescaled(value, scale) for value in corner), speciesOf(item, otherwise))

    return writeTable(path, "particles", ("rlnTomoName",) + POSITION + (SPECIES,), rows())
