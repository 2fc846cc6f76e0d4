# SPDX-License-Identifier: GPL-3.0-or-later
"""Let features compete for every voxel."""

import json
import os
from typing import Any, Dict, List, Sequence

import pyworkflow.utils as pwutils
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
from ...engine.cryodl.contract import MergeFeaturesConfig, Result
from ...engine.cryodl.contract.tomograms.features import MergeFeaturesOutputs
from ..checks import listed
from ..engine_protocol import OneRun
from ..kinds import Options, PointingMany
from .tomogram_checks import checkPaired, checkTomograms
from .tomogram_words import METHOD, mergedLines, mergingInWords

SCORES = "scores"  # folder of the links to the score volumes


class Scores(PointingMany):
    """Sets of scores, one for each feature, of the same tomograms."""

    CLASSES, LABEL, to = "SetOfTomoMasks", "Scores", ("scores",)

    def values(self, protocol: Any) -> Dict[str, Any]:
        return dict(scores=protocol._getExtraPath(SCORES))

    def filesOf(self, protocol: Any, found: List[SetOfTomoMasks]) -> Dict[str, Any]:
        protocol._writeScores()
        return {}

    def identity(self, protocol: Any) -> Dict[str, Any]:
        return dict(sets=[masks.getFileName() for masks in self.objects(protocol)])

    def check(self, protocol: Any, found: List[SetOfTomoMasks]) -> List[str]:
        features = [featureOf(masks) for masks in found]
        if not all(features):
            return ["Some of the sets have no scores. Choose the outputs of cryodl - segment tomograms."]
        if len(set(features)) < len(features):
            return [
                "Several sets have scores of the same feature: "
                f"{listed(sorted({name for name in features if features.count(name) > 1}))}. Choose one set of each."
            ]
        errors = [e for masks in found for e in checkTomograms(masks, f"scores of {featureOf(masks)}")]
        return errors or [e for masks in found[1:] for e in checkSame(found[0], masks)]


def checkSame(first: SetOfTomoMasks, other: SetOfTomoMasks) -> List[str]:
    """What is wrong with scores of two features that are to be of the same tomograms."""
    missing = sorted(set(byId(first)) ^ set(byId(other)))
    if missing:
        return [
            f"The scores of {featureOf(first)} and {featureOf(other)} belong to different tomograms; these are "
            f"in only one of them: {listed(missing)}. Finish the segmentation first."
        ]
    return checkPaired(first, other, f"scores of {featureOf(other)}", f"scores of {featureOf(first)}")


class CryodlProtMergeFeatures(OneRun[MergeFeaturesConfig, MergeFeaturesOutputs]):
    """Let features compete for every voxel.

    The feature whose score is farthest above its threshold (in log odds) takes the voxel.

    In: the sets of scores of *cryodl - segment tomograms*, one for each feature. Out: TomoMasks with labels 1, 2, ...
    in the order of the sets, and a table of what was found: volume, number of connected components, surface.
    """

    _label = "merge features"
    OUTPUT, NOTHING_YET = "merged", "No labels yet."
    GOES_ON = True
    CITES = (METHOD,)
    FORM = (
        Scores(
            "inputScores",
            "Outputs of *cryodl - segment tomograms*, one for each feature, of the same tomograms. Their order "
            "defines the labels 1, 2, ...",
        ),
        Options(
            "threshold",
            more="\n\nEmpty: the threshold of each model.\n\nSeparated by commas: membrane=0.4, ribosome=0.6",
        ),
    )

    def _writeScores(self) -> None:
        """Links to the score volumes and segment.json, as `cryodl segment` leaves them."""
        folder, sets = self._getExtraPath(SCORES), self._pointed("inputScores")
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

    def _makeOutputs(self, made: MergeFeaturesOutputs) -> Dict[str, Any]:
        first = self._pointed("inputScores")[0]
        labels, names = SetOfTomoMasks.create(self._getPath(), template="tomomasks%s.sqlite"), engineNames(first)
        labels.copyInfo(first)
        for key, mask in byId(first).items():
            if names[key] in made.files:
                labels.append(maskOf(mask, made.files[names[key]]))
        markLabels(labels, made.features)
        return dict(outputLabels=labels)

    def getFound(self) -> Dict[str, Dict[str, Dict[str, float]]]:
        """{tomogram: {feature: {voxels, volume_nm3, components, area_nm2}}} of features.json; {} before it exists."""
        path = os.path.join(self._output(), "features.json")
        if not os.path.exists(path):
            return {}
        with open(path, encoding="utf-8") as file:
            tomograms = json.load(file)["tomograms"]
        return {name: dict(entry["found"]) for name, entry in tomograms.items()}

    # ----- information
    def _tell(self, results: Sequence[Result]) -> List[str]:
        made = self._made()
        if made is None or getattr(self, "outputLabels", None) is None:
            return [self.NOTHING_YET]
        labels = "Labels: " + ", ".join(f"{value} {name}" for value, name in enumerate(made.features, 1))
        return [labels, *mergedLines(self.getFound()), f"Table: {made.table}"]

    def _methods(self) -> List[str]:
        made, labels = self._made(), getattr(self, "outputLabels", None)
        if made is None or labels is None:
            return []
        return [mergingInWords(labels.getSize(), made.features, self._config().competitive, self._engineResults())]
