# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets whose files grow: the set as its file is now, and readers that read each row once.

Otherwise each look at a set of n items reads n of them, and a run of n items reads n² / 2.
"""

import os
import sqlite3
from typing import Any, Callable, Dict, Optional, Set

from pwem.objects import EMSet

from .stream_end import StreamEnd

ID = "id"


class ReadOnce:
    """Items of a growing set by their names; an update reads the new ones alone."""

    def __init__(self, source: EMSet, nameOf: Callable[[Any], str]) -> None:
        self.byName: Dict[str, Any] = {}
        self.ids: Dict[str, int] = {}
        self._source, self._nameOf, self._last = source, nameOf, -1
        self._end = StreamEnd()

    def update(self) -> bool:
        """Read what is new. Returns whether no more can come."""
        current = reopened(type(self._source), self._source)
        closed = self._end.of(current)
        size = current.getSize()
        if size != len(self.byName):
            self._read(current, f"id>{self._last}")
        if size != len(self.byName):  # items were added with lower ids, or others stand there now
            self.byName, self.ids = {}, {}
            self._read(current, "1")
        current.close()
        return closed

    def _read(self, current: EMSet, where: str) -> None:
        for item in current.iterItems(where=where):
            name = self._nameOf(item)
            self.byName[name], self.ids[name] = item.clone(), item.getObjId()
            self._last = max(self._last, item.getObjId())


class ColumnOnce:
    """The values of one attribute of the items of a growing set. A look reads the new rows alone."""

    def __init__(self, attribute: str) -> None:
        self._attribute, self._file = attribute, None  # type: str, Any
        self._forget()

    def _forget(self) -> None:
        self._values: Set[Any] = set()
        self._count, self._last = 0, -1

    def update(self, items: Optional[EMSet]) -> Set[Any]:
        """The values by now, not to be changed. items: the set, whose file may not be there yet; it is closed again."""
        file = fileOf(items)
        if file != self._file:
            self._file = file
            self._forget()
        if items is None or file is None:
            return set()
        if asInItsFile(items) and items.getSize() != self._count:
            self._read(items, f"{ID}>{self._last}")
            if items.getSize() != self._count:  # rows were added with lower ids, or others stand there now
                self._forget()
                self._read(items, "1")
        items.close()
        return self._values

    def _read(self, items: EMSet, where: str) -> None:
        if self._attribute == ID:
            ids = values = items.getUniqueValues(ID, where)
        else:
            columns = items.getUniqueValues([ID, self._attribute], where)
            ids, values = columns[ID], columns[self._attribute]
        self._values.update(values)
        self._count += len(ids)
        self._last = max([self._last, *ids])


def fileOf(items: Optional[EMSet]) -> Any:
    """What tells a set's file apart from another one, also from one of its name; None while there is none."""
    if items is None or not os.path.exists(items.getFileName()):
        return None
    return items.getFileName(), os.stat(items.getFileName()).st_ino


def reopened(SetClass: type, growing: EMSet) -> EMSet:
    """The set as its file is now."""
    current = SetClass(filename=growing.getFileName())
    asInItsFile(current)
    return current


def asInItsFile(items: EMSet) -> bool:
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
