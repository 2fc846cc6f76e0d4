# SPDX-License-Identifier: GPL-3.0-or-later
"""A project window that refreshes in the last second of a run, and what a user does after it.

pyworkflow's own code refreshes; only the moment is chosen: the run ends between what the refresh reads of it and its
look at the run's process.
"""

import importlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from unittest import mock

import psutil
import pyworkflow.protocol as pwprot
import pyworkflow.utils as pwutils
from pyworkflow.object import Object
from pyworkflow.project import Project
from pyworkflow.utils import isProcessAlive

from ..convert.arriving import UNDER_WAY
from ..protocols.inputs import WITHOUT_OUTPUTS, KeepsOutputs
from .processes import STOPPED

_LAUNCH = importlib.import_module("pyworkflow.protocol.launch")  # by its name alone it is the function in it
RACED: Counter = Counter()  # runs that lost their outputs here, by the names of their protocols
_EACH = int(os.environ.get("CRYODL_LOSSES", "1"))  # so many of each protocol


def forceLosses(test, project):
    """Let the first finished runs of each of the plugin's protocols lose its outputs in all ways known, and be mended.

    Parameters
    ----------
    test : unittest.TestCase
        Whose project it is.
    project : pyworkflow.project.Project
        Its launchProtocol, called to wait for a run, does this from now on.
    """

    def launch(run, wait=False, **more):
        if not wait or not isinstance(run, KeepsOutputs) or RACED[type(run).__name__] >= _EACH:
            return Project.launchProtocol(project, run, wait=wait, **more)
        seen, raced = _refreshedInItsLastSecond(project, run)
        if seen.isFinished():
            test.assertTrue(raced, f"{run}: its window did not see it at work.")
            _loseAndContinue(test, project, seen)
            RACED[type(run).__name__] += 1
        return Object.copy(run, seen, copyId=True)  # the object that the test holds

    project.launchProtocol = launch


def forget(project, run, names=()):
    """Take its outputs, or some of them, from a run, and from its project's database."""
    for name in names or [name for name, _ in run.iterOutputAttributes()]:
        pwprot.Protocol.deleteOutput(run, getattr(run, name))  # not as a user does it
    if not any(run.iterOutputAttributes()):
        project.mapper.deleteRelations(run)


def _refreshedInItsLastSecond(project, run):
    """Launch a run as a window does, and refresh. Returns the run as the window then has it, and whether its end came
    in the middle of the refresh."""
    waited, start = [], _LAUNCH._run

    def held(command, *words, **more):
        # it stops itself before it begins: one that is stopped from here may have its database locked by then
        pid = start(STOPPED + command, *words, **more)
        while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.01)
        return pid

    def endsFirst(pid):
        if pid == run.getPid() and not waited:
            waited.append(pid)
            os.kill(pid, signal.SIGCONT)
        while pid == run.getPid() and isProcessAlive(pid):
            time.sleep(0.1)
            subprocess.run(["true"], check=True)  # what has ended goes when the next process is started
        return isProcessAlive(pid)

    with mock.patch.object(_LAUNCH, "_run", held):
        Project.launchProtocol(project, run)
    with mock.patch.object(pwutils, "isProcessAlive", endsFirst):
        seen = _refreshed(project, run)
    if not waited:  # nobody looks for the process of a run that a person ends, when it is continued
        os.kill(run.getPid(), signal.SIGCONT)
    while seen.getStatus() in UNDER_WAY:
        time.sleep(0.5)
        seen = _refreshed(project, run)
    return seen, bool(waited)


def _loseAndContinue(test, project, run):
    """In a copy of the project: as a window leaves a run without this plugin's care, and as *Continue* left it then,
    with all outputs lost and with one of several."""
    made, folder = _contents(run), tempfile.mkdtemp()
    project.mapper.commit()
    try:
        shutil.copytree(project.path, os.path.join(folder, "copy"), symlinks=True)
        copy = Project(project.getDomain(), os.path.join(folder, "copy"))
        copy.load()
        run = _refreshed(copy, run)
        _loseToTheWindow(copy, run)
        run.makePathsAndClean()  # what Continue does first
        _checkSame(test, run, made)
        several = [[name] for name in made[0]] if len(made[0]) > 1 else []
        for lost in [list(made[0]), *several[-_EACH:]] if made[0] else []:
            _loseToContinue(copy, run, lost)
            test.assertIn(WITHOUT_OUTPUTS.format(names=" and ".join(lost)), _refreshed(copy, run).summary())
            Project.launchProtocol(copy, run, wait=True, force=True)
            test.assertTrue(run.isFinished(), run.getErrorMessage())
            _checkSame(test, run, made)
        copy.closeMapper()
    finally:
        os.chdir(project.path)
        shutil.rmtree(folder)


def _checkSame(test, run, made):
    """The same outputs; a run that was stopped between an output and its relation has more relations than before."""
    outputs, relations = _contents(run)
    test.assertEqual(outputs, made[0], run)
    test.assertTrue(made[1] <= relations, f"{run}: {made[1] - relations}")


def _loseToTheWindow(project, run):
    forget(project, run)
    pwprot.Protocol.setFailed(run, "Process 1 not found running on the machine.")
    project._storeProtocol(run)


def _loseToContinue(project, run, names):
    forget(project, run, names)
    run.setFinished()
    project._storeProtocol(run)
    os.remove(run.getDbPath())


def _contents(run):
    """{name: (class, number of items or None)} of all outputs, and of what they were made."""
    outputs = {
        name: (type(one).__name__, getattr(one, "getSize", lambda: None)()) for name, one in run.iterOutputAttributes()
    }
    relations = {
        tuple(one[key] for key in ("name", "object_parent_id", "object_parent_extended")) for one in run.getRelations()
    }
    return outputs, relations


def _refreshed(project, run):
    """The run after a refresh of its project window."""
    return next(one for one in project.getRuns() if one.getObjId() == run.getObjId())
