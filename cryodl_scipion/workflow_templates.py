# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin's workflow templates, which say at once what they need and this machine does not have."""

import json
import os
import sys
from typing import Dict, List

import pyworkflow as pw
from pyworkflow.template import LocalTemplate

_COMMAND, _NO_SCHEDULE = "template", "--noschedule"


class CryodlTemplate(LocalTemplate):
    """A template that starts no run whose program is missing: Scipion would keep it scheduled for ever, in silence."""

    def createTemplateFile(self) -> str:
        """Write the workflow with the answers filled in.

        Returns
        -------
        str
            Path of a temporary JSON file.

        Raises
        ------
        SystemExit
            If `scipion template` is about to start the runs, and programs or plugins of some of them are missing.
        """
        path = super().createTemplateFile()
        missing = missingPrograms(path)
        if missing and startsRuns():
            os.remove(path)
            sys.exit(
                f"No project was made, because these runs of the workflow cannot start:\n{_listed(missing)}\nInstall "
                f"what is missing, or add {_NO_SCHEDULE} to make the project without starting it, and replace these "
                "runs there."
            )
        if missing:
            print(f"These runs of the workflow cannot start on this machine:\n{_listed(missing)}")
        return path


def startsRuns() -> bool:
    """True where Scipion's template command runs, and not only loads a workflow into a project."""
    return os.path.basename(sys.argv[0]) == _COMMAND and _NO_SCHEDULE not in map(str.lower, sys.argv)


def missingPrograms(path: str) -> Dict[str, List[str]]:
    """What the runs of a workflow need and this machine does not have.

    Parameters
    ----------
    path : str
        JSON file of a workflow.

    Returns
    -------
    dict of str to list of str
        {label of a run: sentences}, without the runs that can start.
    """
    known, missing = pw.Config.getDomain().getProtocols(), {}
    with open(path, encoding="utf-8") as file:
        runs = json.load(file)
    for run in runs:
        name = run["object.className"]
        problems = (
            known[name].validateInstallation() if name in known else [f"No installed plugin has the protocol {name}."]
        )
        if problems:
            missing[run.get("object.label") or name] = problems
    return missing


def _listed(missing: Dict[str, List[str]]) -> str:
    return "\n".join(f"  {label}: {' '.join(problems)}" for label, problems in missing.items())
