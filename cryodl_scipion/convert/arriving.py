# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs and picks on them, and other items, of sets that may still be growing.

Micrographs on which several programs pick, while sets of coordinates and micrographs may still be growing.
"""

import os
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

import pyworkflow.utils as pwutils
from pwem.objects import CTFModel, Micrograph, SetOfCoordinates, SetOfCTF, SetOfImages, SetOfMicrographs
from pwem.protocols.protocol_align_movies import OUT_MICS_EVEN, OUT_MICS_ODD
from pyworkflow.object import Pointer

from .growing import ColumnOnce, ReadOnce, StreamEnd, reopened
from .micrographs.coordinates import writePicks
from .micrographs.picks import anyScoreOf, micrographsByName, scaled
from .names import NamesOnce


class ArrivingItems:
    """Items of a growing set by their names. A child says what the name of an item is: _nameOf(item).

    source: the set, whose file is read anew by update(); the caller keeps threads apart.
    """

    def __init__(self, source: SetOfImages) -> None:
        self._source, self.closed = source, False
        self._read, self._names = ReadOnce(source, self._nameOf), NamesOnce()

    def _nameOf(self, item: Any) -> str:
        raise NotImplementedError

    def update(self) -> None:
        """Read what there is now."""
        self.closed = self._read.update()

    @property
    def _byName(self) -> Dict[str, Any]:
        return self._read.byName

    def ready(self, known: Set[str]) -> List[str]:
        """[name] of the items that are not among the known names."""
        return [name for name in self._byName if name not in known]

    def items(self, names: Sequence[str]) -> Any:
        return [self._byName[name].clone() for name in names]

    def idsOfNames(self) -> Dict[int, str]:
        """{item's id: its name}."""
        return {objId: name for name, objId in self._read.ids.items()}

    def engineNames(self) -> Dict[int, str]:
        """{item's id: name for the engine}, not to be changed."""
        return self._names.of(self._read.ids)


class ArrivingMicrographs(ArrivingItems):
    """micrographs: SetOfMicrographs. coordinates: SetOfCoordinates, matched by micrograph name, or None."""

    _picks: Any

    def __init__(self, micrographs: SetOfMicrographs, coordinates: Optional[SetOfCoordinates]) -> None:
        super().__init__(micrographs)
        self._picks, self._picked, self._picksClosed = coordinates, set(), coordinates is None
        self._pickedIds, self._picksEnd = ColumnOnce("_micId"), StreamEnd()
        if coordinates is not None:
            self._theirs = ReadOnce(coordinates.getMicrographs(), lambda micrograph: micrograph.getMicName())

    def _nameOf(self, micrograph: Micrograph) -> str:
        return micrograph.getMicName()

    def update(self) -> None:
        # Picks first: those of a micrograph that arrives in between are seen at the next look.
        if self._picks is not None:
            self._updatePicks()
        super().update()
        self.closed = self.closed and self._picksClosed

    def _updatePicks(self) -> None:
        coordinates = reopened(SetOfCoordinates, self._picks)
        self._picksClosed = self._picksEnd.of(coordinates)
        ids = self._pickedIds.update(coordinates)
        self._picked = {name for name, objId in self._theirIds().items() if objId in ids}

    def ready(self, known: Set[str]) -> List[str]:
        """As ArrivingItems; while picks are still coming, only micrographs that have some."""
        waiting = super().ready(known)
        return waiting if self._picksClosed else [name for name in waiting if name in self._picked]

    def writePicks(self, folder: str, micrographs: Sequence[Micrograph]) -> None:
        """Write <folder>/<micrograph>.star of some micrographs, in their own pixels; empty where nothing was picked."""
        if self._picks is None:
            return
        pwutils.makePath(folder)
        names, picks = self.engineNames(), self.picksOn(micrographs, self._source.getSamplingRate())
        for micrograph in micrographs:
            path = os.path.join(folder, names[micrograph.getObjId()] + ".star")
            writePicks(path, picks[micrograph.getMicName()])

    def picksOn(self, micrographs: Sequence[Micrograph], pixelSize: float) -> Dict[str, List[Any]]:
        """{micName: [(x, y, score or None), ...]} in pixels of so many Å; an empty list where there are no picks."""
        scale = self._picks.getMicrographs().getSamplingRate() / pixelSize
        return {
            name: [scaled(item.getPosition(), scale) + (anyScoreOf(item),) for item in items]
            for name, items in self.coordinatesOn(micrographs).items()
        }

    def coordinatesOn(self, micrographs: Sequence[Micrograph]) -> Dict[str, Any]:
        """{micName: [Coordinate]} in the order of the files that writePicks writes."""
        theirs = self._theirIds()
        found = coordinatesOn(self._picks, [theirs[m.getMicName()] for m in micrographs if m.getMicName() in theirs])
        return {m.getMicName(): found.get(theirs.get(m.getMicName(), -1), []) for m in micrographs}

    def _theirIds(self) -> Dict[Any, int]:
        """{micName: id} of the coordinates' micrographs, which may be another set than the source."""
        self._theirs.update()
        return self._theirs.ids


class PickedMicrographs(ArrivingMicrographs):
    """Micrographs with picks on them, and with a CTF where CTFs are given: SetOfCTF, matched by micrograph name."""

    def __init__(self, micrographs: SetOfMicrographs, coordinates: SetOfCoordinates, ctfs: SetOfCTF) -> None:
        super().__init__(micrographs, coordinates)
        self._ctfSet, self._ctfsClosed = ctfs, ctfs is None
        self._readCtfs = ReadOnce(ctfs, lambda ctf: ctf.getMicrograph().getMicName())

    def update(self) -> None:
        if self._ctfSet is not None:
            self._ctfsClosed = self._readCtfs.update()
        super().update()
        self.closed = self.closed and self._ctfsClosed

    @property
    def _ctfs(self) -> Dict[str, Any]:
        return self._readCtfs.byName

    def ready(self, known: Any) -> Any:
        """As ArrivingMicrographs; while CTFs are still coming, only micrographs that have one."""
        waiting = super().ready(known)
        return waiting if self._ctfsClosed else [name for name in waiting if name in self._ctfs]

    def ctfsOf(self, names: Sequence[str]) -> Any:
        """{micName: CTFModel} of those that have one; None where no CTFs are given."""
        if self._ctfSet is None:
            return None
        return {name: self._ctfs[name] for name in names if name in self._ctfs and not _failed(self._ctfs[name])}


def _failed(ctf: CTFModel) -> bool:
    """Whether another program's protocol noted that it found no CTF, as pwem's setWrongDefocus does."""
    wrong = CTFModel()
    wrong.setWrongDefocus()
    return ctf.getDefocus() == wrong.getDefocus()


def coordinatesOn(growing: Any, ids: Sequence[int]) -> Any:
    """{micrograph id: [Coordinate, ...]} of some micrographs of a set of coordinates, in the set's order."""
    found = {objId: [] for objId in ids}
    coordinates = reopened(SetOfCoordinates, growing)
    if ids and coordinates.getSize():
        # One pass over the file for all of them; Scipion's sets know no IN.
        for item in coordinates.iterItems(where=f"_micId>={min(ids)} AND _micId<={max(ids)}"):
            if item.getMicId() in found:
                found[item.getMicId()].append(item.clone())
    coordinates.close()
    return found


def checkPicks(micrographs: SetOfMicrographs, coordinates: SetOfCoordinates) -> str:
    """What is wrong with coordinates for micrographs: a sentence, or ''."""
    if coordinates.getMicrographs() is None:
        return "The coordinates are not linked to micrographs. Choose coordinates that belong to a set of micrographs."
    ours, theirs = {m.getMicName() for m in micrographs}, set(micrographsByName(coordinates))
    if ours and theirs and not ours & theirs:
        return (
            f"The coordinates lie on other micrographs: theirs are {', '.join(sorted(theirs)[:3])}, those to "
            f"assess are {', '.join(sorted(ours)[:3])}. Micrographs are matched by name."
        )
    return ""


class MicrographsOfSets(ArrivingItems):
    """sets: matched by the names of their micrographs. The items are the micrographs of the first one."""

    def __init__(self, sets: Sequence[SetOfCoordinates]) -> None:
        super().__init__(sets[0].getMicrographs())
        self._sets = [ArrivingMicrographs(one.getMicrographs(), one) for one in sets]

    def _nameOf(self, micrograph: Micrograph) -> str:
        return micrograph.getMicName()

    def update(self) -> None:
        for one in self._sets:
            one.update()
        super().update()
        self.closed = self.closed and all(one.closed for one in self._sets)

    def ready(self, known: Set[str]) -> List[str]:
        """Names on which each set has picks. A closed set has none where it has none; its micrographs must be there."""
        waiting = super().ready(known)
        for one in self._sets:
            there = set(one.ready(known))
            waiting = [name for name in waiting if name in there]
        return waiting

    def writePicks(self, folders: Sequence[str], micrographs: Sequence[Micrograph]) -> None:
        """Write <folder>/<micrograph>.star of each set, in pixels of the first one's micrographs; empty without."""
        names = self.engineNames()
        for folder, one in zip(folders, self._sets):
            pwutils.makePath(folder)
            picks = one.picksOn(micrographs, self._source.getSamplingRate())
            for micrograph in micrographs:
                path = os.path.join(folder, names[micrograph.getObjId()] + ".star")
                writePicks(path, picks[micrograph.getMicName()])


def halvesOf(micrographs: Pointer) -> Any:
    """(even, odd) SetOfMicrographs that the protocol of a pointer's micrographs made beside them; (None, None) if it
    did not.

    micrographs: pointer to a set.
    """
    source = micrographs.getObjValue() if micrographs.hasExtended() else None
    halves = tuple(getattr(source, name, None) for name in (OUT_MICS_EVEN, OUT_MICS_ODD))
    return halves if all(isinstance(half, SetOfMicrographs) for half in halves) else (None, None)


def checkHalves(
    micrographs: SetOfMicrographs, even: Optional[SetOfMicrographs], odd: Optional[SetOfMicrographs]
) -> List[str]:
    """What is wrong with averages of even and odd frames for micrographs: sentences. even, odd: sets, or None."""
    if even is None and odd is None:
        return []
    if even is None or odd is None:
        return ["Even-frame averages and Odd-frame averages belong together: choose both, or leave both empty."]
    ours = {m.getMicName() for m in micrographs}
    for word, half in (("even", even), ("odd", odd)):
        if abs(half.getSamplingRate() / micrographs.getSamplingRate() - 1) > 0.001:
            return [
                f"The averages of {word} frames have {half.getSamplingRate():g} Å/px and the micrographs "
                f"{micrographs.getSamplingRate():g} Å/px. Choose those of the same motion correction."
            ]
        missing = sorted(ours - {m.getMicName() for m in half})
        if missing and half.isStreamClosed():
            return [
                f"{len(missing)} micrographs have no average of {word} frames: {', '.join(missing[:5])}. Micrographs "
                "are matched by name; choose a subset of micrographs, or leave both averages empty."
            ]
    return []


class ArrivingHalves:
    """even, odd: SetOfMicrographs that may still be growing, or None both."""

    def __init__(self, even: Optional[SetOfMicrographs], odd: Optional[SetOfMicrographs]) -> None:
        self._sets, self.closed = (even, odd), True
        self._ends = StreamEnd(), StreamEnd()
        self._files: Tuple[Dict[str, str], ...] = ({}, {})

    def update(self) -> None:
        """Read what there is now."""
        if self._sets[0] is None:
            return
        growing = [reopened(SetOfMicrographs, half) for half in self._sets]
        # Closed first: what arrives between the two looks is then seen by the next one.
        self.closed = all([end.of(half) for end, half in zip(self._ends, growing)])
        self._files = tuple({m.getMicName(): m.getFileName() for m in half} for half in growing)
        for half in growing:
            half.close()

    def has(self, name: str) -> bool:
        """Whether a micrograph can be worked on. name: its micName."""
        return self._sets[0] is None or all(name in files for files in self._files)

    def files(self, names: Sequence[str]) -> Any:
        """Even files and odd files of micNames, two tuples; empty ones without halves."""
        return ((), ()) if self._sets[0] is None else tuple(tuple(files[n] for n in names) for files in self._files)


class MicrographsWithHalves(ArrivingMicrographs):
    """Micrographs that may still be arriving, each with its averages of even and odd frames where there are such sets.

    even, odd: SetOfMicrographs, or None both.
    """

    def __init__(
        self, micrographs: SetOfMicrographs, even: Optional[SetOfMicrographs], odd: Optional[SetOfMicrographs]
    ) -> None:
        super().__init__(micrographs, None)
        self.halves = ArrivingHalves(even, odd)

    def update(self) -> None:
        # Halves first: those of a micrograph that arrives in between are seen at the next look.
        self.halves.update()
        super().update()
        self.closed = self.closed and self.halves.closed

    def ready(self, known: Set[str]) -> List[str]:
        """As ArrivingItems; only micrographs whose halves are there."""
        return [name for name in super().ready(known) if self.halves.has(name)]
