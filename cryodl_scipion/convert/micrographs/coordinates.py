# SPDX-License-Identifier: GPL-3.0-or-later
"""Between SetOfCoordinates and STAR files. x is the column and y the row of the box centre, as in Scipion."""

import os
from typing import Any, Optional, Sequence, Tuple

from pwem.objects import Coordinate, Micrograph, SetOfCoordinates
from pyworkflow.object import Float

from ...engine.cryodl.contract.reading import star_head
from ..star import readColumns

# Attribute of every coordinate that we make: the network's score in [0, 1].
SCORE = "_cryodlScore"

_COLUMNS = ("rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit")


def positionsByMicrograph(coordinates: SetOfCoordinates) -> Any:
    """{micrograph id: [(x, y), ...]} of a SetOfCoordinates, in px of its micrographs."""
    positions = {}
    for item in coordinates.iterItems():
        positions.setdefault(item.getMicId(), []).append(item.getPosition())
    return positions


def picksByMicrograph(coordinates: SetOfCoordinates, ids: Sequence[int] = ()) -> Any:
    """{micrograph id: [(x, y, score), ...]} of a SetOfCoordinates; the score is None where there is none.

    ids: of micrographs of which some are wanted; of all if it is empty.
    """
    picks = {}
    # the file has an index of micrographs; Scipion's sets know no IN
    for item in coordinates.iterItems(where=f"_micId>={min(ids)} AND _micId<={max(ids)}" if ids else None):
        picks.setdefault(item.getMicId(), []).append(item.getPosition() + (scoreOf(item),))
    return picks


def scoreOf(coordinate: Coordinate) -> Any:
    """The score of a coordinate that we made, else None."""
    score = getattr(coordinate, SCORE, None)
    return None if score is None else score.get()


def writePositions(folder: str, name: str, positions: Sequence[Any], scores: Optional[Sequence[float]] = None) -> None:
    """Write <folder>/<name>.star with rlnCoordinateX and rlnCoordinateY, and the scores where they are given."""
    columns = _COLUMNS[:2] if scores is None else _COLUMNS
    ends = [""] * len(positions) if scores is None else [f" {score:10.6f}" for score in scores]
    lines = [f"{x:12.3f} {y:12.3f}{end}\n" for (x, y), end in zip(positions, ends)]
    with open(os.path.join(folder, name + ".star"), "w", encoding="utf-8") as file:
        file.write(star_head("", columns) + "".join(lines))


def readPicks(path: str, columns: Tuple[str, ...] = _COLUMNS) -> Any:
    """[(x, y, score), ...] of a STAR file of the engine, in the file's order.

    columns: to read instead. Raises FileNotFoundError, or ValueError that names a file without the columns.
    """
    return readColumns(path, columns, (float,) * len(columns))


def appendPicks(coordinates: SetOfCoordinates, micrograph: Micrograph, picks: Any) -> None:
    """Append (x, y, score) to a SetOfCoordinates; its integers are the nearest pixel's."""
    for x, y, score in picks:
        # Scipion's coordinates are integers and truncate.
        item = Coordinate(x=int(round(x)), y=int(round(y)))
        item.setMicrograph(micrograph)
        setattr(item, SCORE, Float(score))
        coordinates.append(item)
