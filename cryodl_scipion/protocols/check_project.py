# SPDX-License-Identifier: GPL-3.0-or-later
"""Find runs that lost their outputs, and runs that count as failed though they finished or still work; mend them.

cryodl check-project PROJECT [--mend]     (in Scipion's environment; without --mend nothing is changed)

How runs come to this: benchmarks/pyworkflow_race.md. Exit code 0 if nothing is wrong any more, else 1."""

import argparse
import os
import sys
from typing import Any, List, NamedTuple, Optional

import pyworkflow as pw
from pyworkflow.project import Manager
from pyworkflow.protocol import MODE_RESUME, getProtocolFromDb

from ..convert.arriving import ALIVE, stateOfRun
from .inputs import KeepsOutputs

# What is wrong, and what mends it.
FALSE_FAILURE, NOT_TAKEN, LOST = "false failure", "outputs not taken over", "finished without outputs"


class Finding(NamedTuple):
    """A run that is not what it seems. sentence: what is wrong; canBeMended: without a restart."""

    run: Any
    kind: str
    sentence: str
    canBeMended: bool


def findingOf(run: Any) -> Optional[Finding]:
    """What is wrong with a run of the loaded project; None if nothing is."""
    if not os.path.exists(run.getDbPath()):
        return None
    ended = getProtocolFromDb(run.getProject().path, run.getDbPath(), run.getObjId())
    outputs = [name for name, _ in ended.iterOutputAttributes() if not run.hasAttribute(name)]
    ended.getProject().closeMapper()
    ended.closeMappers()
    if run.isFailed() and (ended.isFinished() or stateOfRun(run.getPath("")) == ALIVE):
        return Finding(run, FALSE_FAILURE, f"counts as failed, and its own database says: {ended.getStatus()}", True)
    if run.isFinished() and outputs:
        return Finding(run, NOT_TAKEN, f"finished, and the project does not know its {', '.join(outputs)}", True)
    lost = run.lostOutputs() if isinstance(run, KeepsOutputs) and run.isFinished() else ()
    if lost:
        return Finding(run, LOST, f"finished, and has lost {', '.join(lost)}; its files are there", True)
    without = run.getPossibleOutputs() and not any(run.iterOutputAttributes())
    if run.isFinished() and without and not isinstance(run, KeepsOutputs):  # one of ours may have found nothing
        return Finding(run, LOST, "finished without outputs; only Restart, in its project, makes them", False)
    return None


def mend(project: Any, finding: Finding) -> bool:
    """Whether the run is now what it seems. One whose outputs are lost is continued, and makes them from its files."""
    run = finding.run
    if not finding.canBeMended:
        return False
    if finding.kind == LOST:
        run.runMode.set(MODE_RESUME)
        project.launchProtocol(run, wait=True, force=True)
    else:
        run.lastUpdateTimeStamp.set(None)
        project._updateProtocol(run)
        project.mapper.commit()
    return findingOf(run) is None


def main(arguments: List[str]) -> int:
    parser = argparse.ArgumentParser(prog="cryodl check-project", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("project", help="name of a Scipion project; close its window before --mend")
    parser.add_argument("--mend", action="store_true", help="mend what is found; runs that lost outputs are continued")
    options = parser.parse_args(arguments)
    pw.Config.setDomain("pwem")
    pw.Config.getDomain().getPlugins()
    manager = Manager()
    if not manager.hasProject(options.project):
        print(f"There is no project {options.project!r} in {manager.PROJECTS}.", file=sys.stderr)
        return 2
    project = manager.loadProject(options.project, chdir=True)
    found, left = [finding for finding in map(findingOf, project.getRuns()) if finding is not None], 0
    for finding in found:
        mended = options.mend and mend(project, finding)
        left += not mended
        print(f"{finding.run.getObjLabel() or finding.run}: {finding.sentence}.{' Mended.' if mended else ''}")
    if not found:
        print("No run lost its outputs, and none counts as failed that finished.")
    elif left and not options.mend:
        print(f"--mend puts {left} right." if any(finding.canBeMended for finding in found) else "")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
