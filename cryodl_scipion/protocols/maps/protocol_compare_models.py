# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare an atomic model that was built into a map with a reference."""

from typing import List, Optional, Sequence

from ...engine.cryodl.contract import CompareModelsConfig, Result
from ...engine.cryodl.contract.maps.evaluating import CompareModelsOutputs
from ..engine_protocol import OneRun
from ..kinds import AtomicModel
from .map_words import comparedInWords, comparedLines
from .maps_base import MapsBase


class CryodlProtCompareModels(OneRun[CompareModelsConfig, CompareModelsOutputs], MapsBase):
    """Compare an atomic model that was built into a map with a reference.

    In: the model to judge, and a reference in the same frame; the models are not superposed. Out: how many residues
    of the reference are matched by C-alpha (or P) atoms, how many of these have the right name, their RMSD,
    fragments, and how many built residues match nothing, in the summary and as a table of the matched residues.
    Build into a map before and after improvement, and compare both with the deposited model.
    """

    _label = "compare built models"
    OUTPUT, NOTHING_YET = "matched_residues.csv", "Not compared yet."
    CITES = ("Liebschner2019",)
    FORM = (
        AtomicModel("inputStructure", "Atomic model to evaluate, built by any program.", label="Built model"),
        AtomicModel(
            "inputReference", "Reference model, such as a deposited one.", label="Reference", to=("reference",)
        ),
    )

    def getTable(self) -> str:
        """CSV file of the matched residues."""
        return self._output()

    def getCompared(self) -> Optional[CompareModelsOutputs]:
        """Result.outputs, None before they are there."""
        return self._made()

    # ----- information
    def _tell(self, results: Sequence[Result]) -> List[str]:
        made = self._made()
        return [self.NOTHING_YET] if made is None else comparedLines(made)

    def _methods(self) -> List[str]:
        made = self._made()
        return [] if made is None else [comparedInWords(made, self._config().distance, self._engineResults())]
