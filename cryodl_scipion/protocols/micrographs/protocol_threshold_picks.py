# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose another score threshold for picks, without running the network again."""

from typing import Any, List

from pwem.objects import SetOfCoordinates
from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ...convert.micrographs import coordinates as convert
from ...convert.micrographs.picks import CANDIDATES, DIAMETER, hasCandidates, scoredPicks
from ...engine.cryodl.contract import counted
from ..form_parts import addPointer
from ..inputs import PluginProtocol, WithoutEngine


class CryodlProtThresholdPicks(WithoutEngine, PluginProtocol, EMProtocol):
    """Choose another score threshold for particles picked by cryodl.

    In: coordinates of `cryodl - pick particles`. Out: those with at least the new score. The threshold may be lower
    than the one used for picking: the weaker candidates were kept in files. The wizard shows the picks on a micrograph
    while the threshold moves. The network does not run again, so this takes seconds.
    """

    _label = "filter picks by score"
    _devStatus = BETA
    _possibleOutputs = {"outputCoordinates": SetOfCoordinates}

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        addPointer(
            form,
            "inputCoordinates",
            "SetOfCoordinates",
            "Picked coordinates",
            "Coordinates that cryodl picked: each has a score.",
            important=True,
        )
        form.addParam(
            "threshold",
            params.FloatParam,
            default=0.5,
            label="Score threshold",
            important=True,
            help="Picks with a lower score are left out. From 0 to 1. The wizard shows what it does.",
        )

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.filterStep, self.threshold.get(), needsGPU=False)

    def filterStep(self, threshold: Any) -> None:
        source = self.inputCoordinates.get()
        output = self._createSetOfCoordinates(source.getMicrographs(asPointer=True))
        output.setBoxSize(source.getBoxSize())
        for name in (CANDIDATES, DIAMETER):
            if source.hasAttribute(name):
                setattr(output, name, getattr(source, name).clone())
        for micrograph, picks in scoredPicks(source):
            convert.appendPicks(output, micrograph, [pick for pick in picks if pick[2] >= threshold])
        self._defineOutputs(outputCoordinates=output)
        self._defineSourceRelation(self.inputCoordinates, output)

    def _validate(self) -> List[str]:
        coordinates, threshold = self.inputCoordinates.get(), self.threshold.get()
        if coordinates is None:
            return []  # pyworkflow names it
        if threshold is None or not 0 <= threshold <= 1:
            return [f"Score threshold is {threshold}; it must be a number from 0 to 1."]
        if not hasCandidates(coordinates):
            if coordinates.getSize() == 0:
                return [
                    "The set of coordinates is empty and has no stored candidates. Choose the output of "
                    "cryodl - pick particles."
                ]
            if convert.scoreOf(coordinates.getFirstItem()) is None:
                return ["The coordinates have no scores. Choose coordinates picked by cryodl."]
        return []

    def _warnings(self) -> List[str]:
        coordinates = self.inputCoordinates.get()
        if coordinates is None or hasCandidates(coordinates):
            return []
        return [
            "The stored candidates of these coordinates are not there (the set is a subset, or the run that picked "
            "them is gone). Picks can be removed but no weaker ones added."
        ]

    def _summary(self) -> List[str]:
        output = getattr(self, "outputCoordinates", None)
        if output is None:
            return ["No coordinates yet."]
        source = self.inputCoordinates.get()
        lines = [f"*{counted(output.getSize(), 'particle')}* with a score of at least {self.threshold.get():.3f}"]
        if source is not None:
            lines.append(f"The input has {source.getSize()}.")
        return lines

    def _methods(self) -> List[str]:
        output = getattr(self, "outputCoordinates", None)
        return (
            []
            if output is None
            else [f"{output.getSize()} particles with a score of at least {self.threshold.get():.3f} were kept."]
        )

    def _citations(self) -> List[str]:
        return ["cryodl"]
