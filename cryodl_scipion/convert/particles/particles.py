# SPDX-License-Identifier: GPL-3.0-or-later
"""SetOfParticles as RELION's STAR (3.1) for the engine. Items are iterated, never held: a set may have a million.

Particles of a set that may still be growing. Items are read batch by batch, never held: a set may have a million."""

import os
import re
from typing import Any, Callable, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import Coordinate, CTFModel, Particle, SetOfParticles

from ..arriving import ID, Arriving, ColumnOnce, StreamEnd, firstOf, reopened
from ..reading import ENABLED
from ..relion_star import attributeOf, iterColumns, opticsGroupOf, opticsOf, poseOf, writeStar
from .denoised import denoiserOf, rawImageOf


class ArrivingParticles(Arriving):
    """Ids of the particles of a growing set.

    source: the set, whose file is read anew by update(); the caller keeps threads apart."""

    def __init__(self, source: SetOfParticles) -> None:
        self._source, self._ids = source, set()  # type: SetOfParticles, Set[int]
        self._column, self._end = ColumnOnce(ID), StreamEnd()

    def update(self) -> None:
        source = reopened(SetOfParticles, self._source)
        try:
            self.closed = self._end.of(source)
        finally:
            ids = self._column.update(source)
            self._ids = ids - {*source.getUniqueValues(ID, "enabled=0")} if ids else ids
            source.close()

    def ready(self, known: Set[int]) -> List[int]:
        return sorted(self._ids - known)

    def writeBatch(self, path: str, ids: Sequence[int]) -> None:
        """Write some particles as a set of their own, whole or not at all. One that is there stays."""
        if os.path.exists(path):
            return
        source, temporary = reopened(SetOfParticles, self._source), path + ".new"
        pwutils.cleanPath(temporary)
        batch = SetOfParticles(filename=temporary)
        batch.copyInfo(source)
        batch.copyItems(itemsOf(source, set(ids)), copyDisabled=True, doClone=False)
        batch.write()
        batch.close()
        source.close()
        os.rename(temporary, path)


def itemsOf(particles: SetOfParticles, ids: Set[int]) -> Iterator[Any]:
    """The items of a set with these ids, in its order; each is the set's own object and changes with the next."""
    # one pass over the range that holds them; Scipion's sets know no IN
    return (i for i in particles.iterItems(where=f"id>={min(ids)} AND id<={max(ids)}") if i.getObjId() in ids)


# Attributes of items that RELION's plugin keeps under these names.
_KEPT: Tuple[str, ...] = (
    *("rlnRandomSubset", "rlnClassNumber", "cryodlReference", "cryodlReferenceDigest", "cryodlReferenceResolution"),
    *(f"cryodlLatent{number}" for number in range(1, 21)),
    "cryodlCluster",
)
_ID = "rlnImageId"
OPTICS_GROUP = "_rlnOpticsGroup"  # of a particle and its micrograph, one of those of their sets


def writeParticles(path: str, particles: SetOfParticles, items: Optional[Iterable[Particle]] = None) -> None:
    """Write a SetOfParticles as STAR 3.1, whole or not at all. path: the file. items: some of the set's items, where
    not all are wanted. Image names are those of the set: relative to the project's folder, in which the engine runs.
    rlnImageId holds the item's id, by which pairedRows finds the items again. Alignment is written of
    projection-aligned sets, CTF of sets with CTF; of denoised sets the model and the raw image of each item. Raises
    ValueError for an empty set."""
    first = firstOf(particles)
    if first is None:
        raise ValueError(f"The set of particles is empty; there is nothing to write to {path}.")
    flipped = dict(rlnCtfDataArePhaseFlipped=1) if particles.isPhaseFlipped() and not denoiserOf(particles) else {}
    optics = opticsOf(particles, 2, **flipped)
    writeStar(path, optics, _writersOf(particles, first, optics), items or particles.iterItems(where=ENABLED))


def idsInStar(path: str) -> List[int]:
    """Ids of the items in a file of writeParticles, or in what the engine made of it."""
    return [row[0] for row in iterColumns(path, (_ID,), (int,), "particles")]


def pairedRows(
    particles: SetOfParticles,
    path: Any,
    columns: Sequence[str],
    kinds: Tuple[type, ...],
    items: Optional[Iterator[Particle]] = None,
) -> Any:
    """(item, values) of the items of a set and the engine's rows for them, found by the id of writeParticles. path: the
    engine's STAR file. columns, kinds: see star.iterColumns. items: some of the set's, in its order. The engine keeps
    the order, and may leave rows out: their items are left out here. The item is the set's own object and changes with
    the next: clone it to keep it. Raises ValueError for a row of an item that the set does not have."""
    items = particles.iterItems() if items is None else items
    for row in iterColumns(path, (_ID,) + tuple(columns), (int,) + tuple(kinds), "particles"):
        item = next((item for item in items if item.getObjId() == row[0]), None)
        if item is None:
            raise ValueError(
                f"{path} has particle {row[0]}, which the input set does not have at this position. Run the protocol "
                "again."
            )
        yield item, row[1:]


def locationOf(name: Any, star: Optional[str] = None) -> Any:
    """(index, file) of RELION's 000001@file, or of a file, whose index is 0. star: the STAR file that names it, if the
    engine wrote it: its stacks may lie beside it and be named so."""
    *index, path = name.split("@", 1)
    beside = os.path.join(os.path.dirname(star), path) if star else path
    return int(*index), beside if star and os.path.exists(beside) else path


def newParticle(
    location: Any, pixelSize: float, acquisition: Any, coordinate: Coordinate, ctf: Any = None, transform: Any = None
) -> Particle:
    """A Particle without an id. location: of locationOf. ctf, transform: None without one."""
    item = Particle()
    item.setLocation(*location)
    item.setSamplingRate(pixelSize)
    item.setAcquisition(acquisition)
    item.setMicId(coordinate.getMicId())
    item.setCoordinate(coordinate)
    if ctf is not None:
        item.setCTF(ctf)
    if transform is not None:
        item.setTransform(transform)
    return item


def ctfOf(defocusU: float, defocusV: float, angle: float) -> CTFModel:
    """A CTFModel. Å and degrees."""
    ctf = CTFModel()
    ctf.setStandardDefocus(defocusU, defocusV, angle)
    return ctf


def rowsOf(particles: SetOfParticles, names: Sequence[str] = ()) -> List[Any]:
    """[{attribute: value}] of all items, by id, in one query; `id` is among them, and `image` is 000001@file."""
    rows = sorted(particles.aggregate(["MAX"], "_index", ["id", "_filename", *names]), key=lambda row: row["id"])
    return [dict(row, image=f"{row['MAX'] or 1:06d}@{row['_filename']}") for row in rows]


def nameOf(item: Particle) -> str:
    """RELION's name of an item's image, 000001@file; a file with one image has it as the first."""
    return f"{item.getIndex() or 1:06d}@{item.getFileName()}"


def _writersOf(particles: Any, first: Particle, optics: Any) -> List[Tuple[Tuple[str, ...], Callable[..., Any]]]:
    pixelSize, groupOf = particles.getSamplingRate(), opticsGroupOf(particles, optics, OPTICS_GROUP)
    writers: List[Tuple[Tuple[str, ...], Callable[[Any], Tuple[Any, ...]]]] = [
        (("rlnImageName", _ID, "rlnOpticsGroup"), lambda item: (nameOf(item), item.getObjId(), groupOf(item)))
    ]
    if micrographOf(first):
        writers.append((("rlnMicrographName",), lambda item: (re.sub(r"\s", "_", micrographOf(item)),)))
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
    writers += [((name,), attributeOf("_" + name)) for name in _KEPT if first.hasAttribute("_" + name)]
    model = denoiserOf(particles)
    if model:
        writers.append((("cryodlDenoiser", "rlnImageOriginalName"), lambda item: (model, rawImageOf(item) or "None")))
    return writers


def micrographOf(item: Particle) -> str:
    """What tells the item's micrograph from others; '' if nothing is known of it."""
    coordinate = item.getCoordinate()
    name = coordinate.getMicName() if coordinate is not None else None
    return name or (str(item.getMicId()) if item.getMicId() else "")
