# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare segmentations with labels."""

import dataclasses
import os
from typing import Any, Dict, List, Sequence, Tuple

from tomo.objects import SetOfTomoMasks, TomoMask

from ...convert.tomograms.tomograms import byId, featureOf, featuresOf, tomogramsBehind
from ...engine.cryodl.contract import EvaluateSegmentationConfig, Result
from ...engine.cryodl.contract.tomograms.evaluating import EvaluateSegmentationOutputs
from ..checks import listed
from ..engine_protocol import OneRun
from ..kinds import Options
from ..protocol_base import EVALUATION_FOLDER, HasEvaluation
from .tomogram_checks import checkPaired
from .tomogram_kinds import Masks
from .tomogram_words import judgedInWords, judgedLines
from .tomograms_base import TomogramsBase


class CryodlProtEvaluateSegmentation(
    HasEvaluation, OneRun[EvaluateSegmentationConfig, EvaluateSegmentationOutputs], TomogramsBase
):
    """Compare segmentations with labels that serve as ground truth.

    In: TomoMasks to judge (labels, or scores of one feature), and TomoMasks of the same tomograms with the ground
    truth: drawn by hand, simulated, or of another method. Out: for each feature Dice coefficient, precision,
    recall, and how far the boundary is off, in the summary and as files.
    """

    _label = "evaluate segmentation"
    OUTPUT, NOTHING_YET = EVALUATION_FOLDER, "Not evaluated yet."
    FORM = (
        Masks(
            "inputMasks",
            "TomoMasks to evaluate: labels (*cryodl - merge features*), or scores of one feature (*cryodl - segment "
            "tomograms*).",
            to=("segmentations", "tomograms", "pixel_size"),
        ),
        Masks(
            "inputTruth",
            "TomoMasks of the same tomograms and of the same size, matched by name (tsId). Voxels with value 255 "
            "are not evaluated.",
            "true labels",
            label="True labels",
            to=("labels",),
        ),
        Options("label"),
        Options("threshold", when="label is not None"),
    )

    def _writtenFiles(self) -> Dict[str, Any]:
        pairs = self._pairs()
        for folder, items in zip(("segmentations", "labels"), pairs):
            self._linkVolumes(folder, items)
        behind = tomogramsBehind(pairs[0])
        if behind:
            self._linkVolumes("tomograms", pairs[0], behind)
        return {}

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        """Nothing of Scipion is made: the results are files."""

    def _pairs(self) -> Tuple[List[TomoMask], List[TomoMask]]:
        """([mask], [true mask]) of the tomograms that both sets have, in the order of the engine's names."""
        common = set(byId(self.inputMasks.get())) & set(byId(self.inputTruth.get()))
        ground_truth = [mask for key, mask in byId(self.inputTruth.get()).items() if key in common]
        masks = [mask for key, mask in byId(self.inputMasks.get()).items() if key in common]
        return self._inOrder(masks), self._inOrder(ground_truth)

    def _completed(self, config: EvaluateSegmentationConfig) -> EvaluateSegmentationConfig:
        if self.inputMasks.get() is None or self.inputTruth.get() is None:
            return config
        masks, ground_truth = self._pairs()
        return dataclasses.replace(
            config,
            segmentations=self._linkPaths("segmentations", masks),
            labels=self._linkPaths("labels", ground_truth),
            tomograms=self._linkPaths("tomograms", masks) if masks and tomogramsBehind(masks) else (),
            pixel_size=self.inputMasks.get().getSamplingRate(),
            label=config.label if featureOf(self.inputMasks.get()) else None,
        )

    # ----- validation and information
    def _checkTogether(self) -> List[str]:
        masks, ground_truth = self.inputMasks.get(), self.inputTruth.get()
        if not set(byId(masks)) & set(byId(ground_truth)):
            return [
                f"The segmentations and the true labels have no tomogram in common: {listed(sorted(byId(masks)))}, "
                f"and {listed(sorted(byId(ground_truth)))}. They are matched by name (tsId)."
            ]
        if featureOf(masks) and self._config().label is None:
            known = ", ".join(f"{value} {name}" for value, name in enumerate(featuresOf(ground_truth), 1))
            return [
                f"The segmentations are scores of {featureOf(masks)}. Set Label to the value of this feature in the "
                f"true labels{f' ({known})' if known else ''}."
            ]
        return self._checkCommon(masks, ground_truth)

    def _checkCommon(self, masks: SetOfTomoMasks, ground_truth: SetOfTomoMasks) -> List[str]:
        """A sentence about the first pair of unlike size."""
        if set(byId(masks)) <= set(byId(ground_truth)):
            return checkPaired(ground_truth, masks, "segmentations", "true labels")
        return (
            checkPaired(masks, ground_truth, "true labels", "segmentations")
            if set(byId(ground_truth)) < set(byId(masks))
            else []
        )

    def _warnings(self) -> List[str]:
        masks, ground_truth = self.inputMasks.get(), self.inputTruth.get()
        if masks is None or ground_truth is None:
            return []
        alone = sorted(set(byId(masks)) ^ set(byId(ground_truth)))
        return [f"Only tomograms in both sets are compared; these are left out: {listed(alone)}."] if alone else []

    def _tell(self, results: Sequence[Result]) -> List[str]:
        made = self._made()
        if made is None:
            return [self.NOTHING_YET]
        return judgedLines(made.features) + [f"Table: {os.path.relpath(made.evaluation)}"]

    def _methods(self) -> List[str]:
        made = self._made()
        return [] if made is None else [judgedInWords(made.features, self._engineResults())]
