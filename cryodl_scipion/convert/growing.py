# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets whose files grow: the set as its file is now, and readers that read each row once.

Otherwise each look at a set of n items reads n of them, and a run of n items reads n² / 2.

Whether a growing set is whole.

pyworkflow closes the output sets of a run that dies, as it does with those of a run that finishes. A run that works on
such a set while it arrives must not take it for whole: what the dead run makes once it is continued would be lost.
"""

import os
import re
import sqlite3
import time
from typing import Any, Callable, Dict, Optional, Set, Tuple

from pwem.objects import EMSet
from pyworkflow.protocol import STATUS_FAILED, STATUS_LAUNCHED, STATUS_RUNNING, STATUS_SCHEDULED
from pyworkflow.utils import isProcessAlive

RUN = re.compile(r"(?:.*/)?Runs/(\d+)_([^/]+)/")
UNDER_WAY = (STATUS_LAUNCHED, STATUS_RUNNING, STATUS_SCHEDULED)
ALIVE, STOPPED = "alive", "stopped"
LONGEST_WAIT = 12 * 3600.0  # s: a run that died in the evening can be continued in the morning


class StreamEnd:
    """Looks at one growing set again and again. longest: s to wait when its run has died."""

    def __init__(self, longest: float = LONGEST_WAIT) -> None:
        self._longest, self._seenOpen = longest, False
        self._stoppedSince: Optional[float] = None

    def of(self, items: EMSet) -> bool:
        """Whether no more items can come. items: the set as its file is now.

        A set that was closed at the first look is taken as it is, also if the run that made it has stopped: whoever
        starts a run on it wants what is there. Raises ValueError if the run that makes it died and was not continued.
        """
        state, closed = stateOfRun(items.getFileName()), items.isStreamClosed()
        if closed and (state is None or (state == STOPPED and not self._seenOpen)):
            return True
        self._seenOpen = self._seenOpen or not closed
        if state == STOPPED:
            self._wait(items.getFileName())
        else:
            self._stoppedSince = None
        return False

    def _wait(self, path: str) -> None:
        if self._stoppedSince is None:
            self._stoppedSince = time.monotonic()
            print(
                f"{path}: the run that makes this set stopped before it finished. Continue it; this run waits "
                f"{self._longest / 3600:.3g} hours for it, and then stops. To process only the items available, stop "
                "this run and continue it.",
                flush=True,
            )
        elif time.monotonic() - self._stoppedSince > self._longest:
            raise ValueError(
                f"{path}: the run that makes this set stopped before it finished and was not continued for "
                f"{self._longest / 3600:.3g} hours. Continue it, then this run: nothing is made again. To go on with "
                "what is there, continue this run alone."
            )


def stateOfRun(path: Optional[str]) -> Optional[str]:
    """Of the run in whose folder a file is: ALIVE or STOPPED before its end; None if it ended, or if there is none."""
    found = RUN.match(path or "")
    if not found:
        return None
    status, pid = _statusAndPid(os.path.join(found.group(), "logs", "run.db"), found.group(1))
    if status == STATUS_FAILED:
        return STOPPED
    if status not in UNDER_WAY:  # it finished, or somebody stopped it on purpose
        return None
    return STOPPED if pid and not isProcessAlive(pid) else ALIVE  # a run in a queue has no process of this machine


def _statusAndPid(database: str, number: str) -> Tuple[Optional[str], int]:
    """(status, process number or 0) of a run in its database; (None, 0) if that is missing or cannot be read."""
    if not os.path.exists(database):
        return None, 0
    run = int(number)
    try:
        connection = sqlite3.connect(f"file:{os.path.abspath(database)}?mode=ro", uri=True, timeout=10)
        try:
            rows = connection.execute(
                "SELECT name, value FROM Objects WHERE name IN (?, ?)", (f"{run}.status", f"{run}._pid")
            ).fetchall()
        finally:
            connection.close()
    except sqlite3.Error:
        return None, 0
    values = dict(rows)
    return values.get(f"{run}.status"), int(values.get(f"{run}._pid") or 0)


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
