# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles of a set that may still be growing. Items are read batch by batch, never held: a set may have a million."""

import os
from typing import Any, Iterator, List, Sequence, Set

import pyworkflow.utils as pwutils
from pwem.objects import SetOfParticles

from ..growing import ID, ColumnOnce, reopened
from ..stream_end import StreamEnd


class ArrivingParticles:
    """Ids of the particles of a growing set.

    source: the set, whose file is read anew by update(); the caller keeps threads apart.
    """

    def __init__(self, source: SetOfParticles) -> None:
        self._source, self._ids, self.closed = source, set(), False  # type: SetOfParticles, Set[int], bool
        self._column, self._end = ColumnOnce(ID), StreamEnd()

    def update(self) -> None:
        """Read which particles there are now, and whether more can come."""
        source = reopened(SetOfParticles, self._source)
        self.closed = self._end.of(source)
        self._ids = self._column.update(source)

    def ready(self, known: Set[int]) -> List[int]:
        """Ids that are not among the known ones."""
        return sorted(self._ids - known)

    def writeBatch(self, path: str, ids: Sequence[int]) -> None:
        """Write some particles as a set of their own, whole or not at all. One that is there stays."""
        if os.path.exists(path):
            return
        source = reopened(SetOfParticles, self._source)
        temporary = path + ".new"
        pwutils.cleanPath(temporary)
        batch = SetOfParticles(filename=temporary)
        batch.copyInfo(source)
        for item in itemsOf(source, set(ids)):
            batch.append(item)
        batch.write()
        batch.close()
        source.close()
        os.rename(temporary, path)


def itemsOf(particles: SetOfParticles, ids: Set[int]) -> Iterator[Any]:
    """The items of a set with these ids, in its order; each is the set's own object and changes with the next."""
    # one pass over the range that holds them; Scipion's sets know no IN
    for item in particles.iterItems(where=f"id>={min(ids)} AND id<={max(ids)}"):
        if item.getObjId() in ids:
            yield item
