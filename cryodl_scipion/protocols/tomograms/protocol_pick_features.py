# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn a segmentation into 3-D coordinates."""

from typing import Any, Dict, List, Sequence

from tomo.objects import SetOfCoordinates3D

from ...convert.tomograms.coordinates3d import appendCoordinates3D, readCoordinates3D
from ...convert.tomograms.tomograms import THRESHOLD, byId, engineNames, featureOf, featuresOf
from ...engine.cryodl.contract import PickFeaturesConfig, Result, counted, score_text
from ...engine.cryodl.contract.tomograms.features import PickFeaturesOutputs
from ..checks import listed
from ..engine_protocol import ConfigT, MadeT, OneRun
from ..kinds import BoxSize, Options
from .tomogram_checks import checkLabelField
from .tomogram_kinds import LinkedTomograms, Masks
from .tomogram_words import METHOD, pickedInWords

COORDINATES = (
    BoxSize("tomograms", default=32),
    LinkedTomograms(
        "inputTomograms",
        "Tomograms to link the coordinates to, matched by name (tsId). Their binning may differ from that of "
        "the segmentations; coordinates are scaled.",
        empty="the segmentations themselves",
    ),
)


class PointsInMasks(OneRun[ConfigT, MadeT]):
    """Base of the protocols that find points in masks: inputMasks, boxSize, inputTomograms, label, threshold."""

    OUTPUT, GOES_ON = "picks", True
    CITES = (METHOD,)
    NOT_ON_FORM = {"tilt_series_pixel_size": "for STAR files outside Scipion"}

    def _settings(self) -> Dict[str, Any]:
        return dict(super()._settings(), box_size=self.boxSize.get())

    def _filled(self, points: Any, made: Any) -> Any:
        """A set of coordinates or meshes, with all points of the run."""
        masks = self.inputMasks.get()
        precedents = self.inputMasks if self.inputTomograms.get() is None else self.inputTomograms
        points.setPrecedents(precedents)
        points.setSamplingRate(precedents.get().getSamplingRate())
        points.setBoxSize(self.boxSize.get())
        scale = masks.getSamplingRate() / precedents.get().getSamplingRate()
        tomograms, names = byId(precedents.get()), engineNames(masks)
        for key in sorted(names):
            if names[key] in made.files:
                appendCoordinates3D(points, tomograms[key], readCoordinates3D(made.files[names[key]]), scale=scale)
        return points

    def _coordinates(self, made: Any) -> SetOfCoordinates3D:
        return self._filled(SetOfCoordinates3D.create(self._getPath(), template="coordinates%s.sqlite"), made)

    def _engineValues(self) -> Dict[str, Any]:
        masks = self.inputMasks.get()
        # scores have no labels; what the form may still hold of another input is not for them
        own = dict(label=None) if masks is not None and featureOf(masks) else {}
        return dict(super()._engineValues(), **own)

    # ----- validation and information
    def _checkTogether(self) -> List[str]:
        masks, tomograms = self.inputMasks.get(), self.inputTomograms.get()
        errors = checkLabelField(masks, self.label.get())
        missing = [] if tomograms is None or errors else sorted(set(byId(masks)) - set(byId(tomograms)))
        if missing:
            errors = [
                f"Some segmentations have no matching tomogram: {listed(missing)}. They are matched by name (tsId)."
            ]
        return errors

    def _warnings(self) -> List[str]:
        masks = self.inputMasks.get()
        if masks is None or not featureOf(masks) or abs(getattr(masks, THRESHOLD).get() - self.threshold.get()) < 0.005:
            return []
        return [
            f"Threshold is {score_text(self.threshold.get())}; for the model of {featureOf(masks)}, "
            f"{score_text(getattr(masks, THRESHOLD).get())} was best on its validation data."
        ]

    def _what(self) -> str:
        """The feature in words."""
        masks = self.inputMasks.get()
        known = dict(enumerate(featuresOf(masks), 1))
        return featureOf(masks) or known.get(self.label.get()) or f"label {self.label.get()}"


class CryodlProtPickFeatures(PointsInMasks[PickFeaturesConfig, PickFeaturesOutputs]):
    """Pick in a segmentation: connected components, particles, or points along filaments and on membranes.

    In: TomoMasks with labels, or a set of scores of one feature. Out: 3-D coordinates; a group is a connected
    component. On filaments and membranes each has a first orientation: the z axis lies along the filament, or along
    the normal of the membrane. Extract subtomograms with the protocols of other packages.
    """

    _label = "pick in segmentation"
    NOTHING_YET = "No coordinates yet."
    FORM = (
        Masks(
            "inputMasks",
            "Label volumes (*cryodl - merge features*, or TomoMasks of other "
            "packages), or scores of one feature (*cryodl - segment tomograms*).",
        ),
        Options("label"),
        Options("threshold", when="label is None"),
        Options("shape"),
        Options("diameter", when="shape == 1"),  # of particles
        Options("spacing", when="shape in (2, 3)"),  # along filaments, on membranes
        Options("minimum_size", "maximum_size", "border", "seed"),
        *COORDINATES,
    )

    def _makeOutputs(self, made: PickFeaturesOutputs) -> Dict[str, Any]:
        return dict(outputCoordinates=self._coordinates(made))

    def _tell(self, results: Sequence[Result]) -> List[str]:
        coordinates, made = getattr(self, "outputCoordinates", None), self._made()
        if coordinates is None or made is None:
            return [self.NOTHING_YET]
        words = f"{self._what()} ({self._config().shape})"
        lines = [f"*{counted(coordinates.getSize(), 'coordinate')}* of {words}"]
        return lines + [f"  {name}: {count}" for name, count in sorted(made.counts.items())]

    def _methods(self) -> List[str]:
        coordinates, config = getattr(self, "outputCoordinates", None), self._config()
        if coordinates is None:
            return []
        count, results = coordinates.getSize(), self._engineResults()
        return [pickedInWords(count, config.shape, config.spacing, self._what(), results)]
