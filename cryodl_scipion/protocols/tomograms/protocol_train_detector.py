# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a network that finds particles in tomograms."""

import os
from typing import Any, Dict, List, Tuple

import pyworkflow.utils as pwutils
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ...convert.tomograms.coordinates3d import speciesIn, writeCoordinates3D
from ...convert.tomograms.tomograms import byId, clonesOf, engineNames
from ...engine.cryodl import contract
from ...form import addConfigParams
from ..checks import checkModelFolder, listed
from ..form_parts import addPointer, addStartModel, notOnForm
from ..training import TrainsModel
from .detection_words import detectorCitations, detectorInWords, detectorLines
from .tomogram_checks import checkTomograms
from .tomograms_base import TomogramsBase


class CryodlProtTrainDetector(TrainsModel, TomogramsBase):
    """Train a network that finds particles of one or several species in tomograms.

    In: tomograms, and the coordinates of all particles of the species in them. Out: a model for *cryodl - detect
    particles*. Its card says what it learned from and how well it does on tomograms held out. A stopped run continues
    where it was.
    """

    _label = "train particle detector"
    _KIND = "detector"
    _CONFIG = contract.TrainDetectorConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        "start_from",
        tomograms="the input tomograms",
        coordinates="written from the input coordinates",
        pixel_size="the tomograms' sampling rate",
        names="made from the tomograms' names",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        addPointer(
            form,
            "inputTomograms",
            "SetOfTomograms",
            "Tomograms",
            "Tomograms in which the coordinates of all particles of the species are known. The rest is learned as "
            "background.",
            important=True,
        )
        form.addParam(
            "inputCoordinates",
            params.MultiPointerParam,
            pointerClass="SetOfCoordinates3D",
            minNumObjects=1,
            important=True,
            label="Coordinates",
            help="Coordinates of the particles in these tomograms, matched by name (tsId). Each set is one species, "
            "named species_1, species_2, ... in their order, unless the coordinates store their species, as "
            "those of cryodl do.",
        )
        addConfigParams(
            form,
            self._CONFIG,
            ["diameter", "species", "beta"],
            diameter=dict(important=True),
            species=dict(more="\n\nSeparated by commas. Empty: all species."),
        )
        form.addSection("Training")
        addConfigParams(
            form,
            self._CONFIG,
            [
                "network",
                "working_pixel_size",
                "steps",
                "patience",
                "validation_fraction",
                "batch_size",
                "learning_rate",
            ],
        )
        addStartModel(form, "A detector of the same species to continue from.")
        addConfigParams(form, self._CONFIG, ["seed"])
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        # The settings are the steps' argument, so that a changed one trains anew when the run is continued.
        self._insertFunctionStep(self.writeInputStep, self._settings(), needsGPU=False)
        self._insertFunctionStep(self.trainStep, self._settings())
        self._insertFunctionStep(self.createOutputStep, self._settings(), needsGPU=False)

    def writeInputStep(self, settings: Dict[str, Any]) -> None:
        tomograms = self.inputTomograms.get()
        self._linkVolumes("tomograms", self._inOrder(clonesOf(tomograms)))
        pwutils.makePath(self._inputFolder())
        writeCoordinates3D(self._starFile(), self._namedSets(), tomograms, engineNames(tomograms))

    def trainStep(self, settings: Dict[str, Any]) -> None:
        self._train(self._config(**self._engineValues()), self._getExtraPath())

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        self._defineModel([self.inputTomograms, *self.inputCoordinates, self.inputModel])

    # ----- what the steps share
    def _starFile(self) -> str:
        return os.path.join(self._inputFolder(), "particles.star")

    def _namedSets(self) -> List[Tuple[Any, str]]:
        """[(SetOfCoordinates3D, name of its species where its items do not say)]."""
        return [(one, f"species_{number}") for number, one in enumerate(self._pointed("inputCoordinates"), 1)]

    def _engineValues(self) -> Dict[str, Any]:
        tomograms, model = self.inputTomograms.get(), self.inputModel.get()
        return dict(
            output=self.getModelFolder(),
            tomograms=self._linkPaths("tomograms", self._inOrder(clonesOf(tomograms))),
            coordinates=(self._starFile(),),
            pixel_size=tomograms.getSamplingRate(),
            threads=self.numberOfThreads.get(),
            start_from=None if model is None else model.getFolder(),
            names=(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        tomograms, sets = self.inputTomograms.get(), self._namedSets()
        errors = checkTomograms(tomograms)
        if not errors and not sets:
            errors = ["Coordinates are missing. Choose at least one set of 3-D coordinates."]
        for one, name in [] if errors else sets:
            errors += self._checkCoordinates(one, name, tomograms)
        model = self.inputModel.get()
        return errors or ([] if model is None else checkModelFolder(model.getFolder(), "detector"))

    def _checkCoordinates(self, coordinates: Any, name: str, tomograms: Any) -> List[str]:
        if not coordinates.getSize():
            return [f"The set of coordinates {name} is empty. Choose another."]
        known = set(byId(tomograms))
        theirs = {item.getTomoId() for item in coordinates.iterItems()}
        if theirs & known:
            return []
        return [
            f"None of the coordinates ({name}) belongs to one of the tomograms ({listed(sorted(known))}); their "
            f"tomograms are {listed(sorted(str(n) for n in theirs))}. They are matched by name (tsId)."
        ]

    def _warnings(self) -> List[str]:
        known = {name for one, other in self._namedSets() for name in speciesIn(one, other)}
        wanted = [word.strip() for word in (self.species.get() or "").split(",") if word.strip()]
        missing = sorted(set(wanted) - known)
        return [f"There are no coordinates of {listed(missing)}; there are {listed(sorted(known))}."] if missing else []

    def _tell(self, results: Any) -> List[str]:
        card = self._card()
        return ["No model yet."] if card is None else detectorLines(card)

    def _methods(self) -> List[str]:
        card = self._card()
        return [] if card is None else [detectorInWords(card)]

    def _citations(self) -> List[str]:
        return detectorCitations(self.getEnumText("network"))
