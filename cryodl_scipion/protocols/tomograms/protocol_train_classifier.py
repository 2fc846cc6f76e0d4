# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a classifier of subtomograms."""

from typing import Any, Dict, List, Sequence

from pyworkflow.protocol.params import Form

from ...convert.tomograms.subtomograms import classNames, classNumbers
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result, counted
from ...form import addConfigParams
from ..form_parts import notOnForm
from ..training import TrainsModel
from .subtomogram_words import classifierInWords, classifierLines, subtomogramCitations
from .subtomograms_base import SubtomogramsBase
from .tomogram_checks import checkSubtomograms

# Networks that are trained by gradients, unlike the likelihood.
_LEARNS = f"network != {contract.CLASSIFIER_NETWORKS.index('likelihood')}"
_TRAINING = ["steps", "patience", "batch_size", "learning_rate"]


class CryodlProtTrainClassifier(TrainsModel, SubtomogramsBase):
    """Train a classifier of subtomograms on labelled ones.

    In: classes of subtomograms (of another classification, or chosen by hand), or subtomograms that know their class,
    such as simulated ones. Out: a model for *cryodl - classify subtomograms*. Its card says what it was trained on and
    how well it does on subtomograms held out. A stopped run continues where it was.
    """

    _label = "train subtomogram classifier"
    _KIND = "classifier"
    _CONFIG = contract.TrainClassifierConfig
    NOT_ON_FORM = notOnForm("output", "device", "threads", subtomograms="written from the input set")

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addSubtomogramsParam(
            form,
            "Classes of subtomograms, or subtomograms with class numbers, such as the "
            "output of *cryodl - simulate subtomograms*.",
            "SetOfSubTomograms,SetOfClassesSubTomograms",
        )
        addConfigParams(
            form,
            self._CONFIG,
            ["class_names", "particle_diameter", "resolution"],
            class_names=dict(
                help="Names of the classes, in the order of their numbers, separated by commas.\n\nEmpty: those of "
                "the input, else class 1, class 2, ..."
            ),
        )
        self._addTiltParams(form)
        form.addSection("Training")
        addConfigParams(
            form,
            self._CONFIG,
            ["network"] + _TRAINING + ["validation_fraction", "contrast", "seed"],
            **{name: dict(condition=_LEARNS) for name in _TRAINING},
        )
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        # The settings are the steps' argument, so that a changed one trains anew when the run is continued.
        self._insertFunctionStep(self.writeInputStep, self._settings(), needsGPU=False)
        self._insertFunctionStep(self.trainStep, self._settings())
        self._insertFunctionStep(self.createOutputStep, self._settings(), needsGPU=False)

    def writeInputStep(self, settings: Dict[str, Any]) -> None:
        self._writeInput(classes=True)

    def trainStep(self, settings: Dict[str, Any]) -> None:
        self._train(self._config(**self._engineValues()), self._getExtraPath())

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        self._defineModel([self.inputSubtomograms])

    def _engineValues(self) -> Any:
        subtomograms = self.inputSubtomograms.get()
        values = dict(
            subtomograms=self._starFile(subtomograms), output=self.getModelFolder(), threads=self.numberOfThreads.get()
        )
        return (
            values
            if (self.classNames.get() or "").strip()
            else dict(values, class_names=tuple(classNames(subtomograms, self._numbers())))
        )

    def _numbers(self) -> List[int]:
        """Numbers of the classes that there are, rising."""
        return sorted(number for number in classNumbers(self.inputSubtomograms.get()) if number > 0)

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        errors = checkSubtomograms(self.inputSubtomograms.get(), classes=True)
        if errors:
            return errors
        given, numbers = self._config(**self._engineValues()).class_names, self._numbers()
        if not given or len(given) == len(numbers):
            return []
        return [
            f"Names of the classes is {', '.join(given)}, {counted(len(given), 'name')}; the classes are "
            f"{', '.join(map(str, numbers))}. Give one name for each, separated by commas."
        ]

    def _tell(self, results: Sequence[Result]) -> List[str]:
        card = self._card()
        return ["No model yet."] if card is None else classifierLines(card)

    def _methods(self) -> List[str]:
        card = self._card()
        return [] if card is None else [classifierInWords(card)]

    def _citations(self) -> List[str]:
        return subtomogramCitations(self.getEnumText("network"))
