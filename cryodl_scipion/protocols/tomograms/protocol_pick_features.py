# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn a segmentation into 3-D coordinates."""

from typing import Any, Dict, List, Sequence

from pyworkflow.protocol.params import Form
from tomo.objects import SetOfCoordinates3D, SetOfTomograms, SetOfTomoMasks

from ...convert.tomograms.coordinates3d import appendCoordinates3D, readCoordinates3D
from ...convert.tomograms.tomograms import THRESHOLD, byId, clonesOf, engineNames, featureOf, featuresOf, filesOf, idOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result, counted, score_text
from ...form import addConfigParams
from ..checks import listed
from ..form_parts import addBoxSize, addPointer, notOnForm
from .tomogram_checks import checkLabelField, checkTomograms
from .tomogram_words import METHOD, pickedInWords
from .tomograms_base import TomogramsBase

_PARTICLES, _ALONG = "shape == 1", "shape in (2, 3)"


class CryodlProtPickFeatures(TomogramsBase):
    """Pick in a segmentation: connected components, particles, or points along filaments and on membranes.

    In: TomoMasks with labels, or a set of scores of one feature. Out: 3-D coordinates; a group is a connected
    component. On filaments and membranes each has a first orientation: the z axis lies along the filament, or along
    the normal of the membrane. Extract subtomograms with the protocols of other packages.
    """

    _label = "pick in segmentation"
    _CONFIG: type = contract.PickFeaturesConfig
    NOT_ON_FORM = notOnForm(
        "output",
        segmentations="the input masks",
        names="made from the masks' names",
        pixel_size="the masks' sampling rate",
        tilt_series_pixel_size="for STAR files outside Scipion",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addMasksParam(
            form,
            "inputMasks",
            "Label volumes (*cryodl - merge features*, or TomoMasks of other "
            "packages), or scores of one feature (*cryodl - segment tomograms*).",
        )
        addConfigParams(
            form,
            self._CONFIG,
            ["label", "threshold", "shape", "diameter", "spacing", "minimum_size", "maximum_size", "border", "seed"],
            threshold=dict(condition="label is None"),
            diameter=dict(condition=_PARTICLES),
            spacing=dict(condition=_ALONG),
        )
        self._addCoordinatesParams(form)

    def _addCoordinatesParams(self, form: Form) -> None:
        """The box of the coordinates, and the tomograms that they belong to."""
        addBoxSize(form, "tomograms", default=32)
        addPointer(
            form,
            "inputTomograms",
            "SetOfTomograms",
            "Tomograms",
            "Tomograms to link the coordinates to, matched by name (tsId). Their binning may differ from that of "
            "the segmentations; coordinates are scaled.\n\nEmpty: the segmentations themselves.",
            allowsNull=True,
        )
        form.addParallelSection(threads=0, mpi=0)

    def usesGpu(self) -> bool:
        return False  # no network runs

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.pickStep, settings, needsGPU=False)
        self._insertFunctionStep(self.createOutputStep, settings, self.boxSize.get(), needsGPU=False)

    def pickStep(self, settings: Dict[str, Any]) -> None:
        self._runOnce(self._config(**self._engineValues()), self._picksFolder(), goesOn=True)

    def createOutputStep(self, settings: Dict[str, Any], boxSize: int) -> None:
        coordinates = SetOfCoordinates3D.create(self._getPath(), template="coordinates%s.sqlite")
        self._fill(coordinates, boxSize)
        self._defineOutputs(outputCoordinates=coordinates)
        self._relate(coordinates)

    def _fill(self, coordinates: SetOfCoordinates3D, boxSize: int) -> None:
        """Append all points of the run to a set of coordinates or meshes."""
        made, precedents = self._result().outputs, self._precedents()
        coordinates.setPrecedents(precedents)
        coordinates.setSamplingRate(precedents.get().getSamplingRate())
        coordinates.setBoxSize(boxSize)
        scale = self.inputMasks.get().getSamplingRate() / precedents.get().getSamplingRate()
        tomograms, names = byId(precedents.get()), engineNames(self.inputMasks.get())
        for key in sorted(names):
            if names[key] in made.files:
                appendCoordinates3D(coordinates, tomograms[key], readCoordinates3D(made.files[names[key]]), scale=scale)

    def _relate(self, coordinates: SetOfCoordinates3D) -> None:
        for pointer in (self.inputMasks, self.inputTomograms):
            if pointer.get() is not None:
                self._defineSourceRelation(pointer, coordinates)

    # ----- what the steps share
    def _precedents(self) -> Any:
        """The pointer to the set that the coordinates belong to."""
        return self.inputMasks if self.inputTomograms.get() is None else self.inputTomograms

    def _picksFolder(self) -> str:
        return self._getExtraPath("picks")

    def _engineValues(self) -> Any:
        masks = self.inputMasks.get()
        items, names = clonesOf(masks), engineNames(masks)
        return dict(
            segmentations=filesOf(items),
            names=tuple(names[idOf(item)] for item in items),
            output=self._picksFolder(),
            pixel_size=masks.getSamplingRate(),
            # scores have no labels; what the form may still hold of another input is not for them
            **(dict(label=None) if featureOf(masks) else {}),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        masks, tomograms = self.inputMasks.get(), self.inputTomograms.get()
        errors = checkTomograms(masks, "segmentations") or checkLabelField(masks, self.label.get())
        if (self.boxSize.get() or 0) < 2:
            errors.append(f"Box size (px) is {self.boxSize.get()}; it must be at least 2.")
        if tomograms is not None and not errors:
            errors = checkTomograms(tomograms) or self._checkTomogramsHave(masks, tomograms)
        return errors

    def _checkTomogramsHave(self, masks: SetOfTomoMasks, tomograms: SetOfTomograms) -> List[str]:
        missing = sorted(set(byId(masks)) - set(byId(tomograms)))
        return (
            [f"Some segmentations have no matching tomogram: {listed(missing)}. They are matched by name (tsId)."]
            if missing
            else []
        )

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

    def _tell(self, results: Sequence[Result]) -> List[str]:
        coordinates = getattr(self, "outputCoordinates", None)
        if coordinates is None:
            return ["No coordinates yet."]
        counts = self._result().outputs.counts
        lines = [f"*{counted(coordinates.getSize(), 'coordinate')}* of {self._what()} ({self.getEnumText('shape')})"]
        return lines + [f"  {name}: {count}" for name, count in sorted(counts.items())]

    def _methods(self) -> List[str]:
        coordinates = getattr(self, "outputCoordinates", None)
        if coordinates is None:
            return []
        return [
            pickedInWords(
                coordinates.getSize(),
                self.getEnumText("shape"),
                self.spacing.get(),
                self._what(),
                self._engineResults(),
            )
        ]

    def _citations(self) -> List[str]:
        return ["cryodl", METHOD]
