# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell which class each subtomogram belongs to."""

from typing import Any, Dict, List, Sequence

from tomo.objects import SetOfSubTomograms

from ...convert.tomograms.subtomogram_sets import appendUnknown
from ...convert.tomograms.subtomograms import UNKNOWN, classNumbers
from ...engine.cryodl import contract
from ...engine.cryodl.contract import ClassifySubtomogramsConfig, Result
from ...engine.cryodl.contract.tomograms.classifying import ClassifySubtomogramsOutputs
from ..engine_protocol import OneRun
from ..kinds import ModelOfProject, Options
from .subtomogram_words import classifiedLines, classifyingInWords, subtomogramCitations
from .subtomograms_base import CLASSES, UNKNOWN_SET, SubtomogramsBase
from .tomogram_kinds import TILTS, Subtomograms

KIND = "classifier"


class CryodlProtClassifySubtomograms(SubtomogramsBase, OneRun[ClassifySubtomogramsConfig, ClassifySubtomogramsOutputs]):
    """Classify subtomograms with a trained model.

    In: subtomograms and a model of *cryodl - train subtomogram classifier*. Out: classes, with averages that are
    compensated for the missing wedge; each subtomogram has the probability of every class, and angles and shifts
    where the network finds them. Those with the highest out-of-distribution scores are rejected, into a set of
    their own.
    """

    _label = "classify subtomograms"
    OUTPUT, NOTHING_YET = "classified.star", "No classes yet."
    FORM = (
        Subtomograms(
            "Subtomograms to classify. If their box or pixel size differs from the model's, they are resampled."
        ),
        ModelOfProject("inputModel", "A classifier of this project, trained or imported.", KIND),
        Options("rejected_fraction", "averages", "ground_truth"),
        *TILTS,
    )

    def _writesClasses(self) -> bool:
        return self._config().ground_truth

    def _makeOutputs(self, made: ClassifySubtomogramsOutputs) -> Dict[str, Any]:
        card = contract.read_card(self.inputModel.get().getFolder(), KIND)
        numbers = card.get("class_numbers") or range(1, len(card["classes"]) + 1)
        names = dict(zip(numbers, map(str, card["classes"])))
        averages = {number: made.averages[name] for number, name in names.items() if name in (made.averages or {})}
        outputs = self._classesOf(made.subtomograms, names, averages)
        if made.counts.get(UNKNOWN):
            outputs[UNKNOWN_SET] = unknown = SetOfSubTomograms.create(self._getPath(), template="unknown%s.sqlite")
            unknown.copyInfo(self.inputSubtomograms.get())
            unknown.setObjComment("Rejected because of a high out-of-distribution score.")
            appendUnknown(unknown, self.inputSubtomograms.get(), made.subtomograms)
        return outputs

    # ----- validation and information
    def _checkTogether(self) -> List[str]:
        if not self._config().ground_truth or set(classNumbers(self.inputSubtomograms.get())) != {0}:
            return []
        return ['The subtomograms have no classes to compare with. Set "Compare with the input\'s classes" to No.']

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
        made = self._made()
        return [self.NOTHING_YET] if made is None or not hasattr(self, CLASSES) else classifiedLines(made)

    def _methods(self) -> List[str]:
        made = self._made()
        if made is None or not hasattr(self, CLASSES):
            return []
        return [classifyingInWords(made, self._card(), self._result())]

    def _citations(self) -> List[str]:
        return subtomogramCitations((self._card() or {}).get("network"))
