# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a growing set is whole.

pyworkflow closes the output sets of a run that dies, as it does with those of a run that finishes. A run that works on
such a set while it arrives must not take it for whole: what the dead run makes once it is continued would be lost.
"""

import os
import re
import sqlite3
from typing import Optional, Tuple

from pwem.objects import EMSet
from pyworkflow.protocol import STATUS_FAILED, STATUS_LAUNCHED, STATUS_RUNNING, STATUS_SCHEDULED
from pyworkflow.utils import isProcessAlive

RUN = re.compile(r"(?:.*/)?Runs/(\d+)_([^/]+)/")
UNDER_WAY = (STATUS_LAUNCHED, STATUS_RUNNING, STATUS_SCHEDULED)
ALIVE, STOPPED = "alive", "stopped"


class StreamEnd:
    """Looks at one growing set again and again."""

    def __init__(self) -> None:
        self._seenOpen, self._told = False, False

    def of(self, items: EMSet) -> bool:
        """Whether no more items can come. items: the set as its file is now.

        A set that was closed at the first look is taken as it is, also if the run that made it has stopped: whoever
        starts a run on it wants what is there.
        """
        if not items.isStreamClosed():
            self._seenOpen, self._told = True, False
            return False
        state = stateOfRun(items.getFileName())
        if state is None or (state == STOPPED and not self._seenOpen):
            return True
        if state == STOPPED and not self._told:
            self._told = True
            print(
                f"{items.getFileName()}: the run that makes this set stopped before its end. Continue it: this run "
                "waits for the rest. To go on with what is there, stop this run and continue it.",
                flush=True,
            )
        return False


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
