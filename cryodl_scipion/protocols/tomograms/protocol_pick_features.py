# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn a segmentation into 3-D coordinates, of particles and filaments, or of membranes that are measured."""

import dataclasses
from typing import Any, Dict, List, TypeVar

from tomo.objects import SetOfCoordinates3D, SetOfMeshes

from ...convert.tomograms.tomograms import (
    THRESHOLD,
    appendCoordinates3D,
    byId,
    engineNames,
    featureOf,
    readCoordinates3D,
)
from ...engine.cryodl import contract
from .. import checks, engine_protocol, one_of
from ..kinds import BoxSize, Options, OwnName
from .tomogram_kinds import LinkedTomograms, Masks, checkLabelField

ConfigT = TypeVar("ConfigT", contract.PickFeaturesConfig, contract.MeasureMembranesConfig)
_MASKS = (
    Masks(
        "inputMasks",
        "Label volumes (*cryodl - merge or evaluate features*, or TomoMasks of other packages), or scores of one "
        "feature (*cryodl - segment tomograms*).",
    ),
    Options("label"),
    Options("threshold", when="label is None"),
)
_COORDINATES = (
    Options("border"),
    BoxSize("tomograms", default=32),
    LinkedTomograms(
        "inputTomograms",
        "Tomograms to link the coordinates to, matched by name (tsId). Their binning may differ from that of "
        "the segmentations; coordinates are scaled.",
        empty="the segmentations themselves",
    ),
)


class PointsInMasks(one_of.Way[ConfigT, engine_protocol.MadeT]):
    OUTPUT, GOES_ON = "picks", True
    CITES = ("Chen2017",)

    def completed(self, protocol: Any, config: ConfigT) -> ConfigT:
        """Scores have no labels; what the form may still hold of another input is not for them."""
        return dataclasses.replace(config, label=None) if featureOf(protocol.inputMasks.get()) else config

    def filled(self, protocol: Any, points: Any, made: Any) -> Any:
        masks = protocol.inputMasks.get()
        precedents = protocol.inputMasks if protocol.inputTomograms.get() is None else protocol.inputTomograms
        points.setPrecedents(precedents)
        points.setSamplingRate(precedents.get().getSamplingRate())
        points.setBoxSize(protocol.boxSize.get())
        scale = masks.getSamplingRate() / precedents.get().getSamplingRate()
        tomograms, names = byId(precedents.get()), engineNames(masks)
        for key in sorted(names):
            if names[key] in made.files:
                appendCoordinates3D(points, tomograms[key], readCoordinates3D(made.files[names[key]]), scale=scale)
        return points

    def makeOutputs(self, protocol: Any, made: engine_protocol.MadeT) -> Dict[str, Any]:
        coordinates = SetOfCoordinates3D.create(protocol._getPath(), template="coordinates%s.sqlite")
        return dict(outputCoordinates=self.filled(protocol, coordinates, made))

    def problems(self, protocol: Any) -> List[str]:
        masks, tomograms = protocol.inputMasks.get(), protocol.inputTomograms.get()
        missing = [] if tomograms is None else sorted(set(byId(masks)) - set(byId(tomograms)))
        return checkLabelField(masks, protocol.label.get()) or checks.sayIf(
            missing,
            f"Some segmentations have no matching tomogram: {checks.listed(missing)}. They are matched by name (tsId).",
        )

    def warnings(self, protocol: Any) -> List[str]:
        masks, threshold = protocol.inputMasks.get(), protocol.threshold.get()
        if masks is None or not featureOf(masks):
            return []
        best = getattr(masks, THRESHOLD).get()
        return checks.sayIf(
            abs(best - threshold) >= 0.005,
            f"Threshold is {contract.score_text(threshold)}; for the model of {featureOf(masks)}, "
            f"{contract.score_text(best)} was best on its validation data.",
        )


class PickPoints(PointsInMasks[contract.PickFeaturesConfig, contract.PickFeaturesOutputs]):
    """Centres of connected components or particles, or points along filaments and on membranes."""

    WORD, NOTHING_YET = "pick", "No coordinates yet."
    FORM = (
        *_MASKS,
        Options("shape"),
        Options("diameter", when="shape == 1"),  # of particles
        Options("spacing", when="shape in (2, 3)"),  # along filaments, on membranes
        Options("minimum_size", "maximum_size"),
        *_COORDINATES,
    )


class MeasureEach(PointsInMasks[contract.MeasureMembranesConfig, contract.MeasureMembranesOutputs]):
    """Each membrane with its area, thickness, curvature and distance to the others, and points on it."""

    WORD, NOTHING_YET = "measure membranes", "No membranes yet."
    FORM = (*_MASKS, Options("spacing"), OwnName("membrane", "minimum_size"), *_COORDINATES)

    def makeOutputs(self, protocol: Any, made: contract.MeasureMembranesOutputs) -> Dict[str, Any]:
        meshes = SetOfMeshes.create(protocol._getPath(), template="meshes%s.sqlite")
        self.filled(protocol, meshes, made).setNumberOfMeshes(sum(made.counts.values()))
        return dict(super().makeOutputs(protocol, made), outputMeshes=meshes)


class CryodlProtPickFeatures(one_of.OneOf[Any, Any]):
    """Pick in a segmentation: connected components, particles, points along filaments; or measure its membranes.

    In: TomoMasks with labels, or a set of scores of one feature. Out: 3-D coordinates; a group is a connected
    component, or a membrane. On filaments and membranes each has a first orientation: the z axis lies along the
    filament, or along the normal of the membrane. Of membranes that are measured also meshes of their points, and in
    the run's folder a table (area, thickness, curvature, distance to the others), a mesh of triangles of each (.ply)
    and a volume in which each has its own number. Extract subtomograms with the protocols of other packages."""

    _label = "pick in segmentation"
    WHAT = (
        "What to do",
        "Pick: one point for each component or particle, or points along filaments and on membranes. Measure "
        "membranes: each is separated, and its area, thickness, curvature and distance to the others measured.",
    )
    WAYS = (PickPoints(), MeasureEach())
