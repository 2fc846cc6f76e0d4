# SPDX-License-Identifier: GPL-3.0-or-later
"""2-D classes of the engine as Scipion's sets: classes with aligned particles, and their averages with scores."""

from typing import Any, Dict, List, Set, Tuple

import numpy as np
from pwem.convert import transformations
from pwem.objects import EMObject, Particle, SetOfAverages, SetOfClasses2D, SetOfParticles, Transform
from pyworkflow.object import Float, Integer

from ...engine.cryodl import contract
from ..star import iterColumns, readColumns
from .particles import locationOf

# Attributes of classes and averages.
SCORE, PARTICLES, RESOLUTION = "_rlnClassScore", "_cryodlParticles", "_rlnEstimatedResolution"
# Attributes of a classified particle: how well it fits its average, and by how much better than the next.
FIT, MARGIN = "_cryodlScore", "_cryodlMargin"
_COLUMNS = ("rlnClassNumber", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst", FIT[1:], MARGIN[1:])
_TABLE = ("rlnClassNumber", "rlnReferenceImage", SCORE[1:], PARTICLES[1:], RESOLUTION[1:])


def planeMatrix(psi: float, origin: Tuple[float, float]) -> np.ndarray:
    """(4, 4) matrix of Scipion's 2-D alignment, as the plugin of RELION reads and writes it.

    psi: degrees. origin: x, y in px, the shift that centres the particle.
    """
    matrix = transformations.euler_matrix(0, 0, np.deg2rad(psi), axes="szyz")
    matrix[:2, 3] = origin
    return matrix


def readClasses(path: Any) -> Dict[int, Tuple[str, float, int, float]]:
    """{number: (image name, score, particles, resolution in Å)} of the engine's classes.star."""
    return {row[0]: row[1:] for row in readColumns(path, _TABLE, (int, str, float, int, float), "classes")}


def fillClasses(classes: SetOfClasses2D, particles: SetOfParticles, particlesFile: str, classesFile: str) -> None:
    """Fill a SetOfClasses2D from the files of `cryodl classify-2d`.

    classes: new set, whose images are `particles`. Particles in no class (number 0) are left out.
    """
    table, pixelSize = readClasses(classesFile), particles.getSamplingRate()

    def describeItem(item: Any, row: Any) -> None:
        number, psi, x, y, fit, margin = row
        item.setClassId(number)
        item.setTransform(Transform(planeMatrix(psi, (x / pixelSize, y / pixelSize))))
        setattr(item, FIT, Float(fit))
        setattr(item, MARGIN, Float(margin))

    def describeClass(made: Any) -> None:
        made.setAlignment2D()
        average = made.getRepresentative()
        average.setLocation(*locationOf(table[made.getObjId()][0], classesFile))
        average.setSamplingRate(pixelSize)
        _describe(made, table[made.getObjId()])

    classes.classifyItems(
        updateItemCallback=describeItem,
        updateClassCallback=describeClass,
        itemDataIterator=iterColumns(particlesFile, _COLUMNS, (int,) + (float,) * 5, "particles"),
    )


def appendAverages(averages: SetOfAverages, particles: SetOfParticles, classesFile: str) -> None:
    """Append the averages of classes that have particles, each with its score, to a SetOfAverages."""
    averages.copyInfo(particles)
    averages.setAlignment("None")
    averages.setHasCTF(False)
    averages.setSamplingRate(particles.getSamplingRate())
    for number, row in sorted(readClasses(classesFile).items()):
        if not row[2]:
            continue
        average = Particle()
        average.setObjId(number)
        average.setLocation(*locationOf(row[0], classesFile))
        average.setSamplingRate(particles.getSamplingRate())
        average.setClassId(number)
        _describe(average, row)
        averages.append(average)


def classRows(classes: SetOfClasses2D) -> Any:
    """[(id, index, file, particles, score or None)] of a SetOfClasses2D, in its order."""
    rows = []
    for made in classes.iterItems():
        average = made.getRepresentative()
        index, path = average.getLocation() if average is not None else (0, "")
        rows.append((made.getObjId(), index, path, made.getSize(), made.getAttributeValue(SCORE)))
    return rows


def keptIds(rows: Any, threshold: Any, minimum: Any) -> Tuple[List[int], float]:
    """Ids of the classes of classRows that are kept, and the threshold used, see contract.chosen_classes."""
    ids, _, _, counts, scores = zip(*rows)
    return contract.chosen_classes(ids, scores, counts, threshold, minimum)


def keepClasses(output: SetOfClasses2D, particles: SetOfParticles, classes: SetOfClasses2D, ids: Set[int]) -> None:
    """Copy the classes with these ids to a SetOfClasses2D, and their particles to a SetOfParticles."""
    # found first: two loops over one set's file disturb each other
    known = {
        made.getObjId(): {
            name: getattr(made, name).clone() for name in (SCORE, PARTICLES, RESOLUTION) if made.hasAttribute(name)
        }
        for made in classes.iterItems()
    }

    def describeClass(made: Any) -> None:
        for name, value in known[made.getObjId()].items():
            setattr(made, name, value)

    output.appendFromClasses(classes, lambda made: made.getObjId() in ids, describeClass)
    particles.appendFromClasses(output)


def _describe(item: EMObject, row: Tuple[str, float, int, float]) -> None:
    setattr(item, SCORE, Float(row[1]))
    setattr(item, PARTICLES, Integer(row[2]))
    setattr(item, RESOLUTION, Float(row[3]))
