# SPDX-License-Identifier: GPL-3.0-or-later
"""Write one page on where the project stands, again and again while its runs work."""

import json
import os
import time
from typing import Any, Dict, List

import pyworkflow.utils as pwutils
from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.object import String
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ..convert.runs import wordsOfRuns
from ..engine.cryodl import contract
from ..form import addConfigParams
from .form_parts import notOnForm
from .protocol_base import RESULT_FILE, CryodlProtBase

PAGE, WORDS = "report.html", "words.json"
LONGEST = 24  # h
_LOOK = 5  # s between two looks whether it is time


class CryodlProtReport(CryodlProtBase, EMProtocol):
    """Write one HTML page on where this project stands: numbers over time, latest picks, classes, FSC, alarms.

    In: nothing; it reads the other runs of the project, and changes nothing of them. Out: extra/report.html, one file
    that any browser shows and that can be sent as it is. It is written anew while other runs work, and a last time when
    all have ended; stop it whenever you like.
    """

    _label = "write report"
    _devStatus = BETA
    _CONFIG = contract.ReportConfig
    NOT_ON_FORM = notOnForm(
        "output",
        project="this project",
        folder="this project is read",
        words="written from the project's runs",
        own="this run",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Report")
        addConfigParams(form, self._CONFIG, ["micrographs", "refresh"])
        form.addParam(
            "every",
            params.IntParam,
            default=60,
            label="Update interval (s)",
            help="Interval at which the report is written again while other runs are active. 0: it is written once.",
        )
        form.addParam(
            "longest",
            params.FloatParam,
            default=LONGEST,
            label="Stop after (h)",
            help="The protocol stops after this time, even if other runs are still active.",
        )

    def usesGpu(self) -> bool:
        return False  # no network runs

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
        self._runEngine(self._config(**self._engineValues()), self._getExtraPath("report"))
        return self._result().outputs.working

    def getPage(self) -> str:
        """Path of the page."""
        return self._getExtraPath(PAGE)

    def _engineValues(self) -> Dict[str, Any]:
        return dict(
            output=self.getPage(),
            project=".",
            folder=None,
            words=self._getExtraPath(WORDS),
            own=os.path.basename(self._getPath()),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        wrong = (self.every.get() or 0) < 0
        return [f"Update interval is {self.every.get()} s; it must be 0 or more."] if wrong else []

    def _result(self) -> Any:
        path = os.path.join(self._getExtraPath("report"), RESULT_FILE)
        return contract.Result.read(path) if os.path.exists(path) else None

    def _summary(self) -> List[str]:
        result = self._result()
        if result is None:
            return ["No report yet."]
        alarms = result.outputs.alarms
        return [f"*Report on {contract.counted(result.outputs.runs, 'run')}*: {self.getPage()}"] + [
            f"Alarm: {alarm}" for alarm in alarms
        ]

    def _methods(self) -> List[str]:
        return []  # it makes nothing of the data

    def _citations(self) -> List[str]:
        return ["cryodl"]
