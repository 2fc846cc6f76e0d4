# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure micrographs as they come, and split them into good and bad ones."""

import os
from typing import Any, Dict, List, Sequence, Tuple

from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.protocol import ProtStreamingBase
from pyworkflow.protocol.constants import STEPS_PARALLEL
from pyworkflow.protocol.params import Form

from ...convert.arriving import ArrivingMicrographs, checkPicks
from ...convert.micrographs.assessments import LIMITS, setMetrics, splitLines
from ...convert.micrographs.picks import DIAMETER
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..batches import ArrivingBatches
from ..checks import checkDiameter, checkMicrographs
from ..form_parts import addPointer, notOnForm
from ..growing_outputs import appendItems
from ..protocol_base import CryodlProtBase

GOOD, BAD = "goodMicrographs", "badMicrographs"


class CryodlProtAssess(CryodlProtBase, ArrivingBatches, EMProtocol, ProtStreamingBase):
    """Assess micrographs: measure each and split them into good and bad.

    In: micrographs (also while they are still arriving) and, if there are any, coordinates picked on them, which may be
    still growing as well. Out: two sets of micrographs, good and bad by the limits of the form, with the metrics as
    attributes: particles, mean score, contaminated and carbon area in %, and the unevenness of the ice.
    A stopped run continues where it was.
    """

    _label = "assess micrographs"
    _devStatus = BETA
    _CONFIG = contract.AssessMicrographsConfig
    _OUTPUTS, _WORK = (GOOD, BAD), "assess"
    _MADE = "assessed"
    NOT_ON_FORM = notOnForm(
        "output",
        "threads",
        micrographs="the input set",
        pixel_size="the micrographs' sampling rate",
        coordinates="written from the input set",
        names="made from the micrographs' names",
    )
    stepsExecutionMode = STEPS_PARALLEL

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addMicrographsParam(form, "Micrographs to assess.")
        addPointer(
            form,
            "inputCoordinates",
            "SetOfCoordinates",
            "Coordinates",
            "Picks on these micrographs, preferably with scores; micrographs are matched by name. During picking, "
            "each micrograph waits for its picks.\n\nEmpty: particles and scores are not measured.",
            allowsNull=True,
        )
        addConfigParams(
            form,
            self._CONFIG,
            ["particle_diameter"],
            particle_diameter=dict(more="\n\nEmpty: the diameter stored with the coordinates by cryodl."),
        )
        form.addSection("Limits")
        addConfigParams(form, self._CONFIG, LIMITS)
        self._addBatchParams(form, "While micrographs arrive, it starts with those available.")

    def usesGpu(self) -> bool:
        return False  # no network runs

    def stepsGeneratorStep(self) -> None:
        self._arriving = ArrivingMicrographs(self.inputMicrographs.get(), self.inputCoordinates.get())
        self._insertBatches(self.assessStep, self.outputStep)

    def assessStep(self, names: Sequence[str]) -> None:
        """Run the engine on a batch. It writes files only."""
        with self._lock:
            micrographs, files = self._batchItems(names)
            self._arriving.writePicks(self._picksFolder(), micrographs)
        config = self._config(
            **dict(self._engineValues(), output=os.path.join(self._batchFolder(micrographs), "figures"), **files)
        )
        try:
            self._runEngine(config, self._batchFolder(micrographs))
        except contract.AllSkipped as error:
            self._noteAllSkipped(config, self._batchFolder(micrographs), error, metrics={}, good=[], bad=[])

    def outputStep(self, names: Sequence[str]) -> None:
        """Append a batch to the sets; micrographs that they have already are left alone."""
        with self._lock:
            micrographs, done = self._arriving.items(names), self._doneNames()
            result = self._batchResult(micrographs)
            verdicts = {name: output for output, key in ((GOOD, "good"), (BAD, "bad")) for name in result.outputs[key]}
            engineNames = self._arriving.engineNames()
            for output in (GOOD, BAD):
                chosen = [
                    m
                    for m in micrographs
                    if m.getMicName() not in done and verdicts.get(engineNames[m.getObjId()]) == output
                ]
                for micrograph in chosen:
                    setMetrics(micrograph, result.outputs.metrics[engineNames[micrograph.getObjId()]])
                if chosen:
                    appendItems(self, output, self.inputMicrographs, chosen)

    def _picksFolder(self) -> str:
        return self._getExtraPath("coordinates")

    def _settings(self) -> Dict[str, Any]:
        """What decides the verdicts: a run must not be continued with another of these."""
        config = contract.config_to_dict(self._config(**self._engineValues()))
        for name in ("names", "output", "threads", "coordinates", "micrographs"):
            config.pop(name)
        coordinates = self.inputCoordinates.get()
        return dict(
            config,
            set_of_micrographs=self.inputMicrographs.get().getFileName(),
            set_of_coordinates=None if coordinates is None else coordinates.getFileName(),
        )

    def _diameter(self) -> float:
        coordinates = self.inputCoordinates.get()
        if self.particleDiameter.get() or coordinates is None or not coordinates.hasAttribute(DIAMETER):
            return self.particleDiameter.get()
        return getattr(coordinates, DIAMETER).get()

    def _engineValues(self) -> Any:
        micrographs = self.inputMicrographs.get()
        return dict(
            micrographs=(micrographs.getFileName(),),
            names=(),
            pixel_size=micrographs.getSamplingRate(),
            particle_diameter=self._diameter(),
            output=self._getExtraPath("batches"),
            coordinates=None if self.inputCoordinates.get() is None else self._picksFolder(),
            threads=self.binThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        micrographs = self.inputMicrographs.get()
        errors = checkMicrographs(micrographs) or self._checkCoordinates()
        errors += self._checkBatches()
        if errors:
            return errors
        if self._diameter() is None:
            return ["Particle diameter is empty, and there are no coordinates that store it. Give the diameter, in Å."]
        return checkDiameter(self._diameter(), micrographs) + self._checkContinuation()

    def _checkCoordinates(self) -> List[str]:
        coordinates = self.inputCoordinates.get()
        if coordinates is None:
            unlimited = self.minimumParticles.get() is None and self.minimumScore.get() is None
            return (
                []
                if unlimited
                else [
                    "Minimum number of particles or Minimum mean score is set, but there are no Coordinates to "
                    "measure them on. Choose Coordinates, or leave both limits empty."
                ]
            )
        problem = checkPicks(self.inputMicrographs.get(), coordinates)
        return [problem] if problem else []

    def _tell(self, results: Sequence[Result]) -> List[str]:
        good, bad = self._counts()
        return splitLines(good, bad, self._config(**self._engineValues()))

    def _counts(self) -> Tuple[int, int]:
        """Good and bad micrographs by now."""
        good, bad = (getattr(self, name, None) for name in (GOOD, BAD))
        return 0 if good is None else good.getSize(), 0 if bad is None else bad.getSize()

    def _methods(self) -> List[str]:
        if not any(self._counts()):
            return []
        first, *limits = self._tell([])
        return [
            f"Micrographs were split into {first.replace('*', '')} by these limits: "
            f"{'; '.join(map(str.strip, limits)) or 'none'}."
        ]

    def _citations(self) -> List[str]:
        return ["cryodl"]
