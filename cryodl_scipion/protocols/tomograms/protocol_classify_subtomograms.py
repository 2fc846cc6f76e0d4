# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell which class each subtomogram belongs to."""

from typing import Any, Dict, List, Sequence

from pyworkflow.protocol.params import Form
from tomo.objects import SetOfSubTomograms

from ...convert.tomograms.subtomogram_sets import appendUnknown
from ...convert.tomograms.subtomograms import UNKNOWN, classNumbers
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..checks import checkModelFolder
from ..form_parts import addPointer, notOnForm
from .subtomogram_words import classifiedLines, classifyingInWords, subtomogramCitations
from .subtomograms_base import CLASSES, UNKNOWN_SET, SubtomogramsBase
from .tomogram_checks import checkSubtomograms

KIND = "classifier"


class CryodlProtClassifySubtomograms(SubtomogramsBase):
    """Classify subtomograms with a trained model.

    In: subtomograms and a model of *cryodl - train subtomogram classifier*. Out: classes, with averages that are
    compensated for the missing wedge; each subtomogram has the probability of every class, and angles and shifts
    where the network finds them. Those with the highest out-of-distribution scores are rejected, into a set of
    their own.
    """

    _label = "classify subtomograms"
    _CONFIG = contract.ClassifySubtomogramsConfig
    NOT_ON_FORM = notOnForm(
        "output", "device", "threads", subtomograms="written from the input set", model="the model field"
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addSubtomogramsParam(
            form, "Subtomograms to classify. If their box or pixel size differs from the model's, they are resampled."
        )
        addPointer(
            form,
            "inputModel",
            "CryodlModel",
            "Model",
            "A classifier of this project, trained or imported.",
            important=True,
        )
        addConfigParams(form, self._CONFIG, ["rejected_fraction", "averages", "ground_truth"])
        self._addTiltParams(form)
        addConfigParams(form, self._CONFIG, ["contrast", "batch_size"])
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.classifyStep, self._settings())
        self._insertFunctionStep(self.createOutputStep, self._settings(), needsGPU=False)

    def classifyStep(self, settings: Dict[str, Any]) -> None:
        self._writeInput(classes=self.groundTruth.get())
        self._runOnce(self._config(**self._engineValues()), *self._filesMade())

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        made, card = self._result().outputs, contract.read_card(self.inputModel.get().getFolder(), KIND)
        numbers = card.get("class_numbers") or range(1, len(card["classes"]) + 1)
        names = dict(zip(numbers, map(str, card["classes"])))
        averages = {number: made.averages[name] for number, name in names.items() if name in (made.averages or {})}
        for output in self._defineClasses(made.subtomograms, names, averages).values():
            self._defineSourceRelation(self.inputModel, output)
        if made.counts.get(UNKNOWN):
            unknown = SetOfSubTomograms.create(self._getPath(), template="unknown%s.sqlite")
            unknown.copyInfo(self.inputSubtomograms.get())
            unknown.setObjComment("Rejected because of a high out-of-distribution score.")
            appendUnknown(unknown, self.inputSubtomograms.get(), made.subtomograms)
            self._defineOutputs(**{UNKNOWN_SET: unknown})
            self._defineSourceRelation(self.inputSubtomograms, unknown)

    # ----- what the steps share
    def _outputFile(self) -> str:
        return self._getExtraPath("classified.star")

    def _engineValues(self) -> Any:
        return dict(
            subtomograms=self._starFile(self.inputSubtomograms.get()),
            output=self._outputFile(),
            model=self.inputModel.get().getFolder(),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        subtomograms = self.inputSubtomograms.get()
        errors = checkSubtomograms(subtomograms) + checkModelFolder(self.inputModel.get().getFolder(), KIND)
        if not errors and self.groundTruth.get() and set(classNumbers(subtomograms)) == {0}:
            errors.append(
                'The subtomograms have no classes to compare with. Set "Compare with the input\'s classes" to No.'
            )
        return errors

    def _warnings(self) -> List[str]:
        subtomograms, card = self.inputSubtomograms.get(), self._card()
        if subtomograms is None or card is None or not subtomograms.getSamplingRate():
            return []
        own, theirs = subtomograms.getSamplingRate(), card["pixel_size"]
        return (
            [f"The subtomograms have {own:.4g} Å/px, the model works at {theirs:.4g} Å/px: they are resampled."]
            if abs(theirs / own - 1) > 0.01
            else []
        )

    def _card(self) -> Any:
        """The model's card; None without one, or if it is gone, which must not hide what was made with it."""
        model = self.inputModel.get()
        try:
            return None if model is None else contract.read_card(model.getFolder(), KIND)
        except ValueError:
            return None

    def _tell(self, results: Sequence[Result]) -> List[str]:
        if getattr(self, CLASSES, None) is None:
            return ["No classes yet."]
        return classifiedLines(self._result().outputs)

    def _methods(self) -> List[str]:
        if getattr(self, CLASSES, None) is None:
            return []
        return [classifyingInWords(self._result().outputs, self._card(), self._result())]

    def _citations(self) -> List[str]:
        return subtomogramCitations((self._card() or {}).get("network"))
