# SPDX-License-Identifier: GPL-3.0-or-later
"""How the fake engine dies, so that tests can continue its runs."""

import os
import signal
from pathlib import Path


class InputError(Exception):
    """What the user can mend."""


def dieSometimes(folder, done):
    """End by SIGKILL, once, when `done` has reached FAKE_ENGINE_DIE_AFTER. folder: where it is noted that this was
    done."""
    limit = os.environ.get("FAKE_ENGINE_DIE_AFTER")
    mark = os.path.join(folder, "died")
    if limit and done >= int(limit) and not os.path.exists(mark):
        open(mark, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)


def dieOncePerRun(moment, resultPath):
    """End by SIGKILL, once in each run of a project, if FAKE_ENGINE_DIE_ONCE is this moment: 'before' the work, or
    'after' it, when its files are there and its result is not. resultPath: in the run's folder, from the project's."""
    mark = Path(*Path(resultPath).parts[:2], "died")
    if os.environ.get("FAKE_ENGINE_DIE_ONCE") == moment and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def trainSteps(output, partial):
    """Three steps of a training that notes them in its working folder, may die at each, and continues where it was."""
    os.makedirs(partial, exist_ok=True)
    metrics = os.path.join(partial, "metrics.csv")
    done = 0
    if os.path.exists(metrics):
        with open(metrics) as file:
            done = len(file.readlines())
    for step in range(done, 3):
        dieSometimes(os.path.dirname(output), step)
        with open(metrics, "a") as file:
            file.write(f"{step},0.5\n")
