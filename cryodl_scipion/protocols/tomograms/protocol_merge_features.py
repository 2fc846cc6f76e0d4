# SPDX-License-Identifier: GPL-3.0-or-later
"""Let features compete for every voxel."""

import json
import os
from typing import Any, Dict, List, Sequence

import pyworkflow.utils as pwutils
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form
from tomo.objects import SetOfTomoMasks

from ...convert.tomograms.tomograms import (
    MODELS,
    THRESHOLD,
    byId,
    engineNames,
    featureOf,
    fileOf,
    markLabels,
    maskOf,
    sizeOf,
)
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..checks import listed
from ..form_parts import notOnForm
from .tomogram_checks import checkPaired, checkTomograms
from .tomogram_words import METHOD, mergedLines, mergingInWords
from .tomograms_base import TomogramsBase


class CryodlProtMergeFeatures(TomogramsBase):
    """Let features compete for every voxel.

    The feature whose score is farthest above its threshold (in log odds) takes the voxel.

    In: the sets of scores of *cryodl - segment tomograms*, one for each feature. Out: TomoMasks with labels 1, 2, ...
    in the order of the sets, and a table of what was found: volume, number of connected components, surface.
    """

    _label = "merge features"
    _CONFIG = contract.MergeFeaturesConfig
    NOT_ON_FORM = notOnForm("output", scores="links to the input sets")

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        form.addParam(
            "inputScores",
            params.MultiPointerParam,
            pointerClass="SetOfTomoMasks",
            minNumObjects=1,
            important=True,
            label="Scores",
            help="Outputs of *cryodl - segment tomograms*, one for each feature, of the same tomograms. Their order "
            "defines the labels 1, 2, ...",
        )
        addConfigParams(
            form,
            self._CONFIG,
            ["threshold", "minimum_size", "smoothing", "surfaces", "competitive", "memory"],
            threshold=dict(
                more="\n\nEmpty: the threshold of each model.\n\nSeparated by commas: membrane=0.4, ribosome=0.6"
            ),
        )
        form.addParallelSection(threads=0, mpi=0)

    def usesGpu(self) -> bool:
        return False  # no network runs

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = dict(self._settings(), sets=[masks.getFileName() for masks in self._pointed("inputScores")])
        self._insertFunctionStep(self.mergeStep, settings, needsGPU=False)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def mergeStep(self, settings: Dict[str, Any]) -> None:
        self._writeScores()
        self._runOnce(self._config(**self._engineValues()), self._mergedFolder(), goesOn=True)

    def _writeScores(self) -> None:
        """Links to the score volumes and segment.json, as `cryodl segment` leaves them."""
        folder, sets = self._scoresFolder(), self._pointed("inputScores")
        pwutils.cleanPath(folder)
        pwutils.makePath(folder)
        names, tomograms = engineNames(sets[0]), {}
        for masks in sets:
            for key, mask in byId(masks).items():
                file = f"{names[key]}__{featureOf(masks)}.mrc"
                os.symlink(
                    os.path.relpath(os.path.realpath(fileOf(mask)), os.path.realpath(folder)),
                    os.path.join(folder, file),
                )
                entry = tomograms.setdefault(
                    names[key],
                    dict(
                        path=mask.getVolName(),
                        files={},
                        pixel_size=(masks.getSamplingRate()),
                        shape=list(sizeOf(mask)[::-1]),
                    ),
                )
                entry["files"][featureOf(masks)] = file
        features = [
            dict(
                name=featureOf(masks),
                threshold=getattr(masks, THRESHOLD).get(),
                annotators=[],
                model=masks.getAttributeValue(MODELS, ""),
            )
            for masks in sets
        ]
        with open(os.path.join(folder, "segment.json"), "w", encoding="utf-8") as written:
            json.dump(dict(features=features, tomograms=tomograms), written, indent=2)

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        made, first = self._result().outputs, self._pointed("inputScores")[0]
        labels = SetOfTomoMasks.create(self._getPath(), template="tomomasks%s.sqlite")
        labels.copyInfo(first)
        names = engineNames(first)
        for key, mask in byId(first).items():
            if names[key] in made.files:
                labels.append(maskOf(mask, made.files[names[key]]))
        markLabels(labels, made.features)
        self._defineOutputs(outputLabels=labels)
        for pointer in self.inputScores:
            self._defineSourceRelation(pointer, labels)

    # ----- what the steps share
    def _scoresFolder(self) -> str:
        return self._getExtraPath("scores")

    def _mergedFolder(self) -> str:
        return self._getExtraPath("merged")

    def _engineValues(self) -> Any:
        return dict(scores=self._scoresFolder(), output=self._mergedFolder())

    def getFound(self) -> Dict[str, Dict[str, Dict[str, float]]]:
        """{tomogram: {feature: {voxels, volume_nm3, components, area_nm2}}} of features.json; {} before it exists."""
        path = os.path.join(self._mergedFolder(), "features.json")
        if not os.path.exists(path):
            return {}
        with open(path, encoding="utf-8") as file:
            tomograms = json.load(file)["tomograms"]
        return {name: dict(entry["found"]) for name, entry in tomograms.items()}

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        sets = self._pointed("inputScores")
        if not sets:
            return ["Scores is empty. Choose the outputs of cryodl - segment tomograms, one for each feature."]
        if not all(featureOf(masks) for masks in sets):
            return ["Some of the sets have no scores. Choose the outputs of cryodl - segment tomograms."]
        features = [featureOf(masks) for masks in sets]
        if len(set(features)) < len(features):
            return [
                "Several sets have scores of the same feature: "
                f"{listed(sorted({name for name in features if features.count(name) > 1}))}. Choose one set of each."
            ]
        errors = []
        for masks in sets:
            errors += checkTomograms(masks, f"scores of {featureOf(masks)}")
        for masks in sets[1:] if not errors else []:
            errors += self._checkSame(sets[0], masks)
        return errors

    def _checkSame(self, first: SetOfTomoMasks, other: SetOfTomoMasks) -> List[str]:
        missing = sorted(set(byId(first)) ^ set(byId(other)))
        if missing:
            return [
                f"The scores of {featureOf(first)} and {featureOf(other)} belong to different tomograms; these are "
                f"in only one of them: {listed(missing)}. Finish the segmentation first."
            ]
        return checkPaired(first, other, f"scores of {featureOf(other)}", f"scores of {featureOf(first)}")

    def _tell(self, results: Sequence[Result]) -> List[str]:
        if getattr(self, "outputLabels", None) is None:
            return ["No labels yet."]
        made = self._result().outputs
        return (
            ["Labels: " + ", ".join(f"{value} {name}" for value, name in enumerate(made.features, 1))]
            + mergedLines(self.getFound())
            + [f"Table: {made.table}"]
        )

    def _methods(self) -> List[str]:
        labels = getattr(self, "outputLabels", None)
        if labels is None:
            return []
        return [
            mergingInWords(
                labels.getSize(), self._result().outputs.features, self.competitive.get(), self._engineResults()
            )
        ]

    def _citations(self) -> List[str]:
        return ["cryodl", METHOD]
