# SPDX-License-Identifier: GPL-3.0-or-later
"""2-D classes of the engine as Scipion's sets: classes with aligned particles, and their averages with scores."""

from typing import Any, Dict, Iterator, List, Sequence, Set, Tuple

import numpy as np
from pwem.convert import transformations
from pwem.objects import Class2D, EMObject, Particle, SetOfAverages, SetOfClasses2D, SetOfParticles, Transform
from pyworkflow.object import Float, Integer

from ...engine.cryodl import contract
from .. import arriving, relion_star
from ..reading import ENABLED
from .particles import itemsOf, locationOf, pairedRows, rowsOf

# Attributes of classes and averages.
SCORE, PARTICLES, RESOLUTION = "_rlnClassScore", "_cryodlParticles", "_rlnEstimatedResolution"
# Attributes of a classified particle: how well it fits its average, and by how much better than the next.
FIT, MARGIN = "_cryodlScore", "_cryodlMargin"
# Probability that the particle shows more than noise; missing in sets of earlier versions.
SIGNAL = "_cryodlProbability"
_COLUMNS = ("rlnClassNumber", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst", FIT[1:], MARGIN[1:])
_TABLE = ("rlnClassNumber", "rlnReferenceImage", SCORE[1:], PARTICLES[1:], RESOLUTION[1:])


def planeMatrix(psi: float, origin: Tuple[float, float]) -> np.ndarray:
    """(4, 4) matrix of Scipion's 2-D alignment, as the plugin of RELION reads and writes it. psi: degrees. origin: x, y
    in px, the shift that centres the particle."""
    matrix = transformations.euler_matrix(0, 0, np.deg2rad(psi), axes="szyz")
    matrix[:2, 3] = origin
    return matrix


def readClasses(path: Any) -> Dict[int, Tuple[str, float, int, float]]:
    """{number: (image name, score, particles, resolution in Å)} of the engine's classes.star."""
    return {row[0]: row[1:] for row in relion_star.readColumns(path, _TABLE, (int, str, float, int, float), "classes")}


def addToClasses(
    classes: SetOfClasses2D, particles: SetOfParticles, ids: Sequence[int], particlesFile: str, classesFile: str
) -> None:
    """Add particles to a SetOfClasses2D that may have some, from the files of `cryodl classify-2d`. particles: the set
    that they are of, as its file is now. ids: theirs. Particles that are in their class already are left alone, and
    those in no class (number 0) are left out. All classes get what classesFile says of them."""
    table, pixelSize = readClasses(classesFile), particles.getSamplingRate()
    made = classes._getExistingItems()  # pwem's: copies that can be appended to; classes[number] is one object for all
    range_ = f"{arriving.ID}>={min(ids)} AND {arriving.ID}<={max(ids)}"
    # a run may have died between a class and its first member
    there = [one for one in made.values() if not one._getMapper().doCreateTables]
    done: Set[int] = set().union(*(one.getUniqueValues(arriving.ID, range_) for one in there))
    for number, one in made.items():
        _describeClass(one, table[number], classesFile)
        classes.update(one)  # before any is appended: it also tells the mapper the columns, which enableAppend mistakes
    columns = list(_COLUMNS)
    # members of one table have the same columns, and runs of earlier versions have none of this
    if SIGNAL[1:] in relion_star.columnsOf(particlesFile, "particles") and all(
        arriving.firstOf(one).hasAttribute(SIGNAL) for one in there
    ):
        columns.append(SIGNAL[1:])
    kinds = (int,) + (float,) * (len(columns) - 1)
    for item, row in pairedRows(particles, particlesFile, columns, kinds, itemsOf(particles, set(ids))):
        if not row[0] or item.getObjId() in done:
            continue
        if row[0] not in made:
            made[row[0]] = _newClass(particles, row[0], table[row[0]], classesFile)
            classes.append(made[row[0]])
        copy = item.clone()
        copy.setClassId(row[0])
        copy.setTransform(Transform(planeMatrix(row[1], (row[2] / pixelSize, row[3] / pixelSize))))
        for name, value in zip((FIT, MARGIN, SIGNAL), row[4:]):
            setattr(copy, name, Float(value))
        mapper = made[row[0]]._getMapper()
        if not mapper.doCreateTables and mapper.db.INSERT_OBJECT is None:  # a table without rows, as above
            mapper.db.setupCommands(copy.getObjDict(includeClass=True))
        made[row[0]].append(copy)
    for one in made.values():
        classes.update(one)
    classes._size.set(len(made))  # also if a run died before noting it down


def _newClass(particles: SetOfParticles, number: int, row: Any, classesFile: str) -> Class2D:
    made = Class2D(objId=number)
    made.copyInfo(particles)
    made.setAcquisition(particles.getAcquisition())
    made.setAlignment2D()
    average = Particle()
    average.setSamplingRate(particles.getSamplingRate())
    made.setRepresentative(average)
    _describeClass(made, row, classesFile)
    return made


def _describeClass(made: Class2D, row: Any, classesFile: str) -> None:
    made.getRepresentative().setLocation(*locationOf(row[0], classesFile))
    _describe(made, row)


def addAverages(averages: SetOfAverages, classesFile: str) -> None:
    """Bring a SetOfAverages up to date: the averages of all classes that have particles, each with its score."""
    there = averages.getIdSet() if averages.getSize() else set()
    if there:
        averages.enableAppend()
    for number, row in sorted((number, row) for number, row in readClasses(classesFile).items() if row[2]):
        average = averages[number] if number in there else Particle()
        average.setObjId(number)
        average.setLocation(*locationOf(row[0], classesFile))
        average.setSamplingRate(averages.getSamplingRate())
        average.setClassId(number)
        _describe(average, row)
        averages.update(average) if number in there else averages.append(average)


def classRows(classes: SetOfClasses2D) -> Any:
    """[(id, index, file, particles, score or None)] of a SetOfClasses2D, in its order."""
    rows = []
    for made in classes.iterItems():
        average = made.getRepresentative()
        index, path = average.getLocation() if average is not None else (0, "")
        rows.append((made.getObjId(), index, path, made.getSize(), made.getAttributeValue(SCORE)))
    return rows


def memberRows(classes: SetOfClasses2D, names: Sequence[str]) -> Iterator[Tuple[int, Any]]:
    """(class, {attribute: value}) of all particles, see rowsOf; None for an attribute that they do not have."""
    known: Any = None  # of the first class: those of a set have the same attributes
    for made in classes.iterItems():
        if made.getSize():
            known = [n for n in names if arriving.firstOf(made).hasAttribute(n)] if known is None else known
            yield from ((made.getObjId(), {**dict.fromkeys(names), **row}) for row in rowsOf(made, known))


def writeAverages(path: str, items: EMObject) -> None:
    """Write a SetOfClasses2D or SetOfAverages as a table of classes, with the share of particles where it is known."""
    if isinstance(items, SetOfClasses2D):
        ticked = {made.getObjId() for made in items.iterItems() if made.isEnabled()}
        found = [row[1:4] for row in classRows(items) if row[0] in ticked and row[2]]  # some have no average
    else:
        found = [(*one.getLocation(), one.getAttributeValue(PARTICLES, 1)) for one in items.iterItems(where=ENABLED)]
    total = sum(row[2] for row in found)
    general = relion_star.star_head("general", ("rlnPixelSize",)) + f"{arriving.firstOf(items).getSamplingRate()}\n\n"
    rows = ((f"{max(index, 1):06d}@{file}", size / total) for index, file, size in found)
    relion_star.writeTable(path, "classes", ("rlnReferenceImage", "rlnClassDistribution"), rows, general)


def signalCut(classes: SetOfClasses2D, ids: Set[int], lost: float) -> Tuple[float, List[float], List[float]]:
    """Probability of signal below which particles of the classes with these ids are left out, see
    contract.particle_cut, and the probabilities in these classes and in the others; 0 and none for sets without."""
    values = [(number in ids, row[SIGNAL]) for number, row in memberRows(classes, [SIGNAL])]
    if not values or (False, None) in values or (True, None) in values:
        return 0.0, [], []
    kept, others = ([value for own, value in values if own == kind] for kind in (True, False))
    return contract.particle_cut(kept, sum(kept + others) / len(values), lost), kept, others


def keepClasses(
    output: SetOfClasses2D,
    particles: SetOfParticles,
    rejected: SetOfParticles,
    classes: SetOfClasses2D,
    ids: Set[int],
    cut: float,
) -> None:
    """Copy the classes with these ids to a SetOfClasses2D, their particles to a SetOfParticles, all others to another.
    cut: probability of signal below which the particles of kept classes are left out, too."""
    for made in classes.iterItems():
        keeps, kept = made.isEnabled() and made.getObjId() in ids, Class2D(objId=made.getObjId())
        if keeps:
            kept.copyInfo(made)
            output.append(kept)
        for item in made:
            stays = keeps and item.isEnabled() and (not cut or item.getAttributeValue(SIGNAL) >= cut)
            (particles if stays else rejected).append(item)
            if stays:
                kept.append(item)
        if keeps:
            output.update(kept)


def _describe(item: EMObject, row: Tuple[str, float, int, float]) -> None:
    for name, kind, value in zip((SCORE, PARTICLES, RESOLUTION), (Float, Integer, Float), row[1:]):
        setattr(item, name, kind(value))
