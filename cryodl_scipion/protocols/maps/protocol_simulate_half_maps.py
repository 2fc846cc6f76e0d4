# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulate half-maps of an atomic model, of which the truth is known."""

from typing import Any, Dict, List, Sequence

from pwem.objects import AtomStruct, Volume
from pyworkflow.protocol.params import Form

from ...convert.maps.maps import headerOrigin, originTransform
from ...convert.structures import structureFileOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...engine.cryodl.contract.maps.simulating import SimulateHalfMapsOutputs
from ...form import addConfigParams
from ..form_parts import notOnForm
from .map_words import simulatedInWords, simulatedLines
from .maps_base import MapsBase


class CryodlProtSimulateHalfMaps(MapsBase):
    """Simulate two half-maps of an atomic model with the imperfections of real ones, and the ground truth.

    In: an atomic model. Out: the whole map with its two half-maps (blurred, noisy, with flexible parts and unevenly
    spread orientations), the ground truth without noise and blur, and the model in their frame with the B-factors
    that its atoms were blurred by. For tests of map improvement and of measures, which need the ground truth.
    """

    _label = "simulate half-maps"
    _CONFIG = contract.SimulateHalfMapsConfig
    NOT_ON_FORM = notOnForm("output", "threads", structure="the input model")

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addModelParam(
            form,
            "inputStructure",
            "Atomic model. Its atoms are used as they are in the file; no biological assembly is built.",
        )
        addConfigParams(
            form,
            self._CONFIG,
            [
                "resolution",
                "pixel_size",
                "box",
                "b_factor",
                "flexibility",
                "anisotropy",
                "detergent",
                "side_chains",
                "solvent",
                "carboxylates",
                "sharpen",
                "seed",
            ],
        )
        form.addParallelSection(threads=2, mpi=0)

    def usesGpu(self) -> bool:
        return False

    # ----- steps
    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.simulateStep, self._settings(), needsGPU=False)
        self._insertFunctionStep(self.createOutputStep, self._settings(), needsGPU=False)

    def simulateStep(self, settings: Dict[str, Any]) -> None:
        files = [f"{self._prefix()}_{name}.mrc" for name in ("half1", "half2", "full", "truth")]
        self._runOnce(self._config(**self._engineValues()), *files)

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        made = self._result().outputs
        full, ground_truth, structure = (
            self._volume(made, "full"),
            self._volume(made, "ground_truth"),
            AtomStruct(made.structure),
        )
        full.setHalfMaps([made.half1, made.half2])
        ground_truth.setObjComment("Density of the model, without noise and blur.")
        self._defineOutputs(outputVolume=full, outputTruth=ground_truth, outputStructure=structure)
        for output in (full, ground_truth, structure):
            self._defineSourceRelation(self.inputStructure, output)

    def _volume(self, made: SimulateHalfMapsOutputs, name: str) -> Volume:
        volume = Volume(location=made[name])
        volume.setSamplingRate(made.pixel_size)
        volume.setOrigin(originTransform(headerOrigin(made[name], made.pixel_size)))
        return volume

    def _prefix(self) -> str:
        return self._getExtraPath("simulated")

    def _engineValues(self) -> Any:
        return dict(
            structure=structureFileOf(self.inputStructure.get()),
            output=self._prefix(),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        return self._checkStructure(self.inputStructure.get())

    def _tell(self, results: Sequence[Result]) -> List[str]:
        result = self._result()
        if result is None or getattr(self, "outputVolume", None) is None:
            return ["No maps yet."]
        return simulatedLines(result.outputs, self._structureName(self.inputStructure.get()))

    def _methods(self) -> List[str]:
        result = self._result()
        if result is None or getattr(self, "outputVolume", None) is None:
            return []
        return [simulatedInWords(result.outputs, self._structureName(self.inputStructure.get()), self._engineResults())]
