# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs on which several programs pick, while sets of coordinates and micrographs may still be growing."""

import os
from typing import List, Sequence, Set

import pyworkflow.utils as pwutils
from pwem.objects import Micrograph, SetOfCoordinates

from .arriving import ArrivingItems, ArrivingMicrographs
from .micrographs.pick_sets import writePicks


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
