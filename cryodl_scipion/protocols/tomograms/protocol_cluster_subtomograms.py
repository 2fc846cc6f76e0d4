# SPDX-License-Identifier: GPL-3.0-or-later
"""Group subtomograms by what they show, without labels."""

from typing import Any, Dict, List, Sequence

from pyworkflow.protocol.params import Form

from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..form_parts import notOnForm
from .subtomogram_words import CONSTRAINED, clusteredLines, clusteringInWords
from .subtomograms_base import CLASSES, SubtomogramsBase
from .tomogram_checks import checkSubtomograms


class CryodlProtClusterSubtomograms(SubtomogramsBase):
    """Group subtomograms by what they show, without labels.

    In: subtomograms, best with the angles of an alignment. Of a pair only those Fourier coefficients are compared
    that both have measured. Out: classes with averages that are compensated for the missing wedge, and the position
    of each subtomogram in the embedding.
    """

    _label = "cluster subtomograms"
    _CONFIG = contract.ClusterSubtomogramsConfig
    NOT_ON_FORM = notOnForm("output", "device", "threads", subtomograms="written from the input set")

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addSubtomogramsParam(form, "Subtomograms to cluster.")
        addConfigParams(
            form, self._CONFIG, ["classes", "embedding", "align", "components", "particle_diameter", "resolution"]
        )
        self._addTiltParams(form)
        addConfigParams(form, self._CONFIG, ["compensate", "contrast", "seed"])
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.clusterStep, self._settings())
        self._insertFunctionStep(self.createOutputStep, self._settings(), needsGPU=False)

    def clusterStep(self, settings: Dict[str, Any]) -> None:
        self._writeInput()
        self._runOnce(self._config(**self._engineValues()), *self._filesMade())

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        made = self._result().outputs
        self._defineClasses(
            made.subtomograms,
            {int(number): f"cluster {number}" for number in made.counts},
            {int(number): path for number, path in (made.averages or {}).items()},
        )

    # ----- what the steps share
    def _outputFile(self) -> str:
        return self._getExtraPath("clustered.star")

    def _engineValues(self) -> Any:
        return dict(
            subtomograms=self._starFile(self.inputSubtomograms.get()),
            output=self._outputFile(),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        subtomograms = self.inputSubtomograms.get()
        errors = checkSubtomograms(subtomograms)
        if not errors and subtomograms.getSize() < 2 * (self.classes.get() or 1):
            errors.append(
                f"There are {subtomograms.getSize()} subtomograms for {self.classes.get()} classes; at least "
                "twice as many as classes are needed."
            )
        return errors

    def _tell(self, results: Sequence[Result]) -> List[str]:
        return ["No classes yet."] if getattr(self, CLASSES, None) is None else clusteredLines(self._result().outputs)

    def _methods(self) -> List[str]:
        if getattr(self, CLASSES, None) is None:
            return []
        return [
            clusteringInWords(
                self._result().outputs, self.getEnumText("embedding"), self.compensate.get(), self._result()
            )
        ]

    def _citations(self) -> List[str]:
        return ["cryodl"] + list(CONSTRAINED if self.compensate.get() else ())
