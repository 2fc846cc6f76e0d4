# SPDX-License-Identifier: GPL-3.0-or-later
"""Find particles in tomograms, with a template or with a trained detector."""

import re
from typing import Any, Dict, List, Optional

from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form
from tomo.objects import SetOfCoordinates3D

from ...convert.structures import structureFileOf
from ...convert.tomograms.coordinates3d import appendCoordinates3D, readCoordinates3D, speciesOfRow
from ...convert.tomograms.tomograms import byId, clonesOf, engineNames, filesOf, idOf
from ...engine.cryodl import contract
from ...form import addConfigParams
from ..checks import checkModelFolder
from ..form_parts import addBoxSize, addPointer, notOnForm
from .detection_words import MATCHING, detectedLines, detectionInWords, detectorCitations
from .tomogram_checks import checkTomograms
from .tomograms_base import TomogramsBase

TEMPLATE, NETWORK = 0, 1
_TEMPLATE, _NETWORK = (f"findBy == {kind}" for kind in (TEMPLATE, NETWORK))
OF_SPECIES = "coordinates_{}"  # of several species; signs that no attribute can have are underscores
_OF_TEMPLATES = [
    "diameter",
    "symmetry",
    "resolution",
    "angular_step",
    "contrast",
    "defocus",
    "phase_flipped",
    "whitening",
    "false_detections",
]
_BOX = 1.5  # diameters of the largest species


class CryodlProtDetectParticles(TomogramsBase):
    """Find particles in tomograms: with a template in all orientations, or with a trained detector.

    In: tomograms, and a map or an atomic model, or a model of *cryodl - train particle detector*. Out: 3-D coordinates;
    with a template each has an orientation. The group of a coordinate is its species; of several species each has a set
    of its own, too. The summary says how many detections noise of the same spectrum gives. A stopped run continues with
    the tomogram where it was.
    """

    _label = "detect particles"
    _CONFIG = contract.DetectParticlesConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        tomograms="the input tomograms",
        template="the input structure",
        template_pixel_size="the structure's sampling rate",
        model="the input model",
        pixel_size="the tomograms' sampling rate",
        tilt_min="of the tomograms' acquisition",
        tilt_max="of the tomograms' acquisition",
        names="made from the tomograms' names",
        tilt_series_pixel_size="for STAR files outside Scipion",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        addPointer(
            form,
            "inputTomograms",
            "SetOfTomograms",
            "Tomograms",
            "Tomograms to search. Their tilt range is taken from their acquisition.",
            important=True,
        )
        form.addParam(
            "findBy",
            params.EnumParam,
            default=TEMPLATE,
            label="Find by",
            choices=["a template", "a trained detector"],
            help="A template is compared at every position in many orientations: it needs no training and gives "
            "orientations, but takes long. A detector trained with *cryodl - train particle detector* finds the "
            "species of its training and is fast.",
        )
        addPointer(
            form,
            "inputStructure",
            "Volume,AtomStruct",
            "Template",
            "Map (protein positive) or atomic model of the particle.",
            condition=_TEMPLATE,
            allowsNull=True,
            important=True,
        )
        addPointer(
            form,
            "inputModel",
            "CryodlModel",
            "Detector",
            "A model of *cryodl - train particle detector*.",
            condition=_NETWORK,
            allowsNull=True,
            important=True,
        )
        conditions = {name: dict(condition=_TEMPLATE) for name in _OF_TEMPLATES}
        addConfigParams(form, self._CONFIG, ["threshold"] + _OF_TEMPLATES, **conditions)
        addConfigParams(form, self._CONFIG, ["minimum_distance", "border", "control", "memory", "seed"])
        addBoxSize(form, "tomograms", "1.5 times the diameter of the largest species.")
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.detectStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, self.boxSize.get(), needsGPU=False)

    def detectStep(self, settings: Dict[str, Any]) -> None:
        values = self._engineValues()
        if self._byTemplate():
            values["template"] = self._structureFor(self.inputStructure.get(), named=True)
        self._runOnce(self._config(**values), self._detectedFolder(), goesOn=True)

    def createOutputStep(self, settings: Dict[str, Any], boxSize: Optional[int]) -> None:
        made = self._result().outputs
        species = made["species"]
        rows = {name: readCoordinates3D(path) for name, path in made["files"].items()}
        outputs = dict(outputCoordinates=self._coordinates(made, rows, species, boxSize, ""))
        for number, one in enumerate(species if len(species) > 1 else (), 1):
            outputs[OF_SPECIES.format(re.sub(r"\W", "_", one))] = self._coordinates(
                made, rows, [one], boxSize, f"_{number}"
            )
        self._defineOutputs(**outputs)
        for output in outputs.values():
            for pointer in (self.inputTomograms, self.inputStructure if self._byTemplate() else self.inputModel):
                self._defineSourceRelation(pointer, output)

    def _coordinates(
        self, made: Any, rows: Dict[str, Any], species: List[str], boxSize: Optional[int], suffix: str
    ) -> SetOfCoordinates3D:
        """SetOfCoordinates3D of some species. rows: {tomogram's name for the engine: of readCoordinates3D}."""
        source = self.inputTomograms.get()
        coordinates = SetOfCoordinates3D.create(self._getPath(), template="coordinates%s.sqlite", suffix=suffix)
        coordinates.setPrecedents(self.inputTomograms)
        coordinates.setSamplingRate(source.getSamplingRate())
        largest = max(made["diameters"][one] for one in species)
        coordinates.setBoxSize(boxSize or 2 * round(_BOX * largest / source.getSamplingRate() / 2))
        groups = {name: number for number, name in enumerate(made["species"], 1)}
        tomograms, names = byId(source), engineNames(source)
        for key in sorted(names):
            mine = [row for row in rows.get(names[key], ()) if speciesOfRow(row) in species]
            appendCoordinates3D(coordinates, tomograms[key], mine, groups)
        return coordinates

    # ----- what the steps share
    def _byTemplate(self) -> bool:
        return self.findBy.get() == TEMPLATE

    def _detectedFolder(self) -> str:
        return self._getExtraPath("detected")

    def _engineValues(self) -> Dict[str, Any]:
        tomograms = self.inputTomograms.get()
        items, names = clonesOf(tomograms), engineNames(tomograms)
        structure, model = self.inputStructure.get(), self.inputModel.get()
        by = (
            dict(template=None if structure is None else structureFileOf(structure), model=None)
            if self._byTemplate()
            else dict(template=None, model=None if model is None else model.getFolder())
        )
        return dict(
            by,
            tomograms=filesOf(items),
            names=tuple(names[idOf(item)] for item in items),
            output=self._detectedFolder(),
            pixel_size=tomograms.getSamplingRate(),
            threads=self.numberOfThreads.get(),
            **self._tilts(tomograms),
        )

    @staticmethod
    def _tilts(tomograms: Any) -> Dict[str, float]:
        """The range of tilts of the set's acquisition; nothing where it says none, and the usual ±60° is taken."""
        acquisition = tomograms.getFirstItem().getAcquisition()
        low, high = (None, None) if acquisition is None else (acquisition.getAngleMin(), acquisition.getAngleMax())
        if low is None or high is None or not -90 <= low < high <= 90:
            return {}
        return dict(tilt_min=float(low), tilt_max=float(high))

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        errors = checkTomograms(self.inputTomograms.get())
        structure, model = self.inputStructure.get(), self.inputModel.get()
        if self._byTemplate() and not errors:
            errors = ["Template is missing."] if structure is None else self._checkStructure(structure)
        if not self._byTemplate() and not errors:
            errors = ["Detector is missing."] if model is None else checkModelFolder(model.getFolder(), "detector")
        if self.boxSize.get() is not None and self.boxSize.get() < 2:
            errors.append(f"Box size (px) is {self.boxSize.get()}; it must be at least 2.")
        return errors

    def _warnings(self) -> List[str]:
        if self._byTemplate() and not self._tilts(self.inputTomograms.get()):
            return ["The tomograms do not store their tilt range; -60° to 60° is assumed."]
        return []

    def _made(self) -> Any:
        """The engine's outputs, None before the coordinates are there."""
        return None if getattr(self, "outputCoordinates", None) is None else self._result().outputs

    def _tell(self, results: Any) -> List[str]:
        made = self._made()
        return ["No coordinates yet."] if made is None else detectedLines(made)

    def _methods(self) -> List[str]:
        made = self._made()
        if made is None:
            return []
        structure = self.inputStructure.get()
        name = "" if structure is None else self._structureName(structure)
        return [detectionInWords(made, name, self._detectorCard(), self._engineResults())]

    def _detectorCard(self) -> Optional[Dict[str, Any]]:
        """The detector's card; None with a template, and if the model is gone, which must not hide what it found."""
        model = self.inputModel.get()
        try:
            return None if self._byTemplate() or model is None else contract.read_card(model.getFolder())
        except ValueError:
            return None

    def _citations(self) -> List[str]:
        if self._byTemplate():
            return ["cryodl"] + MATCHING
        card = self._detectorCard()
        return detectorCitations(card["network"] if card else None)
