# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine ends with the protocol that started it, however that one ends and whatever lies between the two."""

import os
import signal
import sys
import threading
import time

from ..contract.processes import PARENT_VARIABLE, has_ended

INTERVAL = 0.5  # seconds between two looks


def end_with_parent() -> None:
    """Watch the process that PARENT_VARIABLE names, from a thread; when it has ended, kill this one.

    A shell, mpirun or a queue's script may stand between the two, so the kernel's own signal at the death of a parent
    does not do. An engine that is started by hand has no such variable and is not watched. One that runs on another
    machine or in another container than its protocol cannot see it, and is held apart by output_lock alone.
    """
    name = os.environ.get(PARENT_VARIABLE, "")
    if name.count(":") == 3:
        threading.Thread(target=_watch, args=(name,), name="parent", daemon=True).start()


def _watch(name: str) -> None:
    while not has_ended(name):
        time.sleep(INTERVAL)
    try:
        print(
            "cryodl: the protocol that started this command has ended, so the command ends, too. Continue the "
            "protocol to go on.",
            file=sys.stderr,
            flush=True,
        )
    finally:  # not sys.exit: this is a thread. What a killed command leaves, the next one continues from
        os.kill(os.getpid(), signal.SIGKILL)
