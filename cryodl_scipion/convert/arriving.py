# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs and picks on them, and other items, of sets that may still be growing."""

import os
import sqlite3

import pyworkflow.utils as pwutils
from pwem.objects import SetOfCoordinates, SetOfCTF, SetOfMicrographs

from .micrograph_names import namesForEngine
from .micrographs.pick_sets import anyScoreOf, micrographsByName, scaled, writePicks


class ArrivingItems:
    """Items of a growing set by their names. A child says what the name of an item is: _nameOf(item).

    source: the set, whose file is read anew by update(); the caller keeps threads apart.
    """

    def __init__(self, source):
        self._source, self._byName, self.closed = source, {}, False

    def update(self):
        """Read what there is now."""
        source = opened(type(self._source), self._source)
        self._byName = {self._nameOf(item): item.clone() for item in source}
        self.closed = source.isStreamClosed()
        source.close()

    def ready(self, known):
        """[name] of the items that are not among the known names."""
        return [name for name in self._byName if name not in known]

    def items(self, names):
        return [self._byName[name].clone() for name in names]

    def engineNames(self):
        """{item's id: name for the engine}."""
        return namesForEngine((item.getObjId(), name) for name, item in self._byName.items())


class ArrivingMicrographs(ArrivingItems):
    """micrographs: SetOfMicrographs. coordinates: SetOfCoordinates, matched by micrograph name, or None."""

    def __init__(self, micrographs, coordinates):
        super().__init__(micrographs)
        self._picks, self._picked, self._picksClosed = coordinates, set(), coordinates is None

    def _nameOf(self, micrograph):
        return micrograph.getMicName()

    def update(self):
        # Picks first: those of a micrograph that arrives in between are seen at the next look.
        if self._picks is not None:
            self._updatePicks()
        super().update()
        self.closed = self.closed and self._picksClosed

    def _updatePicks(self):
        coordinates = opened(SetOfCoordinates, self._picks)
        self._picksClosed = coordinates.isStreamClosed()
        ids = set(coordinates.getUniqueValues("_micId")) if coordinates.getSize() else set()
        coordinates.close()
        self._picked = {name for name, objId in self._theirIds().items() if objId in ids}

    def ready(self, known):
        """As ArrivingItems; while picks are still coming, only micrographs that have some."""
        waiting = super().ready(known)
        return waiting if self._picksClosed else [name for name in waiting if name in self._picked]

    def writePicks(self, folder, micrographs):
        """Write <folder>/<micrograph>.star of some micrographs, in their own pixels; empty where nothing was picked."""
        if self._picks is None:
            return
        pwutils.makePath(folder)
        theirs, names = self._theirIds(), self.engineNames()
        scale = self._picks.getMicrographs().getSamplingRate() / self._source.getSamplingRate()
        picks = picksOn(self._picks, [theirs[m.getMicName()] for m in micrographs if m.getMicName() in theirs], scale)
        for micrograph in micrographs:
            writePicks(
                os.path.join(folder, names[micrograph.getObjId()] + ".star"),
                picks.get(theirs.get(micrograph.getMicName()), []),
            )

    def _theirIds(self):
        """{micName: id} of the coordinates' micrographs, which may be another set than the source."""
        theirs = opened(SetOfMicrographs, self._picks.getMicrographs())
        ids = {m.getMicName(): m.getObjId() for m in theirs}
        theirs.close()
        return ids


class PickedMicrographs(ArrivingMicrographs):
    """Micrographs with picks on them, and with a CTF where CTFs are given: SetOfCTF, matched by micrograph name."""

    def __init__(self, micrographs, coordinates, ctfs):
        super().__init__(micrographs, coordinates)
        self._ctfSet, self._ctfs, self._ctfsClosed = ctfs, {}, ctfs is None

    def update(self):
        if self._ctfSet is not None:
            current = opened(SetOfCTF, self._ctfSet)
            self._ctfsClosed = current.isStreamClosed()
            if asInItsFile(current) and current.getSize():
                self._ctfs = {ctf.getMicrograph().getMicName(): ctf.clone() for ctf in current.iterItems()}
            current.close()
        super().update()
        self.closed = self.closed and self._ctfsClosed

    def ready(self, known):
        """As ArrivingMicrographs; while CTFs are still coming, only micrographs that have one."""
        waiting = super().ready(known)
        return waiting if self._ctfsClosed else [name for name in waiting if name in self._ctfs]

    def ctfsOf(self, names):
        """{micName: CTFModel} of those that have one; None where no CTFs are given."""
        return None if self._ctfSet is None else {name: self._ctfs[name] for name in names if name in self._ctfs}

    def coordinatesOn(self, micrographs):
        """{micName: [Coordinate]} in the order of the files that writePicks writes."""
        theirs = self._theirIds()
        found = coordinatesOn(self._picks, [theirs[m.getMicName()] for m in micrographs if m.getMicName() in theirs])
        return {m.getMicName(): found.get(theirs.get(m.getMicName()), []) for m in micrographs}

    def idsOfNames(self):
        """{micrograph's id: its name}."""
        return {item.getObjId(): name for name, item in self._byName.items()}


def opened(SetClass, growing):
    """The set as its file is now."""
    current = SetClass(filename=growing.getFileName())
    asInItsFile(current)
    return current


def asInItsFile(items):
    """Whether the file of a set holds anything; if so, the set has the size and properties that are there.

    pyworkflow makes the tables with the first item: the file of a set that began with none has none.
    """
    try:
        items.loadAllProperties()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return False
    return True


def picksOn(growing, ids, scale):
    """{micrograph id: [(x, y, score or None), ...]} of some micrographs of a set of coordinates.

    ids: of the coordinates' micrographs. scale: pixels of the target per pixel of the coordinates.
    """
    return {
        objId: [scaled(item.getPosition(), scale) + (anyScoreOf(item),) for item in items]
        for objId, items in coordinatesOn(growing, ids).items()
    }


def coordinatesOn(growing, ids):
    """{micrograph id: [Coordinate, ...]} of some micrographs of a set of coordinates, in the set's order."""
    found = {objId: [] for objId in ids}
    coordinates = opened(SetOfCoordinates, growing)
    if ids and coordinates.getSize():
        # One pass over the file for all of them; Scipion's sets know no IN.
        for item in coordinates.iterItems(where="_micId>=%d AND _micId<=%d" % (min(ids), max(ids))):
            if item.getMicId() in found:
                found[item.getMicId()].append(item.clone())
    coordinates.close()
    return found


def checkPicks(micrographs, coordinates):
    """What is wrong with coordinates for micrographs: a sentence, or ''."""
    if coordinates.getMicrographs() is None:
        return "The coordinates belong to no micrographs. Choose coordinates of a set of micrographs."
    ours, theirs = {m.getMicName() for m in micrographs}, set(micrographsByName(coordinates))
    if ours and theirs and not ours & theirs:
        return (
            "The coordinates lie on other micrographs: theirs are %s, those to assess are %s. Micrographs are "
            "matched by name." % (", ".join(sorted(theirs)[:3]), ", ".join(sorted(ours)[:3]))
        )
    return ""
