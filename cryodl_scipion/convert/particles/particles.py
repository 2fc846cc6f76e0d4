# SPDX-License-Identifier: GPL-3.0-or-later
"""SetOfParticles as RELION's STAR (3.1) for the engine. Items are iterated, never held: a set may have a million."""

import os

from ..relion_star import _SPACE, opticsOf, poseOf, writeStar
from .denoised import denoiserOf, rawImageOf

# Attributes of items that RELION's plugin keeps under these names.
_KEPT = ("rlnRandomSubset", "rlnClassNumber", "cryodlReference", "cryodlReferenceDigest", "cryodlReferenceResolution")
_KEPT += tuple("cryodlLatent%d" % number for number in range(1, 21)) + ("cryodlCluster",)
_ID = "rlnImageId"
_ORIGINAL = "rlnImageOriginalName"


def writeParticles(path, particles):
    """Write a SetOfParticles as STAR 3.1, whole or not at all.

    path: the file. Image names are those of the set: relative to the project's folder, in which the engine runs.
    rlnImageId holds the item's id, by which pairedRows finds the items again. Alignment is written of
    projection-aligned sets, CTF of sets with CTF; of denoised sets the model and the raw image of each item.
    Raises ValueError for an empty set.
    """
    first = particles.getFirstItem() if particles.getSize() else None
    if first is None:
        raise ValueError("The set of particles is empty; there is nothing to write to %s." % path)
    flipped = dict(rlnCtfDataArePhaseFlipped=1) if particles.isPhaseFlipped() and not denoiserOf(particles) else {}
    writeStar(path, opticsOf(particles, 2, **flipped), _writersOf(particles, first), particles.iterItems())


def pairedRows(particles, path, columns, kinds):
    """(item, values) of the items of a set and the engine's rows for them, found by the id of writeParticles.

    path: the engine's STAR file. columns, kinds: see star.iterColumns. The engine keeps the order, and may leave rows
    out: their items are left out here. The item is the set's own object and changes with the next: clone it to keep it.
    Raises ValueError for a row of an item that the set does not have.
    """
    from ..star import iterColumns

    items = particles.iterItems()
    for row in iterColumns(path, (_ID,) + tuple(columns), (int,) + tuple(kinds), "particles"):
        item = next((item for item in items if item.getObjId() == row[0]), None)
        if item is None:
            raise ValueError(
                "%s has particle %d, which the input set does not have at that place. Run the "
                "protocol anew." % (path, row[0])
            )
        yield item, row[1:]


def locationOf(name, star=None):
    """(index, file) of RELION's 000001@file.

    star: the STAR file that names it, if the engine wrote it: its stacks may lie beside it and be named so.
    """
    index, _, path = name.partition("@")
    beside = os.path.join(os.path.dirname(star), path) if star else path
    return int(index), beside if star and os.path.exists(beside) else path


def nameOf(item):
    """RELION's name of an item's image, 000001@file; a file with one image has it as the first."""
    return "%06d@%s" % (item.getIndex() or 1, item.getFileName())


# ----- columns: (names, function of an item that gives their values)
def _writersOf(particles, first):
    pixelSize = particles.getSamplingRate()
    writers = [
        (
            ("rlnImageName", _ID, "rlnOpticsGroup"),
            lambda item: (nameOf(item), item.getObjId(), item.getAttributeValue("_rlnOpticsGroup", 1)),
        )
    ]
    if micrographOf(first):
        writers.append((("rlnMicrographName",), lambda item: (_SPACE.sub("_", micrographOf(item)),)))
    if first.getCoordinate() is not None:
        writers.append((("rlnCoordinateX", "rlnCoordinateY"), lambda item: item.getCoordinate().getPosition()))
    if particles.hasCTF() and first.hasCTF():
        writers.append((("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"), lambda item: item.getCTF().getDefocus()))
        if first.getCTF().hasPhaseShift():
            writers.append((("rlnPhaseShift",), lambda item: (item.getCTF().getPhaseShift(),)))
    if particles.hasAlignmentProj() and first.hasTransform():
        writers.append(
            (
                ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"),
                lambda item: poseOf(item.getTransform().getMatrix(), pixelSize),
            )
        )
    for name in _KEPT:
        if first.hasAttribute("_" + name):
            writers.append(((name,), lambda item, name=name: (item.getAttributeValue("_" + name),)))
    if denoiserOf(particles):
        writers.append(
            (
                ("cryodlDenoiser", _ORIGINAL),
                lambda item, model=denoiserOf(particles): (model, rawImageOf(item) or "None"),
            )
        )
    return writers


def micrographOf(item):
    """What tells the item's micrograph from others; '' if nothing is known of it."""
    coordinate = item.getCoordinate()
    name = coordinate.getMicName() if coordinate is not None else None
    return name or (str(item.getMicId()) if item.getMicId() else "")
