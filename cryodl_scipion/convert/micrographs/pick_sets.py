# SPDX-License-Identifier: GPL-3.0-or-later
"""Several sets of coordinates of the same micrographs, brought to one frame and written for the engine.

Sets know micrographs by name: their ids and their order may differ, and so may the pixel sizes. The frame is the set of
micrographs in whose pixels the engine gets all positions.
"""

import os
import re
from typing import Any, Dict, List, Sequence, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import Coordinate, SetOfCoordinates, SetOfMicrographs
from pyworkflow.object import Pointer

from ...engine.cryodl.contract.frames import rescaled
from ...engine.cryodl.contract.reading import star_head
from ..micrograph_names import micrographNames
from .coordinates import scoreOf
from .picks import hasCandidates, scoredPicks

CANDIDATES = "candidates"
# Attribute of a coordinate: how many sets found it; of their set: the labels of the sets. Column of the engine's files.
PICKERS, NUMBER_OF_SETS = "_cryodlPickers", "cryodlNumberOfSets"
_SCORE_NAME = re.compile(r"score|figureofmerit", re.IGNORECASE)


def setLabels(pointers: Sequence[Pointer], taken: Sequence[str] = ()) -> List[str]:
    """A label for each pointer to a set: its run's name, with a number where two would be the same, or it is taken."""
    labels = list(taken)
    for pointer in pointers:
        holder = pointer.getObjValue()
        name = holder.getRunName() if hasattr(holder, "getRunName") else str(holder)
        label = name = re.sub(r"[=+\s]+", " ", name).strip() or "picks"
        number = 2
        while label in labels:
            label, number = f"{name} ({number})", number + 1
        labels.append(label)
    return labels[len(taken) :]


def anyScoreOf(coordinate: Coordinate) -> Any:
    """The score that whatever program gave a coordinate, None if it has none. Higher is better."""
    score = scoreOf(coordinate)
    if score is not None:
        return score
    for name, value in coordinate.getAttributes():
        if _SCORE_NAME.search(name) and isinstance(value.get(), (int, float)):
            return float(value.get())
    return None


def micrographsByName(coordinates: SetOfCoordinates) -> Dict[str, int]:
    """{micName: id} of the micrographs that a set of coordinates belongs to."""
    return {m.getMicName(): m.getObjId() for m in coordinates.getMicrographs()}


def commonMicrographs(sets: Sequence[SetOfCoordinates]) -> List[str]:
    """Names of the micrographs that all sets belong to, in the order of the first. sets: SetOfCoordinates."""
    first, rest = micrographsByName(sets[0]), [set(micrographsByName(s)) for s in sets[1:]]
    return [name for name in first if all(name in names for names in rest)]


def scaledPicks(
    coordinates: SetOfCoordinates, names: Sequence[str], pixelSize: float
) -> Dict[str, List[Tuple[float, float, None]]]:
    """{micName: [(x, y, score or None), ...]} in px of the frame; an empty list where there are no picks.

    names: micrographs to take. pixelSize: Å/px of the frame.
    """
    ids = {objId: name for name, objId in micrographsByName(coordinates).items() if name in names}
    scale = coordinates.getMicrographs().getSamplingRate() / pixelSize
    picks = {name: [] for name in names}
    for item in coordinates.iterItems():
        if item.getMicId() in ids:
            picks[ids[item.getMicId()]].append(scaled(item.getPosition(), scale) + (anyScoreOf(item),))
    return picks


def scaled(position: Any, scale: float) -> Any:
    """A position in pixels `scale` times as many; pixel centres are whole numbers (frames.py of the engine)."""
    return tuple(rescaled(p, scale) for p in position)


def writeSet(
    folder: str, coordinates: SetOfCoordinates, frame: SetOfMicrographs, names: Sequence[str], onlyPicked: bool = False
) -> Dict[str, str]:
    """Write <folder>/<micrograph>.star of a set, and <folder>/candidates/ where our picker left weaker candidates.

    frame: SetOfMicrographs whose pixels count. names: micNames to write. onlyPicked: no file where there is no pick.
    Returns {micName: name that the engine knows the micrograph by}.
    """
    pwutils.cleanPath(folder)
    pwutils.makePath(folder)
    known = {m.getMicName(): m.getObjId() for m in frame}
    engineNames = micrographNames([m.clone() for m in frame])
    written = {name: engineNames[known[name]] for name in names}
    for name, picks in scaledPicks(coordinates, names, frame.getSamplingRate()).items():
        if picks or not onlyPicked:
            writePicks(os.path.join(folder, written[name] + ".star"), picks)
    if not onlyPicked and hasCandidates(coordinates):
        _writeCandidates(os.path.join(folder, CANDIDATES), coordinates, frame, written)
    return written


def _writeCandidates(folder: Any, coordinates: Any, frame: Any, names: Any) -> None:
    pwutils.makePath(folder)
    scale = coordinates.getMicrographs().getSamplingRate() / frame.getSamplingRate()
    for micrograph, picks in scoredPicks(coordinates):
        if micrograph.getMicName() in names:
            writePicks(
                os.path.join(folder, names[micrograph.getMicName()] + ".star"),
                [scaled((x, y), scale) + (score,) for x, y, score in picks],
            )


def writePicks(path: str, picks: Any) -> None:
    """Write a STAR file of (x, y, score) rows; the score's column is left out where any is None."""
    columns = ["rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit"]
    if any(pick[2] is None for pick in picks):
        columns, picks = columns[:2], [pick[:2] for pick in picks]
    lines = [" ".join(f"{value:12.4f}" for value in pick) + "\n" for pick in picks]
    with open(path, "w", encoding="utf-8") as file:
        file.write(star_head("", columns) + "".join(lines))
