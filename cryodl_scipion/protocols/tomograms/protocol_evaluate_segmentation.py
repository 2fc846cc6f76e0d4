# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare segmentations with labels."""

import os
from typing import Any, Dict, List, Sequence, Tuple

from pyworkflow.protocol.params import Form
from tomo.objects import SetOfTomoMasks, TomoMask

from ...convert.tomograms.tomograms import byId, featureOf, featuresOf, tomogramsBehind
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..checks import listed
from ..evaluation_folder import HasEvaluation
from ..form_parts import notOnForm
from .tomogram_checks import checkPaired, checkTomograms
from .tomogram_words import judgedInWords, judgedLines
from .tomograms_base import TomogramsBase


class CryodlProtEvaluateSegmentation(HasEvaluation, TomogramsBase):
    """Compare segmentations with labels that serve as ground truth.

    In: TomoMasks to judge (labels, or scores of one feature), and TomoMasks of the same tomograms with the ground
    truth: drawn by hand, simulated, or of another method. Out: for each feature Dice coefficient, precision,
    recall, and how far the boundary is off, in the summary and as files.
    """

    _label = "evaluate segmentation"
    _CONFIG = contract.EvaluateSegmentationConfig
    NOT_ON_FORM = notOnForm(
        "output",
        segmentations="the input masks",
        labels="the true masks",
        tomograms="the tomograms that the masks belong to",
        pixel_size="the masks' sampling rate",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addMasksParam(
            form,
            "inputMasks",
            "TomoMasks to evaluate: labels (*cryodl - merge features*), or scores of one feature (*cryodl - segment "
            "tomograms*).",
        )
        self._addMasksParam(
            form,
            "inputTruth",
            "TomoMasks of the same tomograms and of the same size, matched by name (tsId). Voxels with value 255 "
            "are not evaluated.",
            label="True labels",
        )
        addConfigParams(form, self._CONFIG, ["label", "threshold"], threshold=dict(condition="label is not None"))
        form.addParallelSection(threads=0, mpi=0)

    def usesGpu(self) -> bool:
        return False  # no network runs

    # ----- steps
    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.evaluateStep, self._settings(), needsGPU=False)

    def evaluateStep(self, settings: Dict[str, Any]) -> None:
        for folder, items in zip(("segmentations", "labels"), self._pairs()):
            self._linkVolumes(folder, items)
        behind = tomogramsBehind(self._pairs()[0])
        if behind:
            self._linkVolumes("tomograms", self._pairs()[0], behind)
        self._runOnce(self._config(**self._engineValues()), self.getEvaluationFolder())

    def _pairs(self) -> Tuple[List[TomoMask], List[TomoMask]]:
        """([mask], [true mask]) of the tomograms that both sets have, in the order of the engine's names."""
        common = set(byId(self.inputMasks.get())) & set(byId(self.inputTruth.get()))
        ground_truth = [mask for key, mask in byId(self.inputTruth.get()).items() if key in common]
        masks = [mask for key, mask in byId(self.inputMasks.get()).items() if key in common]
        return self._inOrder(masks), self._inOrder(ground_truth)

    def _engineValues(self) -> Any:
        masks, ground_truth = self._pairs()
        return dict(
            segmentations=self._linkPaths("segmentations", masks),
            labels=self._linkPaths("labels", ground_truth),
            tomograms=self._linkPaths("tomograms", masks) if masks and tomogramsBehind(masks) else (),
            output=self.getEvaluationFolder(),
            pixel_size=self.inputMasks.get().getSamplingRate(),
            **({} if featureOf(self.inputMasks.get()) else dict(label=None)),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        masks, ground_truth = self.inputMasks.get(), self.inputTruth.get()
        errors = checkTomograms(masks, "segmentations") or checkTomograms(ground_truth, "true labels")
        if not errors and not set(byId(masks)) & set(byId(ground_truth)):
            errors = [
                f"The segmentations and the true labels have no tomogram in common: {listed(sorted(byId(masks)))}, "
                f"and {listed(sorted(byId(ground_truth)))}. They are matched by name (tsId)."
            ]
        if errors:
            return errors
        if featureOf(masks) and self.label.get() is None:
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
        result = self._result()
        if result is None:
            return ["Not evaluated yet."]
        return judgedLines(result.outputs.features) + [f"Table: {os.path.relpath(result.outputs.evaluation)}"]

    def _methods(self) -> List[str]:
        result = self._result()
        return [] if result is None else [judgedInWords(result.outputs.features, self._engineResults())]
