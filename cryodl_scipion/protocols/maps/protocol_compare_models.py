# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare an atomic model that was built into a map with a reference."""

from typing import Any, Dict, List, Optional, Sequence

from pyworkflow.protocol.params import Form

from ...convert.structures import structureFileOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...engine.cryodl.contract.maps.evaluating import CompareModelsOutputs
from ...form import addConfigParams
from ..form_parts import notOnForm
from .map_words import comparedInWords, comparedLines
from .maps_base import MapsBase


class CryodlProtCompareModels(MapsBase):
    """Compare an atomic model that was built into a map with a reference.

    In: the model to judge, and a reference in the same frame; the models are not superposed. Out: how many residues
    of the reference are matched by C-alpha (or P) atoms, how many of these have the right name, their RMSD,
    fragments, and how many built residues match nothing, in the summary and as a table of the matched residues.
    Build into a map before and after improvement, and compare both with the deposited model.
    """

    _label = "compare built models"
    _CONFIG = contract.CompareModelsConfig
    NOT_ON_FORM = notOnForm(
        "output", structure="the input model", reference="the reference model", json="the results are files"
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addModelParam(
            form, "inputStructure", "Atomic model to evaluate, built by any program.", label="Built model"
        )
        self._addModelParam(form, "inputReference", "Reference model, such as a deposited one.", label="Reference")
        addConfigParams(form, self._CONFIG, ["distance"])
        form.addParallelSection(threads=0, mpi=0)

    def usesGpu(self) -> bool:
        return False

    # ----- steps
    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.compareStep, self._settings(), needsGPU=False)

    def compareStep(self, settings: Dict[str, Any]) -> None:
        self._runOnce(self._config(**self._engineValues()), self.getTable())

    def getTable(self) -> str:
        """CSV file of the matched residues."""
        return self._getExtraPath("matched_residues.csv")

    def getCompared(self) -> Optional[CompareModelsOutputs]:
        """Result.outputs, None before they are there."""
        result = self._result()
        return None if result is None else result.outputs

    def _engineValues(self) -> Any:
        return dict(
            structure=structureFileOf(self.inputStructure.get()),
            output=self.getTable(),
            json=False,
            reference=structureFileOf(self.inputReference.get()),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        return self._checkStructure(self.inputStructure.get()) + self._checkStructure(self.inputReference.get())

    def _tell(self, results: Sequence[Result]) -> List[str]:
        made = self.getCompared()
        return ["Not compared yet."] if made is None else comparedLines(made)

    def _methods(self) -> List[str]:
        made = self.getCompared()
        return [] if made is None else [comparedInWords(made, self.distance.get(), self._engineResults())]

    def _citations(self) -> List[str]:
        return ["cryodl", "Liebschner2019"]
