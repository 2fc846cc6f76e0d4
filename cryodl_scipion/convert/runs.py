# SPDX-License-Identifier: GPL-3.0-or-later
"""What the runs of a project say of themselves, read from their own databases; nothing is written there."""

import glob
import os
import re
from typing import Any, Dict, List

from pyworkflow.protocol import getProtocolFromDb

_FOLDER = re.compile(r"(\d{6})_\w+")


def wordsOfRuns(project: str, without: str = "") -> Dict[str, Dict[str, Any]]:
    """Label, summary and methods of each run.

    Parameters
    ----------
    project : str
        The project's folder.
    without : str
        Name of a run's folder that is left out.

    Returns
    -------
    dict of str to dict
        {name of the run's folder: {label, summary, methods}}. A run that cannot be read says so in its summary.
    """
    words = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(project), "Runs", "*", "logs", "run.db"))):
        folder = os.path.basename(os.path.dirname(os.path.dirname(path)))
        found = _FOLDER.match(folder)
        if found and folder != without:
            words[folder] = _wordsOf(project, path, int(found.group(1)))
    return words


def _wordsOf(project: Any, path: str, number: int) -> Dict[str, Any]:
    try:
        run = getProtocolFromDb(project, os.path.relpath(path, project), number)
        try:
            return dict(label=run.getObjLabel(), summary=_texts(run.summary), methods=_texts(run.methods))
        finally:
            run.getProject().closeMapper()
    except Exception as error:  # whatever a plugin of others raises must not hide the other runs
        return dict(label="", summary=[f"This run cannot be read: {error}"], methods=[])


def _texts(function: Any) -> List[str]:
    return [str(line) for line in function() or [] if str(line).strip()]
