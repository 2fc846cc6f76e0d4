# SPDX-License-Identifier: GPL-3.0-or-later
"""Write one page on where the project stands, again and again while its runs work."""

import dataclasses
import json
import os
import time
from typing import Any, List

import pyworkflow.utils as pwutils
from pwem.protocols import EMProtocol
from pyworkflow.object import String
from pyworkflow.protocol import params

from ..convert.runs import wordsOfRuns
from ..engine.cryodl.contract import ReportConfig, ReportOutputs
from .engine_protocol import EngineProtocol
from .kinds import Options, Own, Section

PAGE, WORDS = "report.html", "words.json"
LONGEST = 24  # h
_LOOK = 5  # s between two looks whether it is time


class CryodlProtReport(EngineProtocol[ReportConfig, ReportOutputs], EMProtocol):
    """Write one HTML page on where this project stands: numbers over time, latest picks, classes, FSC, alarms.

    In: nothing; it reads the other runs of the project, and changes nothing of them. Out: extra/report.html, one file
    that any browser shows and that can be sent as it is. It is written anew while other runs work, and a last time when
    all have ended; stop it whenever you like.
    """

    _label = "write report"
    OUTPUT, NOTHING_YET = PAGE, "No report yet."
    FORM = (
        Section("Report"),
        Options("micrographs", "refresh"),
        Own(
            "every",
            params.IntParam,
            "Update interval (s)",
            "Interval at which the report is written again while other runs are active. 0: it is written once.",
            default=60,
        ),
        Own(
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

    # ----- steps
    def _insertAllSteps(self) -> None:
        # the time makes that a continued run writes anew
        self._insertFunctionStep(self.reportStep, time.time(), needsGPU=False)

    def reportStep(self, started: Any) -> None:
        """Write the page until no other run works."""
        end = time.monotonic() + 3600 * (self.longest.get() or 0)
        while True:
            working = self._writePage()
            if not hasattr(self, "outputReport"):
                self._defineOutputs(outputReport=String(self.getPage()))
            if not working or not self.every.get() or time.monotonic() > end:
                return
            again = time.monotonic() + self.every.get()
            while time.monotonic() < again:
                time.sleep(min(_LOOK, self.every.get()))

    def _writePage(self) -> Any:
        """Whether other runs still work."""
        pwutils.makePath(self._getExtraPath())
        project = self.getProject().path
        words = wordsOfRuns(project, os.path.basename(self._getPath()))
        with open(self._getExtraPath(WORDS), "w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(words, file)
        return self._runEngine(self._config(), self._getExtraPath("report")).outputs.working

    def getPage(self) -> str:
        """Path of the page."""
        return self._getExtraPath(PAGE)

    def _completed(self, config: ReportConfig) -> ReportConfig:
        own = os.path.basename(self._getPath())
        return dataclasses.replace(config, project=".", words=self._getExtraPath(WORDS), own=own)

    # ----- validation and information
    def _checkTogether(self) -> List[str]:
        wrong = (self.every.get() or 0) < 0
        return [f"Update interval is {self.every.get()} s; it must be 0 or more."] if wrong else []
