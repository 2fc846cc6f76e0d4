# SPDX-License-Identifier: GPL-3.0-or-later
"""Let features compete for every voxel, or compare segmentations with labels."""

import dataclasses
import os
from typing import Any, Dict, List, Tuple

from tomo.objects import SetOfTomoMasks, TomoMask

from ...convert.names import emptyFolder
from ...convert.tomograms.tomograms import (
    MODELS,
    THRESHOLD,
    byId,
    engineNames,
    featureOf,
    featuresOf,
    fileOf,
    markLabels,
    maskOf,
    sizeOf,
    tomogramsBehind,
)
from ...engine.cryodl import contract
from .. import kinds, one_of, protocol_base
from ..checks import listed, sayIf
from .tomogram_kinds import Masks, TomogramsBase, checkPaired, checkTomograms

SCORES = "scores"  # folder of the links to the score volumes


class Scores(kinds.PointingMany):
    CLASSES, LABEL, to = "SetOfTomoMasks", "Scores", ("scores",)

    def values(self, protocol: Any) -> Dict[str, Any]:
        return dict(scores=protocol._getExtraPath(SCORES))

    def filesOf(self, protocol: Any, found: List[SetOfTomoMasks]) -> Dict[str, Any]:
        writeScores(protocol._getExtraPath(SCORES), found)
        return {}

    def check(self, protocol: Any, found: List[SetOfTomoMasks]) -> List[str]:
        features = [featureOf(masks) for masks in found]
        twice = sorted({name for name in features if features.count(name) > 1})
        return (
            sayIf(not all(features), "Some sets have no scores. Choose the outputs of cryodl - segment tomograms.")
            or sayIf(twice, f"Several sets have scores of the same feature: {listed(twice)}. Choose one set of each.")
            or [e for masks in found for e in checkTomograms(masks, f"scores of {featureOf(masks)}")]
            or [e for masks in found[1:] for e in checkSame(found[0], masks)]
        )


def checkSame(first: SetOfTomoMasks, other: SetOfTomoMasks) -> List[str]:
    """What is wrong with scores of two features that are to be of the same tomograms."""
    missing = sorted(set(byId(first)) ^ set(byId(other)))
    return sayIf(
        missing,
        f"The scores of {featureOf(first)} and {featureOf(other)} belong to different tomograms; these are "
        f"in only one of them: {listed(missing)}. Finish the segmentation first.",
    ) or checkPaired(first, other, f"scores of {featureOf(other)}", f"scores of {featureOf(first)}")


def writeScores(folder: str, sets: List[SetOfTomoMasks]) -> None:
    """Links to the score volumes and segment.json, as `cryodl segment` leaves them."""
    emptyFolder(folder)
    names, tomograms, features = engineNames(sets[0]), {}, []
    for masks in sets:
        feature, models = featureOf(masks), masks.getAttributeValue(MODELS, "")
        features.append(dict(name=feature, threshold=getattr(masks, THRESHOLD).get(), annotators=[], model=models))
        for key, mask in byId(masks).items():
            file = f"{names[key]}__{feature}.mrc"
            os.symlink(
                os.path.relpath(os.path.realpath(fileOf(mask)), os.path.realpath(folder)), os.path.join(folder, file)
            )
            known = dict(path=mask.getVolName(), files={}, pixel_size=masks.getSamplingRate())
            tomograms.setdefault(names[key], dict(known, shape=list(sizeOf(mask)[::-1])))["files"][feature] = file
    contract.write_json(os.path.join(folder, "segment.json"), dict(features=features, tomograms=tomograms))


class MergeScores(one_of.Way[contract.MergeFeaturesConfig, contract.MergeFeaturesOutputs]):
    WORD = "merge scores of features"
    OUTPUT, NOTHING_YET = "merged", "No labels yet."
    GOES_ON = True
    CITES = ("Chen2017",)
    FORM = (
        Scores(
            "inputScores",
            "Outputs of *cryodl - segment tomograms*, one for each feature, of the same tomograms. Their order "
            "defines the labels 1, 2, ...",
        ),
        kinds.Options(
            "threshold",
            more="\n\nEmpty: the threshold of each model.\n\nSeparated by commas: membrane=0.4, ribosome=0.6",
        ),
    )

    def makeOutputs(self, protocol: Any, made: contract.MergeFeaturesOutputs) -> Dict[str, Any]:
        first = protocol._pointed("inputScores")[0]
        labels, names = SetOfTomoMasks.create(protocol._getPath(), template="tomomasks%s.sqlite"), engineNames(first)
        labels.copyInfo(first)
        for key, mask in byId(first).items():
            if names[key] in made.files:
                labels.append(maskOf(mask, made.files[names[key]]))
        markLabels(labels, made.features)
        return dict(outputLabels=labels)


class EvaluateMasks(one_of.Way[contract.EvaluateSegmentationConfig, contract.EvaluateSegmentationOutputs]):
    WORD = "evaluate a segmentation"
    OUTPUT, NOTHING_YET = protocol_base.EVALUATION_FOLDER, "Not evaluated yet."
    FORM = (
        Masks(
            "inputMasks",
            "TomoMasks to evaluate: labels, or scores of one feature (*cryodl - segment tomograms*).",
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
        kinds.Options("label"),
        kinds.OwnName("evaluation", "threshold", when="label is not None"),
    )

    def writtenFiles(self, protocol: Any) -> Dict[str, Any]:
        pairs = self._pairs(protocol)
        for folder, items in zip(("segmentations", "labels"), pairs):
            protocol._linkVolumes(folder, items)
        behind = tomogramsBehind(pairs[0])
        if behind:
            protocol._linkVolumes("tomograms", pairs[0], behind)
        return {}

    def _pairs(self, protocol: Any) -> Tuple[List[TomoMask], List[TomoMask]]:
        masks, truth = byId(protocol.inputMasks.get()), byId(protocol.inputTruth.get())
        common = [[mask for key, mask in one.items() if key in rest] for one, rest in ((masks, truth), (truth, masks))]
        return protocol._inOrder(common[0]), protocol._inOrder(common[1])

    def completed(
        self, protocol: Any, config: contract.EvaluateSegmentationConfig
    ) -> contract.EvaluateSegmentationConfig:
        masks, truth = self._pairs(protocol)
        return dataclasses.replace(
            config,
            segmentations=protocol._linkPaths("segmentations", masks),
            labels=protocol._linkPaths("labels", truth),
            tomograms=protocol._linkPaths("tomograms", masks) if masks and tomogramsBehind(masks) else (),
            pixel_size=protocol.inputMasks.get().getSamplingRate(),
            label=config.label if featureOf(protocol.inputMasks.get()) else None,
        )

    def problems(self, protocol: Any) -> List[str]:
        masks, truth = protocol.inputMasks.get(), protocol.inputTruth.get()
        mine, theirs = set(byId(masks)), set(byId(truth))
        known = ", ".join(f"{value} {name}" for value, name in enumerate(featuresOf(truth), 1))
        return (
            sayIf(
                not mine & theirs,
                f"The segmentations and the true labels have no tomogram in common: {listed(sorted(mine))}, and "
                f"{listed(sorted(theirs))}. They are matched by name (tsId).",
            )
            or sayIf(
                featureOf(masks) and protocol._config().label is None,
                f"The segmentations are scores of {featureOf(masks)}. Set Label to the value of this feature in the "
                f"true labels{f' ({known})' if known else ''}.",
            )
            or (checkPaired(truth, masks, "segmentations", "true labels") if mine <= theirs else [])
            or (checkPaired(masks, truth, "true labels", "segmentations") if theirs < mine else [])
        )

    def warnings(self, protocol: Any) -> List[str]:
        masks, truth = protocol.inputMasks.get(), protocol.inputTruth.get()
        alone = sorted(set(byId(masks)) ^ set(byId(truth))) if masks is not None and truth is not None else []
        return sayIf(alone, f"Only tomograms in both sets are compared; these are left out: {listed(alone)}.")


class CryodlProtMergeFeatures(protocol_base.HasEvaluation, one_of.OneOf[Any, Any], TomogramsBase):
    """Let features compete for every voxel, or compare a segmentation with labels that serve as ground truth.

    In: the sets of scores of *cryodl - segment tomograms*, one for each feature. Out: TomoMasks with labels
    1, 2, ... in the order of the sets, and a table of what was found: volume, number of connected components, surface.
    The feature whose score is farthest above its threshold (in log odds) takes the voxel. Or in, to evaluate: TomoMasks
    (labels, or scores of one feature), and TomoMasks of the same tomograms with the ground truth: drawn by hand,
    simulated, or of another method. Out: for each feature Dice coefficient, precision, recall, and how far the boundary
    is off, in the summary and as files."""

    _label = "merge or evaluate features"
    WHAT = (
        "What to do",
        "Merge: scores of several features become one volume of labels. Evaluate: labels or scores are compared with "
        "true labels.",
    )
    WAYS = (MergeScores(), EvaluateMasks())
