# SPDX-License-Identifier: GPL-3.0-or-later
"""Workflow templates as users start them: by Scipion's template command, whose scheduler runs every protocol.

While they run, their projects are loaded and refreshed again and again, as an open project window does.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List

from pyworkflow.project import Manager

from . import ctffind, launching
from .processes import isThere, killTree
from .programs import writeProgram
from .streams import stopRun, updateRun

# The scheduler looks for finished inputs every one or two minutes; its clock runs faster here.
FASTER = 15
_HOOK = """with open('/proc/self/cmdline') as file:
    words = file.read().split(chr(0))[:-1]
if any('pw_schedule_run' in word for word in words):
    exec({code!r})
"""
CLOCK = """import time
wait = time.sleep
time.sleep = lambda seconds: wait(seconds / {faster})
"""
# Three processes on a machine of two cores, by root, as in a container.
SEVERAL = dict(
    OMPI_ALLOW_RUN_AS_ROOT="1",
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
    OMPI_MCA_rmaps_base_oversubscribe="1",
    OMPI_MCA_mpi_yield_when_idle="1",
)
_KILLED = 0.4  # chance that a run is killed at a refresh
_REFRESH = 3  # s; a project window takes longer where nothing happens


class ScheduledTemplate:
    """A project that the template command makes and starts, once start() is called.

    Parameters
    ----------
    template : str
        Such as 'cryodl-picking'.
    project : str
        Name of the project to make.
    folder : str
        For programs that stand for real ones.
    answers : dict of str to str
        {alias: answer} to all that the template asks for.
    kills : str
        'before' or 'after': the fake engine dies once in each run, before its work or when only its result is missing;
        'random': each run of ours is killed once, engine and all, at a random moment of its first seconds, if it is
        still there; a run that died is continued, as a user would do. Empty: none dies.
    faster : float
        How much less than usual the scheduler waits between two looks.
    server : str
        The socket of launching.serveSchedulers, which then runs schedulers and runs in forks. Empty: each is a process
        from the beginning on.
    """

    def __init__(
        self,
        template: str,
        project: str,
        folder: str,
        answers: Dict[str, object],
        kills: str = "",
        faster: float = FASTER,
        server: str = "",
    ) -> None:
        self.kills, self.continued, self.project, self.command = kills, [], None, None
        self.died, self._chance = [], random.Random(template)  # ids of the runs that refresh() killed
        self.name, self.runs, self.log = project, [], Path(folder, project + ".log")
        self._command = [sys.executable, "-m", "scipion", "template", template, "--nogui", "project_name=" + project]
        self._command += [f"{name}={value}" for name, value in answers.items()]
        self._environment = dict(os.environ, **SEVERAL, **standIns(folder))
        self._environment["FAKE_ENGINE_DIE_ONCE"] = kills
        hook = schedulerHook(folder, launching.ASK.format(path=server) if server else CLOCK.format(faster=faster))
        self._environment["PYTHONPATH"] = os.pathsep.join([hook, os.environ.get("PYTHONPATH", "")])

    def start(self) -> None:
        """Call the template command, in place of an earlier project of this name."""
        if Manager().hasProject(self.name):
            Manager().deleteProject(self.name)
        with self.log.open("w") as log:  # the runs have it open as well, so its end is not that of the command
            self.command = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=subprocess.STDOUT)

    def goOn(self) -> None:
        """Take up the project that an earlier process started, instead of start()."""
        os.environ.update(self._environment)  # runs that wait again are started from here
        self.refresh()

    def refresh(self) -> None:
        """Load the project anew and update its runs."""
        if self.command is not None and self.command.poll() is None:
            return
        if self.project is not None:
            self.project.closeMapper()  # an open one holds a lock
        self.project = Manager().loadProject(self.name, chdir=True)
        self.runs = self.project.getRuns()
        for run in self.runs:
            if run.isFailed():
                updateRun(self.project, run)
            # a run whose input has no output yet, as that died as well, is refused, and continued after it
            if self.kills and run.isFailed() and run.getObjId() not in self.continued and not run.validate():
                self.continued.append(run.getObjId())
                self.project.launchProtocol(run, force=True)  # others wait for it, which is no reason to refuse
            elif self.kills == "random" and run.isRunning() and run.getObjId() not in self.died and self._kill(run):
                self.died.append(run.getObjId())
        self.project.mapper.commit()

    def _kill(self, run) -> bool:
        """Whether a run was killed; often it is left until the next refresh."""
        ours = run.getPlugin().getName() == "cryodl"
        if not (ours and run.getPid() and isThere(run.getPid()) and self._chance.random() < _KILLED):
            return False
        killTree(run.getPid())
        return True

    def working(self) -> List:
        """Runs that have not ended."""
        return [run for run in self.runs if run.isActive() or run.isSaved()]

    def stop(self) -> None:
        """End what still works, so that nothing outlives its test."""
        if self.command is None:
            return
        self.command.wait()
        self.refresh()
        for run in self.working():
            stopRun(self.project, run)

    def told(self) -> str:
        """Status and last lines of all runs, for a message."""
        return "\n".join(
            f"{run.getObjLabel()}: {run.getStatus()} {run.getErrorMessage()}\n    " + "\n    ".join(lastLines(run))
            for run in self.runs
        )


def runAll(templates: List[ScheduledTemplate], seconds: float, atOnce: int = 2) -> None:
    """Start templates and refresh their projects until all runs have ended, or the time is over.

    Parameters
    ----------
    templates : list of ScheduledTemplate
        The first ones are started first.
    seconds : float
        The time.
    atOnce : int
        So many work side by side.
    """
    end, waiting, started = time.time() + seconds, list(templates), []
    while (waiting or started) and time.time() < end:
        while waiting and len(started) < atOnce:
            started.append(waiting.pop(0))
            started[-1].start()
        for template in list(started):
            template.refresh()
            if template.runs and not template.working():
                started.remove(template)
        time.sleep(_REFRESH)


def lastLines(run) -> List[str]:
    """What a run, or the scheduler that waits for its inputs, has said last."""
    for path in (run.getStderrLog(), run.getScheduleLog()):
        if os.path.exists(path):
            return Path(path).read_text(errors="replace").splitlines()[-4:]
    return []


def standIns(folder: str) -> Dict[str, str]:
    """Variables by which Scipion's plugin finds a program instead of CTFFIND; none where CTFFIND is there."""
    from cistem import Plugin  # only some machines have this plugin
    from cistem.constants import CTFFIND_BIN

    if not Plugin.validateInstallation() and os.access(Plugin.getProgram(CTFFIND_BIN), os.X_OK):
        return {}
    home = Path(folder, "ctffind-" + ctffind.VERSION)
    writeProgram(home / "bin" / CTFFIND_BIN, f'#!/bin/sh\nexec "{sys.executable}" "{ctffind.__file__}" "$@"\n')
    return {"CTFFIND_HOME": str(home), "CISTEM_HOME": str(folder)}


def schedulerHook(folder: str, code: str) -> str:
    """A folder for PYTHONPATH by which Scipion's schedulers begin with this code. words: how they were called."""
    path = Path(tempfile.mkdtemp(prefix="hook-", dir=folder))
    (path / "sitecustomize.py").write_text(_HOOK.format(code=code))
    return str(path)
