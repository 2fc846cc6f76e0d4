# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments of filaments as Scipion's coordinates: what RELION's helical columns hold, as attributes of each."""

import typing

from pwem.objects import Coordinate
from pyworkflow.object import Float, Integer

from ...engine.cryodl.contract import Result, counted, score_text
from ..star import readColumns
from .coordinates import SCORE

# Attribute of a coordinate: the column of RELION of the same name, and its type.
ATTRIBUTES = {
    "_rlnHelicalTubeID": Integer,
    "_rlnAngleTiltPrior": Float,
    "_rlnAnglePsiPrior": Float,
    "_rlnHelicalTrackLengthAngst": Float,
    "_rlnAnglePsiFlipRatio": Float,
}


def segmentCoordinates(path: str, micrograph: typing.Any) -> typing.List[Coordinate]:
    """Coordinates of a STAR file of `pick-filaments`, in its order. Raises ValueError if it lacks a column."""
    names = ["rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit"] + [name[1:] for name in ATTRIBUTES]
    coordinates = []
    for x, y, score, *values in readColumns(path, names, (float,) * len(names)):
        # Scipion's coordinates are integers and truncate.
        coordinate = Coordinate(x=int(round(x)), y=int(round(y)))
        coordinate.setMicrograph(micrograph)
        setattr(coordinate, SCORE, Float(score))
        for (name, kind), value in zip(ATTRIBUTES.items(), values):
            setattr(coordinate, name, kind(int(value) if kind is Integer else value))
        coordinates.append(coordinate)
    return coordinates


def filamentLines(results: typing.Iterable[Result]) -> typing.List[str]:
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
