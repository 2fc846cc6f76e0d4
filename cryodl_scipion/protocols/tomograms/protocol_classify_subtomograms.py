# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell which class each subtomogram belongs to, or group them by what they show."""

from typing import Any, Dict, List

from tomo.objects import SetOfSubTomograms

from ...convert.tomograms.subtomograms import ENABLED, UNKNOWN, appendUnknown, classNumbers
from ...engine.cryodl import contract
from .. import engine_protocol, kinds
from .tomogram_kinds import TILTS, UNKNOWN_SET, Subtomograms, SubtomogramsBase

KIND = "classifier"
_MODEL, _NONE = "inputModel is not None", "inputModel is None"


class CryodlProtClassifySubtomograms(
    SubtomogramsBase, engine_protocol.OneRun[contract.ClassifySubtomogramsConfig, contract.ClassifySubtomogramsOutputs]
):
    """Classify subtomograms with a trained model, or without labels, by what they show.

    In: subtomograms, and a model of *cryodl - train on tomograms* or none. Out: classes, with averages that are
    compensated for the missing wedge. With a model each subtomogram has the probability of every class, and angles and
    shifts where the network finds them; those with the highest out-of-distribution scores are rejected, into a set of
    their own. Without one, subtomograms are clustered, best with the angles of an alignment: of a pair only those
    Fourier coefficients are compared that both have measured."""

    _label = "classify subtomograms"
    OUTPUT, NOTHING_YET = "classified.star", "No classes yet."
    FORM = (
        Subtomograms("Subtomograms to classify. If box or pixel size differs from a model's, they are resampled."),
        kinds.ModelOfProject(
            "inputModel",
            "A classifier of this project, trained or imported.",
            KIND,
            empty="they are clustered without labels",
        ),
        kinds.Options("rejected_fraction", "ground_truth", when=_MODEL),
        kinds.Options("classes", "embedding", "align", "particle_diameter", "resolution", when=_NONE),
        *TILTS,
    )

    def _makeOutputs(self, made: contract.ClassifySubtomogramsOutputs) -> Dict[str, Any]:
        card = self._modelCard()
        if card is None:
            names = {int(number): f"cluster {number}" for number in made.counts}
            return self._classesOf(made.subtomograms, names, {int(n): path for n, path in made.averages.items()})
        names = dict(zip(card.get("class_numbers") or range(1, len(card["classes"]) + 1), map(str, card["classes"])))
        averages = {number: made.averages[name] for number, name in names.items() if name in made.averages}
        outputs = self._classesOf(made.subtomograms, names, averages)
        if made.counts.get(UNKNOWN):
            outputs[UNKNOWN_SET] = unknown = SetOfSubTomograms.create(self._getPath(), template="unknown%s.sqlite")
            unknown.copyInfo(self.inputSubtomograms.get())
            unknown.setObjComment("Rejected because of a high out-of-distribution score.")
            appendUnknown(unknown, self.inputSubtomograms.get(), made.subtomograms)
        return outputs

    def _checkTogether(self) -> List[str]:
        config, count = self._config(), len(self.inputSubtomograms.get().getUniqueValues("id", ENABLED))
        return kinds.sayIf(
            not config.model and count < 2 * (config.classes or 1),
            f"There are {count} subtomograms for {config.classes} classes; at least twice as many as classes are "
            "needed.",
        ) or kinds.sayIf(
            config.ground_truth and set(classNumbers(self.inputSubtomograms.get())) == {0},
            'The subtomograms have no classes to compare with. Set "Compare with the input\'s classes" to No.',
        )

    def _citations(self) -> List[str]:
        return super()._citations() if self._modelCard() else ["cryodl", "Xu2012"]
