# SPDX-License-Identifier: GPL-3.0-or-later
"""Between SetOfCoordinates and STAR files. x is the column and y the row of the box centre, as in Scipion.

Where the particles of a SetOfParticles lie on their micrographs, as a STAR file for `labels-from-classes`.

Segments of filaments as Scipion's coordinates: what RELION's helical columns hold, as attributes of each.
"""

from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from pwem.objects import Coordinate, Micrograph, Particle, SetOfCoordinates, SetOfParticles
from pyworkflow.object import Float, Integer

from ...engine.cryodl.contract import Result, counted, score_text
from ..names import micrographNames
from ..relion_star import originOf, readColumns, writeStar, writeTable


def writePositionsOfParticles(path: str, particles: SetOfParticles, micrographs: Sequence[Micrograph]) -> int:
    """Write positions and shifts of the particles, with the engine's names of the micrographs.

    Returns the number of particles without coordinates, which are left out.

    path: the file. micrographs: Micrograph objects of the picks. They are found by the name that a particle's
    coordinate has, or by its number if it has none; particles of others keep their micrograph's name, and the engine
    says so.
    """
    names = micrographNames(micrographs)
    byName = {m.getMicName(): names[m.getObjId()] for m in micrographs}

    def micrographOf(item: Particle) -> Tuple[str]:
        coordinate = item.getCoordinate()
        name = coordinate.getMicName()
        if name in byName:
            return (byName[name],)
        number = coordinate.getMicId() or item.getMicId()
        return (name or names.get(number) or f"micrograph_{number}",)

    writers: Sequence[Tuple[Tuple[str, ...], Callable[[Any], Tuple[Any, ...]]]] = [
        (("rlnMicrographName",), micrographOf),
        (("rlnCoordinateX", "rlnCoordinateY"), lambda item: item.getCoordinate().getPosition()),
        (("rlnOriginXAngst", "rlnOriginYAngst"), lambda item: shiftOf(item, particles)),
    ]
    group: Dict[str, Any] = dict(rlnOpticsGroup=1, rlnImagePixelSize=particles.getSamplingRate())

    def placed() -> Iterator[Particle]:
        for item in particles.iterItems():
            coordinate = item.getCoordinate()
            if coordinate is not None and coordinate.getX() is not None:
                yield item

    return particles.getSize() - writeStar(path, [group], writers, placed())


def shiftOf(item: Particle, particles: SetOfParticles) -> Tuple[float, float]:
    """(x, y) in Å, RELION's origin of a particle: the shift that centres it; 0 without an alignment of the set."""
    if not item.hasTransform():
        return 0.0, 0.0
    matrix = item.getTransform().getMatrix()
    if particles.hasAlignmentProj():
        x, y = originOf(matrix)
    elif particles.hasAlignment2D():
        x, y = matrix[:2, 3]  # classes2d.planeMatrix
    else:
        return 0.0, 0.0
    return float(x * particles.getSamplingRate()), float(y * particles.getSamplingRate())


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


def writePicks(path: str, picks: Sequence[Any]) -> None:
    """Write a STAR file of (x, y, score) or (x, y) rows; the score's column is left out where any is None."""
    if all(len(pick) > 2 and pick[2] is not None for pick in picks):
        writeTable(path, "", _COLUMNS, picks)
    else:
        writeTable(path, "", _COLUMNS[:2], [pick[:2] for pick in picks])


def readPicks(path: str, columns: Tuple[str, ...] = _COLUMNS) -> Any:
    """[(x, y, score), ...] of a STAR file of the engine, in the file's order.

    columns: to read instead. Raises FileNotFoundError, or ValueError that names a file without the columns.
    """
    return readColumns(path, columns, (float,) * len(columns))


def coordinateAt(position: Any, micrograph: Micrograph, score: Optional[float] = None) -> Coordinate:
    """A Coordinate at (x, y), whose integers are the nearest pixel's: Scipion's truncate."""
    item = Coordinate(x=int(round(position[0])), y=int(round(position[1])))
    item.setMicrograph(micrograph)
    if score is not None:
        setattr(item, SCORE, Float(score))
    return item


def appendPicks(coordinates: SetOfCoordinates, micrograph: Micrograph, picks: Any) -> None:
    """Append (x, y, score) to a SetOfCoordinates."""
    for x, y, score in picks:
        coordinates.append(coordinateAt((x, y), micrograph, score))


# Attribute of a coordinate: the column of RELION of the same name, and its type.
ATTRIBUTES = {
    "_rlnHelicalTubeID": Integer,
    "_rlnAngleTiltPrior": Float,
    "_rlnAnglePsiPrior": Float,
    "_rlnHelicalTrackLengthAngst": Float,
    "_rlnAnglePsiFlipRatio": Float,
}


def segmentCoordinates(path: str, micrograph: Any) -> List[Coordinate]:
    """Coordinates of a STAR file of `pick-filaments`, in its order. Raises ValueError if it lacks a column."""
    names = ["rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit"] + [name[1:] for name in ATTRIBUTES]
    coordinates = []
    for x, y, score, *values in readColumns(path, names, (float,) * len(names)):
        coordinate = coordinateAt((x, y), micrograph, score)
        for (name, kind), value in zip(ATTRIBUTES.items(), values):
            setattr(coordinate, name, kind(int(value) if kind is Integer else value))
        coordinates.append(coordinate)
    return coordinates


def filamentLines(results: Iterable[Result]) -> List[str]:
    """Sentences for a summary."""
    outputs = [result.outputs for result in results]
    micrographs = {name for o in outputs for name in o.get("counts", {})}
    filaments = sum(sum(o.get("filaments", {}).values()) for o in outputs)
    segments = sum(o.get("segments", 0) for o in outputs)
    length = sum(sum(o.get("lengths", {}).values()) for o in outputs)
    lines = [
        f"*{counted(filaments, 'filament')}* on {counted(len(micrographs), 'micrograph')}, {length / 1e4:.1f} µm,"
        f" with {counted(segments, 'segment')}"
    ]
    told = next((o for o in outputs if o.get("segment_distance")), None)
    if told:
        lines.append(
            f"One segment every {told['segment_distance']:g} Å; minimum mean score {score_text(told['threshold'])}"
        )
    edges = sum(sum((o.get("at_edges") or {}).values()) for o in outputs)
    if edges:
        lines.append(f"{counted(edges, 'trace')} left out along edges of carbon films or filled margins")
    if micrographs and not segments:
        lines.append("No filament was found. Check the filament diameter and the contrast, or lower the threshold.")
    return lines
