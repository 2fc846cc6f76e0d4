# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine made of subtomograms, as Scipion's sets: simulated ones, classes with averages, the unknown."""

from typing import Any, Dict, Sequence

from pyworkflow.object import Float, Integer, String
from tomo.objects import (
    AverageSubTomogram,
    SetOfAverageSubTomograms,
    SetOfClassesSubTomograms,
    SetOfSubTomograms,
    SubTomogram,
    TomoAcquisition,
)

from ..latent import describeLatent, latentColumns
from ..star import columnsOf, iterColumns
from .subtomograms import ANGLES, CLASS, CLASS_NAMES, HALF, ORIGIN, TILTS, readRows, subtomogramTransformOf, volumeOf

# Attributes of classified items: how sure it is that the item is of a known class, and the probability of each.
CONFIDENCE, PROBABILITY = "_cryodlConfidence", "_cryodlProbability%d"
_TOMOGRAM = "rlnTomoName"


def appendSimulatedSubtomograms(subtomograms: SetOfSubTomograms, path: str, names: Sequence[str]) -> None:
    """Append the simulated subtomograms with their true class, transform, half set and tilt range.

    subtomograms: new set with pixel size and acquisition. path: the engine's STAR file. names: of classes 1, 2, ...
    """
    there = columnsOf(path, "particles")
    columns = [name for name in ("rlnImageName", _TOMOGRAM, CLASS, HALF) + ANGLES + ORIGIN + TILTS if name in there]
    for values in iterColumns(path, columns, (str,) * len(columns), "particles"):
        row, item = dict(zip(columns, values)), SubTomogram()
        index, file = volumeOf(row["rlnImageName"], path)
        item.setLocation(index, file)
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
) -> int:
    """Fill a SetOfClassesSubTomograms, whose images are set, by the engine's STAR file; class 0 is left out.

    names: {class number: name}. averages: {class number: file}; a class without one has no representative.
    Returns the number of items in classes.
    """
    rows, columns = readRows(path)
    pixelSize, made = classes.getImages().getSamplingRate(), []

    def describeItem(item: Any, _: Any) -> None:
        row = rows.get(item.getObjId())
        item._appendItem = row is not None and int(float(row[CLASS])) > 0
        if row is not None and item._appendItem:
            describeSubtomogram(item, row, columns, pixelSize)
            made.append(item.getObjId())

    def describeClass(item: Any) -> None:
        item.setAlignment3D()
        item.setObjLabel(names.get(item.getObjId(), f"class {item.getObjId()}"))
        if item.getObjId() in averages:
            representative = item.getRepresentative()
            representative.setFileName(averages[item.getObjId()])
            representative.setSamplingRate(pixelSize)

    classes.classifyItems(updateItemCallback=describeItem, updateClassCallback=describeClass)
    return len(made)


def appendUnknown(output: SetOfSubTomograms, subtomograms: SetOfSubTomograms, path: str) -> int:
    """Append copies of the items of class 0; returns how many."""
    rows, columns = readRows(path)
    for item in [item.clone() for item in subtomograms.iterItems()]:
        row = rows.get(item.getObjId())
        if row is not None and int(float(row[CLASS])) == 0:
            output.append(describeSubtomogram(item, row, columns, subtomograms.getSamplingRate()))
    return output.getSize()


def describeSubtomogram(item: Any, row: Dict[str, str], columns: Sequence[str], pixelSize: float) -> SubTomogram:
    """Write class, transform, confidence and probabilities of a row on an item. Returns it."""
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
    """Append copies of all items with the latent coordinates and clusters of the engine's STAR file.

    Raises ValueError unless every subtomogram is there.
    """
    rows, _ = readRows(path)
    names = latentColumns(count, umap)[0]
    for item in [item.clone() for item in subtomograms.iterItems()]:
        row = rows.get(item.getObjId())
        if row is not None:
            output.append(describeLatent(item, names, [row[name] for name in names]))
    if output.getSize() != subtomograms.getSize():
        raise ValueError(
            f"{path} has {output.getSize()} of the {subtomograms.getSize()} subtomograms. Run the protocol again."
        )
