# SPDX-License-Identifier: GPL-3.0-or-later
"""SetOfSubTomograms, and classes of them, as RELION's STAR (3.1) for the engine, and back.

A transform of Scipion turns places of the subtomogram into places of the reference; so it is written as RELION's rot,
tilt, psi and origins as relion_star.py says, the way that the plugin of RELION's tomography does.

What the engine made of subtomograms, as Scipion's sets: simulated ones, classes with averages, the unknown."""

import collections
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
from pwem.objects import EMObject, EMSet, Transform
from pyworkflow.object import Float, Integer, String
from tomo.objects import (
    AverageSubTomogram,
    SetOfAverageSubTomograms,
    SetOfClassesSubTomograms,
    SetOfSubTomograms,
    SubTomogram,
    TomoAcquisition,
)

from ...engine.cryodl.contract import some_names
from ..arriving import firstOf
from ..form import sayIf
from ..maps import structureFileOf as fileOf
from ..particles.particles import locationOf
from ..particles.results import PROBABILITIES, describeLatent, forget, latentColumns, setRepresentative
from ..reading import ENABLED
from ..relion_star import ANGLES, attributeOf, columnsOf, iterColumns, matrixOf, opticsOf, poseOf, writeStar
from .tomograms import byId

ID = "rlnImageId"
ORIGIN = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginZAngst")
CLASS, HALF, WEIGHTS = "rlnClassNumber", "rlnRandomSubset", "rlnCtfImage"
TILTS = ("cryodlTiltMin", "cryodlTiltMax")
# Attribute of a set whose class ids are true: the names of classes 1, 2, ... one after another by commas.
CLASS_NAMES = "_cryodlClassNames"
# What the engine calls the class of number 0.
UNKNOWN = "unknown"
_APART = 5.0  # degrees by which tilt ranges differ at most
# How other plugins call the half set and the volume of weights of an item.
_HALVES, _WEIGHTS = ("_rlnRandomSubset", "_rdnSubset"), ("_ctfFile",)


def writeSubtomograms(path: str, subtomograms: Any, tilts: Any, classes: bool = False, joined: Any = ()) -> None:
    """Write a SetOfSubTomograms, or SetOfClassesSubTomograms, as STAR 3.1, whole or not at all. tilts: (least, largest)
    degrees where neither the items nor their tomograms know their range. classes: whether rlnClassNumber is written.
    joined: of joinedBefore. rlnImageId holds the item's id. Raises ValueError unless every item was written."""
    images, first = imagesOf(subtomograms), next(tickedItems(subtomograms))[0]
    writers = [(names, _unpacked(values)) for names, values in _writersOf(first, _tiltsOf(images, tilts, joined))]
    if isAligned(subtomograms):
        size = images.getSamplingRate()
        writers.append((ANGLES + ORIGIN, _unpacked(lambda item: poseOf(item.getTransform().getMatrix(), size, 3))))
    if classes:
        writers.append(((CLASS,), lambda pair: (pair[1],)))
    count = writeStar(path, opticsOf(images, 3), writers, tickedItems(subtomograms))
    expected = sum([len(one.getUniqueValues("id", ENABLED)) for one, _ in _sets(subtomograms)])
    if count != expected:
        raise ValueError(f"Only {count} of {expected} subtomograms could be read from {subtomograms.getFileName()}.")


def imagesOf(subtomograms: EMSet) -> SetOfSubTomograms:
    return subtomograms.getImages() if isinstance(subtomograms, SetOfClassesSubTomograms) else subtomograms


def isAligned(subtomograms: EMSet) -> bool:
    return any(
        item.hasTransform() and not np.allclose(item.getTransform().getMatrix(), np.eye(4))
        for item, _ in tickedItems(subtomograms)
    )


def classNumbers(subtomograms: EMSet) -> Dict[int, int]:
    """{class number: number of items} of a set of classes, or by the class ids of a set; 0 holds those without any."""
    return dict(collections.Counter(number for _, number in tickedItems(subtomograms)))


def classNames(subtomograms: EMSet, numbers: Sequence[int]) -> List[str]:
    """Names of classes by their numbers: those of a simulation, else the labels of classes; [] if they cannot tell the
    classes apart. numbers: that there are, rising."""
    text = subtomograms.getAttributeValue(CLASS_NAMES, None) or ""
    known = dict(enumerate([name.strip() for name in text.split(",")], 1))
    if isinstance(subtomograms, SetOfClassesSubTomograms):
        known = {item.getObjId(): (item.getObjLabel() or "").strip() for item in subtomograms.iterItems()}
    names = [known.get(number, "") for number in numbers]
    return names if all(names) and len(set(names)) == len(names) and UNKNOWN not in names else []


def tickedItems(subtomograms: EMSet) -> Any:
    """(item, class number) one after another; the item is the set's own object and changes with the next."""
    for one, number in _sets(subtomograms):
        for item in one.iterItems(where=ENABLED):
            yield item, number or item.getClassId() or 0


def _sets(subtomograms: EMSet) -> Any:
    """(set of items, class number) of each class; of a set without classes, itself and 0."""
    classes = isinstance(subtomograms, SetOfClassesSubTomograms)
    for number in [item.getObjId() for item in subtomograms.iterItems() if item.isEnabled()] if classes else [0]:
        yield subtomograms[number] if number else subtomograms, number


# ----- columns: (names, function of an item that gives their values)
def _unpacked(values: Callable[..., Any]) -> Callable[..., Any]:
    return lambda pair: values(pair[0])


def _writersOf(first: SubTomogram, tilts: Callable[..., Any]) -> List[Tuple[Tuple[str, ...], Callable[..., Any]]]:
    writers = [
        (
            ("rlnImageName", ID, "rlnOpticsGroup"),
            lambda item: (subtomogramName(item), item.getObjId(), item.getAttributeValue("_rlnOpticsGroup", 1)),
        ),
        (("rlnTomoName",), lambda item: (_tomogramOf(item),)),
        (TILTS, tilts),
    ]
    for column, names in ((HALF, _HALVES), (WEIGHTS, _WEIGHTS)):
        name = next((name for name in names if first.getAttributeValue(name, None)), None)
        if name:
            writers.append(((column,), attributeOf(name)))
    return writers


def subtomogramName(item: SubTomogram) -> str:
    """'path', or '000002@path' of an item in a stack of volumes."""
    return f"{item.getIndex():06d}@{fileOf(item)}" if (item.getIndex() or 0) > 1 else fileOf(item)


def _tomogramOf(item: SubTomogram) -> str:
    """Name of an item's tomogram; 'None', RELION's word, if it is not known."""
    coordinate = item.getCoordinate3D()
    name = coordinate.getTomoId() if coordinate is not None else None
    return name or item.getAttributeValue("_volName", None) or "None"


def _tiltsOf(images: SetOfSubTomograms, otherwise: Any, joined: Sequence[EMSet] = ()) -> Callable[..., Any]:
    """A function of an item: (least, largest) tilt before it was joined, of it, its tomogram, set, or `otherwise`."""
    ranges, ofSet = _rangesOf(images), tiltRange(images)
    before = {item.getLocation(): tilts(item) for one in joined for tilts in [_tiltsOf(one, otherwise)] for item in one}
    own = lambda item: tiltRange(item) or ranges.get(_tomogramOf(item)) or ofSet or otherwise
    return lambda item: before.get(item.getLocation()) or own(item)


def joinedBefore(run: EMObject) -> List[SetOfSubTomograms]:
    """The sets of subtomograms from which Scipion joined those that a run works on; [] if they are of one set."""
    found, kinds = [], (SetOfSubTomograms, SetOfClassesSubTomograms)
    for _, pointer in getattr(run, "iterInputAttributes", list)():
        if isinstance(pointer.get(), kinds):
            found += joinedBefore(pointer.getObjValue()) or [imagesOf(pointer.get())]
    return found if len(found) > 1 else []


def _rangesOf(images: SetOfSubTomograms) -> Dict[str, Any]:
    """{name: (least, largest) tilt or None} of the tomograms that a set knows."""
    coordinates = images.getCoordinates3D() if images.hasCoordinates3D() else None
    tomograms = coordinates.getPrecedents() if coordinates is not None else None
    return {} if tomograms is None else {key: tiltRange(item) for key, item in byId(tomograms).items()}


def tiltWarnings(subtomograms: EMSet, joined: Sequence[EMSet]) -> List[str]:
    """Of `joined` sets Scipion keeps the first one's tilt range alone; a sentence where others, or all, are unknown."""
    images, known = imagesOf(subtomograms), {*_rangesOf(imagesOf(subtomograms))}
    if not known:  # before all items are read: the first one of a set tells of the others
        firsts = [first for first in map(firstOf, [images, *joined]) if first is not None]
        some = any(map(tiltRange, [images, *joined, *firsts])) or any(any(_rangesOf(one).values()) for one in joined)
        return sayIf(firsts and not some, "No tilt range is stored in subtomograms or tomograms: the form's is used.")
    told = {item.getLocation() for one in joined for item in one}
    untold = (item for item, _ in tickedItems(subtomograms) if not (tiltRange(item) or item.getLocation() in told))
    names = {*map(_tomogramOf, untold)} - {"None"}
    return sayIf(
        known & names and names - known,  # a program that names them in its own way knows none
        f"Of joined subtomograms Scipion keeps the tomograms of the first set alone. For {some_names(names - known)} "
        "its tilt range is used, or the form's. If theirs is another, the wedge is wrong: use each set by itself.",
    )


def tiltRange(item: EMObject) -> Optional[Tuple[float, ...]]:
    """(least, largest) degrees that the acquisition of an item or set tells, or None."""
    acquisition = item.getAcquisition()
    angles = [acquisition.getAttributeValue(name, None) for name in ("_angleMin", "_angleMax")] if acquisition else []
    return tuple(angles) if len(angles) == 2 and None not in angles and angles[0] < angles[1] else None


def tiltsOf(tomograms: Any) -> List[Tuple[float, ...]]:
    """(least, largest) degrees of each tomogram of a set that says, else of the set; [] if none does."""
    own, ofSet = ([], None) if tomograms is None else ([*map(tiltRange, tomograms.iterItems())], tiltRange(tomograms))
    return [*filter(None, own)] or [*filter(None, [ofSet])]


def severalTilts(tomograms: Any) -> List[str]:
    """A sentence about tomograms whose tilt ranges differ, where that of the first is used for all."""
    tilts = tiltsOf(tomograms)
    apart = [abs(angle - first) for one in tilts for angle, first in zip(one, tilts[0])]
    return sayIf(
        max(apart, default=0.0) > _APART,
        "The tomograms have several tilt ranges, and that of the first is used for all. Run each range by itself.",
    )


# ----- from the engine
def readRows(path: str) -> Tuple[Dict[int, Dict[str, str]], List[str]]:
    """({item's id: {column: text}}, columns) of the engine's STAR file."""
    columns = columnsOf(path, "particles")
    rows = iterColumns(path, columns, (str,) * len(columns), "particles")
    return {int(row[columns.index(ID)]): dict(zip(columns, row)) for row in rows}, columns


def subtomogramTransformOf(row: Any, pixelSize: float) -> Any:
    """Scipion's Transform of a row with ANGLES and ORIGIN; origins that it lacks are 0."""
    origin = [float(row.get(name, 0)) / pixelSize for name in ORIGIN]
    return Transform(matrixOf([float(row[name]) for name in ANGLES], origin))


# Attributes of classified items: how sure it is that the item is of a known class, and the probability of each.
CONFIDENCE, PROBABILITY = "_cryodlConfidence", "_cryodlProbability%d"
_TOMOGRAM = "rlnTomoName"


def appendSimulatedSubtomograms(subtomograms: SetOfSubTomograms, path: str, names: Sequence[str]) -> None:
    """Append the simulated subtomograms with their true class, transform, half set and tilt range. subtomograms: new
    set with pixel size and acquisition. path: the engine's STAR file. names: of classes 1, 2, ..."""
    there = columnsOf(path, "particles")
    columns = [name for name in ("rlnImageName", _TOMOGRAM, CLASS, HALF) + ANGLES + ORIGIN + TILTS if name in there]
    for values in iterColumns(path, columns, (str,) * len(columns), "particles"):
        row, item = dict(zip(columns, values)), SubTomogram()
        item.setLocation(*locationOf(row["rlnImageName"], path))
        item.setSamplingRate(subtomograms.getSamplingRate())
        item.setVolName(row.get(_TOMOGRAM, "simulated"))
        item.setClassId(int(row[CLASS]))
        item.setTransform(subtomogramTransformOf(row, subtomograms.getSamplingRate()))
        item.setAcquisition(_acquisition(subtomograms, row))
        if HALF in row:
            setattr(item, "_" + HALF, Integer(int(row[HALF])))
        subtomograms.append(item)
    subtomograms.setAlignment3D()
    setattr(subtomograms, CLASS_NAMES, String(", ".join(names)))


def _acquisition(subtomograms: SetOfSubTomograms, row: Any) -> TomoAcquisition:
    acquisition = TomoAcquisition()
    acquisition.copy(subtomograms.getAcquisition())
    for name, setter in zip(TILTS, (acquisition.setAngleMin, acquisition.setAngleMax)):
        if name in row:
            setter(float(row[name]))
    return acquisition


def fillSubtomogramClasses(
    classes: SetOfClassesSubTomograms, path: str, names: Dict[int, str], averages: Dict[int, str]
) -> None:
    """Fill a SetOfClassesSubTomograms, whose images are set, by the engine's STAR file; class 0 is left out. names:
    {class number: name}. averages: {class number: file}, of those that have a representative."""
    rows, columns = readRows(path)
    pixelSize = classes.getImages().getSamplingRate()

    def describeItem(item: Any, _: Any) -> None:
        row = rows.get(item.getObjId(), {CLASS: "0"})
        item._appendItem = int(float(row[CLASS])) > 0
        if item._appendItem:
            describeSubtomogram(item, row, columns, pixelSize)

    def describeClass(item: Any) -> None:
        item.setAlignment3D()
        item.setObjLabel(names.get(item.getObjId(), f"class {item.getObjId()}"))
        if item.getObjId() in averages:
            setRepresentative(item, averages[item.getObjId()], pixelSize)

    classes.classifyItems(updateItemCallback=describeItem, updateClassCallback=describeClass)


def appendUnknown(output: SetOfSubTomograms, subtomograms: SetOfSubTomograms, path: str) -> None:
    rows, columns = readRows(path)
    for item in [item.clone() for item in subtomograms.iterItems(where=ENABLED)]:
        row = rows.get(item.getObjId(), {CLASS: "1"})
        if int(float(row[CLASS])) == 0:
            output.append(describeSubtomogram(item, row, columns, subtomograms.getSamplingRate()))


def describeSubtomogram(item: Any, row: Dict[str, str], columns: Sequence[str], pixelSize: float) -> SubTomogram:
    """Write class, transform, confidence and probabilities of a row on an item. Returns it."""
    forget(item, f"{CONFIDENCE}|{PROBABILITIES}")
    item.setClassId(int(float(row[CLASS])))
    if ANGLES[0] in row:
        item.setTransform(subtomogramTransformOf(row, pixelSize))
    for name in columns:
        if name == CONFIDENCE[1:] or name.startswith((PROBABILITY % 0)[1:-1]):
            setattr(item, "_" + name, Float(float(row[name])))
    return item


def appendSubtomogramAverages(
    output: SetOfAverageSubTomograms, names: Dict[int, str], averages: Dict[int, str]
) -> None:
    """Append the averages of classes; ids are the classes' numbers. output: set of averages with pixel size."""
    for number in sorted(averages):
        item = AverageSubTomogram()
        item.setObjId(number)
        item.setFileName(averages[number])
        item.setSamplingRate(output.getSamplingRate())
        item.setObjLabel(names.get(number, f"class {number}"))
        output.append(item)


def appendLatentSubtomograms(
    output: SetOfSubTomograms, subtomograms: SetOfSubTomograms, path: str, count: int, umap: bool = False
) -> None:
    """Append copies of the STAR file's items with latent coordinates and clusters. ValueError: if it has others."""
    rows, _ = readRows(path)
    names = latentColumns(count, umap)[0]
    output.copyItems(
        describeLatent(item, names, [rows[item.getObjId()][name] for name in names])
        for item in [item.clone() for item in subtomograms.iterItems() if item.getObjId() in rows]
    )
    if output.getSize() != len(rows):
        raise ValueError(f"Only {output.getSize()} of the {len(rows)} subtomograms of {path} are in the input.")
