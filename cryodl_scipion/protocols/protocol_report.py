# SPDX-License-Identifier: GPL-3.0-or-later
"""Write one page on where the project stands, again and again while its runs work."""

import dataclasses
import glob
import os
import re
import time
from typing import Any, Dict, List

import pyworkflow.utils as pwutils
from pwem.protocols import EMProtocol
from pyworkflow.object import String
from pyworkflow.protocol import getProtocolFromDb, params

from ..engine.cryodl.contract import ReportConfig, ReportOutputs, write_json
from . import engine_protocol, kinds

_FOLDER = re.compile(r"(\d{6})_\w+")
# links and bold, which does not begin or end within a path
_MARK = re.compile(r"\[\[(?:sci-open:[^\]]*|([^\]]*))\]\[([^\]]*)\]\]|(?<![\w/])\*(?=\S)([^*]+?)(?<=\S)\*(?![\w.])")


def wordsOfRuns(project: str, without: str = "") -> Dict[str, Dict[str, Any]]:
    """{name of the run's folder: {label, summary, methods}} of each run in a project's folder. A run that cannot be
    read says so in its summary. without: name of a run's folder that is left out."""
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
    plain = lambda found: " ".join(filter(None, found.group(2, 1, 3)))
    return [_MARK.sub(plain, str(line)) for line in function() or [] if str(line).strip()]


PAGE, WORDS = "report.html", "words.json"
LONGEST = 24  # h


class CryodlProtReport(engine_protocol.EngineProtocol[ReportConfig, ReportOutputs], EMProtocol):
    """Write one HTML page on where this project stands: numbers over time, latest picks, classes, FSC, alarms.

    In: nothing; it reads the other runs of the project, and changes nothing of them. Out: extra/report.html, one file
    that any browser shows and that can be sent as it is. It is written anew while other runs work, and a last time when
    all have ended; stop it whenever you like."""

    _label = "write report"
    OUTPUT, NOTHING_YET = PAGE, "No report yet."
    FORM = (
        kinds.Section("Report"),
        kinds.Options("micrographs", "refresh"),
        kinds.Own(
            "every",
            params.IntParam,
            "Update interval (s)",
            "Interval at which the report is written again while other runs are active. 0: it is written once.",
            default=60,
        ),
        kinds.Own(
            "longest",
            params.FloatParam,
            "Stop after (h)",
            "The protocol stops after this time, even if other runs are still active.",
            default=LONGEST,
        ),
    )
    NOT_ON_FORM = {
        "project": "this project",
        "folder": "this project is read",
        "words": "written from the project's runs",
        "own": "this run",
    }

    def _insertAllSteps(self) -> None:
        # the time makes that a continued run writes anew
        self._insertFunctionStep(self.reportStep, time.time(), needsGPU=False)

    def reportStep(self, started: Any) -> None:
        end = time.monotonic() + 3600 * (self.longest.get() or 0)
        while True:
            pwutils.makePath(self._getExtraPath())
            write_json(self._getExtraPath(WORDS), wordsOfRuns(self.getProject().path, os.path.basename(self.getPath())))
            working = self._runEngine(self._config(), self._getExtraPath("report")).outputs.working
            if not hasattr(self, "outputReport"):
                self._defineOutputs(outputReport=String(self.getPage()))
            if not working or not self.every.get() or time.monotonic() > end:
                return
            time.sleep(self.every.get())

    def getPage(self) -> str:
        return self._getExtraPath(PAGE)

    def _completed(self, config: ReportConfig) -> ReportConfig:
        own = os.path.basename(self._getPath())
        return dataclasses.replace(config, project=".", words=self._getExtraPath(WORDS), own=own)
