# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a classifier of subtomograms."""

import dataclasses
from typing import Any, Dict, List

from ...convert.tomograms.subtomograms import classNames, classNumbers
from ...engine.cryodl import contract
from ...engine.cryodl.contract import TrainClassifierConfig, counted
from ...engine.cryodl.contract.tomograms.classifying import TrainClassifierOutputs
from ..kinds import Options, Section
from ..training import TrainRun
from .subtomogram_words import classifierInWords, classifierLines, subtomogramCitations
from .subtomograms_base import SubtomogramsBase
from .tomogram_kinds import TILTS, LabelledSubtomograms

# Networks that are trained by gradients, unlike the likelihood.
_LEARNS = f"network != {contract.CLASSIFIER_NETWORKS.index('likelihood')}"


class CryodlProtTrainClassifier(TrainRun[TrainClassifierConfig, TrainClassifierOutputs], SubtomogramsBase):
    """Train a classifier of subtomograms on labelled ones.

    In: classes of subtomograms (of another classification, or chosen by hand), or subtomograms that know their class,
    such as simulated ones. Out: a model for *cryodl - classify subtomograms*. Its card says what it was trained on and
    how well it does on subtomograms held out. A stopped run continues where it was.
    """

    _label = "train subtomogram classifier"
    _KIND = "classifier"
    FORM = (
        LabelledSubtomograms(
            "Classes of subtomograms, or subtomograms with class numbers, such as the output of *cryodl - simulate "
            "subtomograms*.",
            classes=True,
        ),
        Options(
            "class_names",
            help="Names of the classes, in the order of their numbers, separated by commas.\n\nEmpty: those of "
            "the input, else class 1, class 2, ...",
        ),
        Options("particle_diameter", "resolution"),
        *TILTS,
        Section("Training"),
        Options("network"),
        Options("steps", "patience", "batch_size", "learning_rate", when=_LEARNS),
    )

    def _completed(self, config: TrainClassifierConfig) -> TrainClassifierConfig:
        subtomograms = self.inputSubtomograms.get()
        if config.class_names or subtomograms is None:
            return config
        return dataclasses.replace(config, class_names=tuple(classNames(subtomograms, self._numbers())))

    def _numbers(self) -> List[int]:
        """Numbers of the classes that there are, rising."""
        return sorted(number for number in classNumbers(self.inputSubtomograms.get()) if number > 0)

    # ----- validation and information
    def _checkTogether(self) -> List[str]:
        given, numbers = self._config().class_names, self._numbers()
        if not given or len(given) == len(numbers):
            return []
        return [
            f"Names of the classes is {', '.join(given)}, {counted(len(given), 'name')}; the classes are "
            f"{', '.join(map(str, numbers))}. Give one name for each, separated by commas."
        ]

    def _cardLines(self, card: Dict[str, Any]) -> List[str]:
        return classifierLines(card)

    def _cardInWords(self, card: Dict[str, Any]) -> str:
        return classifierInWords(card)

    def _citations(self) -> List[str]:
        return subtomogramCitations(self._config().network)
