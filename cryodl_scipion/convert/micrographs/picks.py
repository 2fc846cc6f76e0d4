# SPDX-License-Identifier: GPL-3.0-or-later
"""What a set of our picks tells about itself, and what automatic picking writes down of its rounds; several sets of
coordinates of the same micrographs, brought to one frame and written for the engine.

Sets know micrographs by name: their ids and their order may differ, and so may the pixel sizes. The frame is the set of
micrographs in whose pixels the engine gets all positions."""

import os
import re
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

from pwem.objects import Coordinate, Micrograph, Particle, SetOfCoordinates, SetOfMicrographs, SetOfParticles
from pyworkflow.object import Float, Integer, Pointer, String

from ...engine.cryodl.contract import PickFilamentsOutputs, PickOutputs, Result, best_round, counted, score_text
from ..form import sayIf
from ..names import emptyFolder, micrographNames, namesByMicName
from ..reading import ENABLED, readNumbers
from ..relion_star import originOf, readColumns, writeStar, writeTable


def writePositionsOfParticles(path: str, particles: SetOfParticles, micrographs: Sequence[Micrograph]) -> int:
    """Write positions and shifts of the particles, with the engine's names of the micrographs. Returns the number of
    particles without coordinates, which are left out. path: the file. micrographs: Micrograph objects of the picks.
    They are found by the name that a particle's coordinate has, or by its number if it has none; particles of others
    keep their micrograph's name, and the engine says so."""
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
    isPlaced = lambda coordinate: coordinate is not None and coordinate.getX() is not None
    placed = (item for item in particles.iterItems(where=ENABLED) if isPlaced(item.getCoordinate()))
    return len(particles.getUniqueValues("id", ENABLED)) - writeStar(path, [group], writers, placed)


def shiftOf(item: Particle, particles: SetOfParticles) -> Tuple[float, float]:
    """(x, y) in Å, RELION's origin of a particle: the shift that centres it; 0 without an alignment of the set."""
    if not item.hasTransform() or not (particles.hasAlignmentProj() or particles.hasAlignment2D()):
        return 0.0, 0.0
    matrix, size = item.getTransform().getMatrix(), particles.getSamplingRate()
    x, y = originOf(matrix) if particles.hasAlignmentProj() else matrix[:2, 3]  # as classes2d.planeMatrix has it
    return float(x * size), float(y * size)


# Attribute of every coordinate that we make: the network's score in [0, 1].
SCORE = "_cryodlScore"

_COLUMNS = ("rlnCoordinateX", "rlnCoordinateY", "rlnAutopickFigureOfMerit")


def positionsByMicrograph(coordinates: SetOfCoordinates) -> Any:
    """{micrograph id: [(x, y), ...]} of a SetOfCoordinates, in px of its micrographs."""
    return {number: [pick[:2] for pick in picks] for number, picks in picksByMicrograph(coordinates).items()}


def picksByMicrograph(coordinates: SetOfCoordinates, ids: Sequence[int] = ()) -> Any:
    """{micrograph id: [(x, y, score), ...]} of a SetOfCoordinates; the score is None where there is none. ids: of
    micrographs of which some are wanted; of all if it is empty."""
    picks = {}
    # the file has an index of micrographs; Scipion's sets know no IN
    where = f"{ENABLED} AND _micId>={min(ids)} AND _micId<={max(ids)}" if ids else ENABLED
    for item in coordinates.iterItems(where=where):
        picks.setdefault(item.getMicId(), []).append(item.getPosition() + (scoreOf(item),))
    return picks


def scoreOf(coordinate: Coordinate) -> Any:
    return coordinate.getAttributeValue(SCORE, None)


def writePicks(path: str, picks: Sequence[Any]) -> None:
    """Write a STAR file of (x, y, score) or (x, y) rows; the score's column is left out where any is None."""
    scored = all(len(pick) > 2 and pick[2] is not None for pick in picks)
    writeTable(path, "", _COLUMNS if scored else _COLUMNS[:2], picks if scored else [pick[:2] for pick in picks])


def readPicks(path: str, columns: Tuple[str, ...] = _COLUMNS) -> Any:
    """[(x, y, score), ...] of a STAR file of the engine, in the file's order. columns: to read instead. Raises
    FileNotFoundError, or ValueError that names a file without the columns."""
    return readColumns(path, columns, (float,) * len(columns))


def coordinateAt(position: Any, micrograph: Micrograph, score: Optional[float] = None) -> Coordinate:
    """A Coordinate at (x, y), whose integers are the nearest pixel's: Scipion's truncate."""
    item = Coordinate(x=int(round(position[0])), y=int(round(position[1])))
    item.setMicrograph(micrograph)
    if score is not None:
        setattr(item, SCORE, Float(score))
    return item


def appendPicks(coordinates: SetOfCoordinates, micrograph: Micrograph, picks: Any) -> None:
    coordinates.copyItems((coordinateAt((x, y), micrograph, score) for x, y, score in picks), doClone=False)


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
    names = [*_COLUMNS, *(name[1:] for name in ATTRIBUTES)]
    coordinates = []
    for x, y, score, *values in readColumns(path, names, (float,) * len(names)):
        coordinate = coordinateAt((x, y), micrograph, score)
        for (name, kind), value in zip(ATTRIBUTES.items(), values):
            setattr(coordinate, name, kind(int(value) if kind is Integer else value))
        coordinates.append(coordinate)
    return coordinates


def filamentLines(results: Iterable[Result[PickFilamentsOutputs]]) -> List[str]:
    outputs = [result.outputs for result in results]
    micrographs = {name for o in outputs for name in o.counts or ()}
    # after a stop, a micrograph may be in two batches: the later counts
    total = lambda counts: sum({name: number for one in counts for name, number in (one or {}).items()}.values())
    segments = total(o.counts for o in outputs)
    lines = [
        f"*{counted(total(o.filaments for o in outputs), 'filament')}* on {counted(len(micrographs), 'micrograph')}, "
        f"{total(o.lengths for o in outputs) / 1e4:.1f} µm, with {counted(segments, 'segment')}"
    ]
    lines += [
        f"One segment every {told.segment_distance:g} Å; minimum mean score {score_text(told.threshold)}"
        for told in [o for o in outputs if o.segment_distance][:1]
    ]
    edges = total(o.at_edges for o in outputs)
    lines += sayIf(edges, f"{counted(edges, 'trace')} left out along edges of film, margins or the field")
    none = "No filament was found. Check the filament diameter and the contrast, or lower the threshold."
    return lines + sayIf(micrographs and not segments, none)


TABLE = "rounds.csv"


def readRounds(folder: str) -> List[Dict[str, Any]]:
    """[{column: number or None}] of <folder>/rounds.csv, one for each round; [] before the first is finished. Columns:
    round, separation (how far picks and background of held-out micrographs are apart, in standard deviations), picks,
    confident, agreement (with the round before), threshold, and what else the engine writes; no unfinished line."""
    return readNumbers(os.path.join(folder, TABLE))


# what is told of a round, of that which it has
_OF_ROUND = dict(
    picks="%.0f picks",
    confident="%.0f confident",
    separation="separation %.2f",
    agreement="agreement with the previous round %.2f",
)


def roundsInWords(rounds: Sequence[Dict[str, Any]], stopped: Optional[str] = None) -> List[str]:
    """What each finished round did, for a summary. stopped: why there was no further one."""
    if not rounds:
        return []
    head = f"{counted(len(rounds) - 1, 'round')} of training; the best was round {best_round(rounds)}"
    lines = [head + (f"; stopped: {stopped}." if stopped else ".")]
    told = lambda r: ", ".join(form % r[name] for name, form in _OF_ROUND.items() if r.get(name) is not None)
    return lines + [f"  round {r['round']}: {told(r)}" for r in rounds]


# Attribute of a set that we made: the folder with all candidates down to a low score, one STAR file per micrograph.
CANDIDATES = "_cryodlCandidates"
# The engine's folder of the areas that were avoided, beside that of the candidates.
AVOIDED = "avoided"
# The engine's file of questions about picks that it is unsure of, there too.
QUESTIONS = "questions.json"
# Attribute of a set that we made: the particle diameter in Å; the box may be any.
DIAMETER = "_cryodlDiameter"
# Attribute of a set that was corrected by hand: the folder of the corrections, as the engine keeps it.
CORRECTIONS = "_cryodlCorrections"
# A box half as wide again as the particle leaves room for the spread of the signal by the CTF.
_BOX_PER_DIAMETER = 1.5


def boxSizeFor(diameter: float, pixelSize: float) -> int:
    """Even box size in px. diameter: Å; pixelSize: Å/px."""
    return max(2, 2 * int(round(_BOX_PER_DIAMETER * diameter / pixelSize / 2)))


def diameterInPixels(coordinates: SetOfCoordinates) -> Any:
    """Particle diameter in px; of sets that are not ours what their box suggests, None without a box."""
    diameter = coordinates.getAttributeValue(DIAMETER, None)
    suggested = coordinates.getBoxSize() / _BOX_PER_DIAMETER if coordinates.getBoxSize() else None
    return suggested if diameter is None else diameter / coordinates.getMicrographs().getSamplingRate()


def describeOutput(coordinates: SetOfCoordinates, folder: Optional[str], diameter: float) -> None:
    setattr(coordinates, CANDIDATES, String(folder))
    setDiameter(coordinates, diameter)


def foundDiameter(results: Sequence[Result[PickOutputs]]) -> Any:
    """Å: the larger of the diameter that the runs of `pick` were given and of the one that they picked at. A box of a
    given diameter that is too small would cut every particle. None as long as neither is known."""
    sizes = [size for r in results for size in (r.outputs.particle_diameter, r.outputs.picked_diameter) if size]
    return max(sizes, default=None)


def setDiameter(coordinates: SetOfCoordinates, diameter: float) -> None:
    """Write on a set how large (Å) its particles are."""
    setattr(coordinates, DIAMETER, Float(diameter))


def correctionsFolder(coordinates: SetOfCoordinates) -> Optional[str]:
    """The folder of a set's corrections; None for sets that were not corrected, and when it is gone."""
    folder = coordinates.getAttributeValue(CORRECTIONS, None)
    return folder if os.path.isdir(folder or "") else None


def candidatesFolder(coordinates: SetOfCoordinates) -> Any:
    return coordinates.getAttributeValue(CANDIDATES, None)


def besideCandidates(coordinates: SetOfCoordinates, name: str) -> Optional[str]:
    """The file or folder of this name beside the candidates of a set, such as AVOIDED; None if there is none."""
    candidates = candidatesFolder(coordinates)
    path = os.path.join(os.path.dirname(candidates), name) if candidates else ""
    return path if os.path.exists(path) else None


def hasCandidates(coordinates: SetOfCoordinates) -> bool:
    return os.path.isdir(candidatesFolder(coordinates) or "")


def scoredPicks(
    coordinates: SetOfCoordinates,
    micrographs: Optional[Sequence[Micrograph]] = None,
    names: Optional[Dict[int, str]] = None,
) -> List[Tuple[Any, Any]]:
    """[(Micrograph, [(x, y, score), ...])] of all candidates, or of the set itself where their file is not there. A
    micrograph that was skipped has no candidates and no picks. micrographs: some of the coordinates' micrographs; all
    if None. names: {id: name for the engine} of them at least."""
    if micrographs is None:
        micrographs = [m.clone() for m in coordinates.getMicrographs()]
    names = micrographNames(micrographs) if names is None else names
    folder = candidatesFolder(coordinates) if hasCandidates(coordinates) else ""
    files = {m.getObjId(): os.path.join(folder, names[m.getObjId()] + ".star") for m in micrographs}
    lost = [number for number, path in files.items() if not (folder and os.path.exists(path))]
    own = dict.fromkeys(lost, [])
    own.update(picksByMicrograph(coordinates, lost) if lost else {})
    of = lambda number: own[number] if number in own else readPicks(files[number])
    return [(m, of(m.getObjId())) for m in micrographs]


def thresholdsInWords(results: Sequence[Result[PickOutputs]]) -> str:
    """'0.4', or '0.35 to 0.45, for each micrograph its own'. results: the contract's Results of `pick`."""
    ofEach = [t for r in results for t in (r.outputs.thresholds or {}).values()]
    found = ofEach or [r.outputs.threshold for r in results if r.outputs.threshold is not None]
    thresholds = list(dict.fromkeys(score_text(t) for t in sorted(found)))
    several = ofEach and len(thresholds) > 1
    return f"{thresholds[0]} to {thresholds[-1]}, chosen for each micrograph" if several else " and ".join(thresholds)


def _expectedLines(results: Sequence[Result[PickOutputs]]) -> List[str]:
    """How many particles the scores tell of, and how certain that is; nothing where the engine says nothing. Where they
    do not tell particles from the rest, what the engine says of that, or of the answers, in its words."""
    if doubtful := [r for r in results if any((r.outputs.counts or {}).values()) and not r.outputs.expected][-1:]:
        ask = "*Answer questions* (Analyze results) tells more, in two minutes of your time."
        told = [sentence.partition(".star. ")[2] for r in doubtful for sentence in r.summary]
        return [t for t in told if t] + sayIf(any(r.outputs.questions for r in results), ask)
    latest = {name: r for r in results for name in r.outputs.counts or ()}
    stated = [
        (r.outputs.expected_particles, r.outputs.expected, r.outputs.counts)
        for r in results  # without a batch of which a part was picked again: it is in no output
        if r.outputs.expected and all(latest[name] is r for name in r.outputs.counts or ())
    ]
    if not stated:
        return []
    number, variance = (
        sum(n[name] ** power for n, _, _ in stated) for name, power in (("number", 1), ("deviation", 2))
    )
    counts = [sum((one or {}).values()) for _, _, one in stated]
    right = sum(count * one["precision"] for count, (_, one, _) in zip(counts, stated) if one) / max(1, sum(counts))
    return [
        f"According to the scores, these micrographs contain about {number:.0f} particles (standard deviation "
        f"{variance**0.5:.0f}).",
        f"About {right:.0%} of the picks should be particles; a higher threshold gives fewer and better ones.",
    ]


def pickLines(coordinates: SetOfCoordinates, results: Sequence[Result[PickOutputs]]) -> Any:
    """Sentences for a summary: picks, per micrograph, threshold, box. results: the contract's Results of `pick`."""
    counts = {name: number for r in results for name, number in (r.outputs.counts or {}).items()}
    # a batch may be picked and not in the set, and after a stop one of its micrographs may be picked in another batch
    picks = coordinates.getSize()
    count = len(coordinates.getUniqueValues("_micId") if picks else ()) + [*counts.values()].count(0)
    each = f", {picks / count:.1f} per micrograph" if count else ""
    contrasts = sorted({r.outputs.contrast for r in results if r.outputs.contrast})
    sizes = sorted({r.outputs.picked_diameter or r.outputs.particle_diameter or 0 for r in results} - {0})
    inWords = ", ".join(f"{size:.4g}" for size in sizes)
    return [
        f"*{counted(picks, 'particle')}* on {counted(count, 'micrograph')}{each}",
        *sayIf(any(r.outputs.threshold is not None for r in results), f"Score threshold: {thresholdsInWords(results)}"),
        *_expectedLines(results),
        *sayIf(contrasts, f"Protein is {' and '.join(contrasts)} in these micrographs."),
        *sayIf(sizes, f"Particle diameter: {inWords} Å, box {coordinates.getBoxSize() or 0} px"),
        *sayIf(
            count and not picks,
            "No candidate scored above the threshold. Lower it with *cryodl - filter picks by score*.",
        ),
    ]


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
    others = [value.get() for name, value in coordinate.getAttributes() if _SCORE_NAME.search(name)]
    return next((float(score) for score in (scoreOf(coordinate), *others) if isinstance(score, (int, float))), None)


def micrographsByName(coordinates: SetOfCoordinates) -> Dict[str, int]:
    return {m.getMicName(): m.getObjId() for m in coordinates.getMicrographs()}


def commonMicrographs(sets: Sequence[SetOfCoordinates]) -> List[str]:
    """Names of the micrographs that all sets belong to, in the order of the first. sets: SetOfCoordinates."""
    first, rest = micrographsByName(sets[0]), [set(micrographsByName(s)) for s in sets[1:]]
    return [name for name in first if all(name in names for names in rest)]


def scaledPicks(
    coordinates: SetOfCoordinates, names: Sequence[str], pixelSize: float
) -> Dict[str, List[Tuple[float, float, None]]]:
    """{micName: [(x, y, score or None), ...]} in px of the frame; an empty list where there are no picks. names:
    micrographs to take. pixelSize: Å/px of the frame."""
    picks = {name: [] for name in names}
    ids = {objId: name for name, objId in micrographsByName(coordinates).items() if name in picks}
    scale = coordinates.getMicrographs().getSamplingRate() / pixelSize
    for item in coordinates.iterItems(where=ENABLED):
        if item.getMicId() in ids:
            picks[ids[item.getMicId()]].append(scaled(item.getPosition(), scale) + (anyScoreOf(item),))
    return picks


def scaled(position: Any, scale: float) -> Any:
    """A position in pixels `scale` times as many: binning in Fourier space, as RELION's, keeps the first's centre."""
    return tuple(p * scale for p in position)


def writeSet(
    folder: str, coordinates: SetOfCoordinates, frame: SetOfMicrographs, names: Sequence[str], onlyPicked: bool = False
) -> Dict[str, str]:
    """Write <folder>/<micrograph>.star of a set, and <folder>/candidates/ where our picker left weaker candidates.
    frame: SetOfMicrographs whose pixels count. names: micNames to write. onlyPicked: no file where there is no pick.
    Returns {micName: name that the engine knows the micrograph by}."""
    emptyFolder(folder)
    known = namesByMicName(frame)
    written = {name: known[name] for name in names}
    for name, picks in scaledPicks(coordinates, names, frame.getSamplingRate()).items():
        if picks or not onlyPicked:
            writePicks(os.path.join(folder, written[name] + ".star"), picks)
    if not onlyPicked and hasCandidates(coordinates):
        below = emptyFolder(os.path.join(folder, "candidates"))
        scale = coordinates.getMicrographs().getSamplingRate() / frame.getSamplingRate()
        every = [m.clone() for m in coordinates.getMicrographs()]  # a name depends on the others'
        micrographs = [m for m in every if m.getMicName() in written]
        for micrograph, picks in scoredPicks(coordinates, micrographs, micrographNames(every)):
            path = os.path.join(below, written[micrograph.getMicName()] + ".star")
            writePicks(path, [scaled((x, y), scale) + (score,) for x, y, score in picks])
    return written
