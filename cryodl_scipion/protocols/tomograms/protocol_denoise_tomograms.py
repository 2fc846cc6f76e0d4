# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoise tomograms and fill their missing wedge."""

import os
from typing import Any, Dict, List, Sequence

from pyworkflow.object import String
from pyworkflow.protocol.params import Form
from tomo.objects import SetOfTomograms

from ...convert.tomograms.denoised_tomograms import DENOISER, denoisedOf, halfTomogramsOf
from ...convert.tomograms.subtomograms import tiltRange
from ...convert.tomograms.tomograms import clonesOf, engineNames, fileOf, idOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ...objects import CryodlModel
from ..checks import checkModelFolder, listed
from ..form_parts import addPointer, notOnForm
from .denoising_words import denoisedInWords, denoisedLines, tomogramDenoisingCitations
from .tomogram_checks import checkTomograms
from .tomograms_base import TomogramsBase

KIND = "tomogram_denoiser"
DENOISED, MODEL = "outputTomograms", "outputModel"


class CryodlProtDenoiseTomograms(TomogramsBase):
    """Denoise tomograms, and fill their missing wedge, by a network that learns from their even and odd halves.

    In: tomograms with half tomograms, as reconstructions from even and odd frames (or tilts) have them; or any
    tomograms and a model that was trained before on such halves. Out: tomograms of the same names, size, pixel size
    and origin, for viewing, annotating and segmenting, and the model. Subtomograms that are averaged are extracted
    from the tomograms as they were.
    """

    _label = "denoise tomograms"
    _CONFIG = contract.DenoiseTomogramsConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        tomograms="the input set",
        even="the tomograms' half maps",
        odd="the tomograms' half maps",
        model="the model that the pointer gives",
        tilt_min="the tomograms' acquisition",
        tilt_max="the tomograms' acquisition",
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
            "Tomograms with their even and odd halves, which reconstruction programs can write. Tomograms without "
            "halves need a model.",
            important=True,
        )
        addPointer(
            form,
            "inputModel",
            "CryodlModel",
            "Model",
            "Tomogram denoiser of an earlier run of this protocol.\n\nEmpty: a new one is trained on these tomograms.",
            allowsNull=True,
        )
        learned = "inputModel is None"
        addConfigParams(form, self._CONFIG, ["fill_wedge", "halves", "memory"], fill_wedge=dict(condition=learned))
        form.addSection("Training")
        fields = ["training_tomograms", "steps", "network", "seed"]
        addConfigParams(form, self._CONFIG, fields, **{name: dict(condition=learned) for name in fields})
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.denoiseStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def denoiseStep(self, settings: Dict[str, Any]) -> None:
        self._runOnce(self._config(**self._engineValues()), self._denoisedFolder(), goesOn=True)

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        made, source = self._result().outputs, self.inputTomograms.get()
        denoised = SetOfTomograms.create(self._getPath())
        denoised.copyInfo(source)
        names = engineNames(source)
        for tomogram in clonesOf(source):
            name = names[idOf(tomogram)]
            if name in made.files:
                halves = [made[half][name] for half in ("even", "odd") if name in made[half]]
                denoised.append(denoisedOf(tomogram, made.files[name], halves, self._card()["name"]))
        setattr(denoised, DENOISER, String(self._card()["name"]))
        outputs = {DENOISED: denoised}
        if self.inputModel.get() is None:
            outputs[MODEL] = CryodlModel.fromFolder(self.getModelFolder())
        self._defineOutputs(**outputs)
        for output in outputs.values():
            self._defineSourceRelation(self.inputTomograms, output)

    # ----- files and settings
    def _denoisedFolder(self) -> str:
        return self._getExtraPath("denoised")

    def getModelFolder(self) -> Any:
        """Folder of the model: the given one, or the one trained here; while it trains only <folder>.partial is
        there."""
        model = self.inputModel.get()
        return os.path.join(self._denoisedFolder(), "model") if model is None else model.getFolder()

    def _card(self) -> Any:
        """The model's card, None before it is there."""
        folder = self.getModelFolder()
        return contract.read_card(folder) if os.path.exists(os.path.join(folder, contract.CARD)) else None

    def _engineValues(self) -> Dict[str, Any]:
        tomograms, model = self.inputTomograms.get(), self.inputModel.get()
        items = clonesOf(tomograms)
        names, halves = engineNames(tomograms), [halfTomogramsOf(item) for item in items]
        both = bool(halves) and all(halves)
        minimum, largest = self._tilts() or (-60.0, 60.0)
        return dict(
            tomograms=() if both else tuple(fileOf(item) for item in items),
            even=tuple(pair[0] for pair in halves) if both else (),
            odd=tuple(pair[1] for pair in halves) if both else (),
            names=tuple(names[idOf(item)] for item in items),
            model=None if model is None else model.getFolder(),
            pixel_size=tomograms.getSamplingRate(),
            tilt_min=minimum,
            tilt_max=largest,
            output=self._denoisedFolder(),
            threads=self.numberOfThreads.get(),
            **({} if model is None else dict(fill_wedge=False)),
        )

    def _tilts(self) -> Any:
        """(least, largest) degrees of the first tomogram, or of the set, that says; None if none does."""
        tomograms = self.inputTomograms.get()
        known = [tiltRange(item) for item in [*clonesOf(tomograms), tomograms]]
        return next((found for found in known if found), None)

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        tomograms, model = self.inputTomograms.get(), self.inputModel.get()
        errors = checkTomograms(tomograms)
        if model is not None:
            errors += checkModelFolder(model.getFolder(), KIND)
        return errors or self._checkHalves() or self._checkTilts()

    def _checkHalves(self) -> List[str]:
        """Sentences about tomograms without halves where others have them, or where a network has to learn."""
        items = clonesOf(self.inputTomograms.get())
        without = [idOf(item) for item in items if not halfTomogramsOf(item)]
        if not without:
            lost = [path for item in items for path in halfTomogramsOf(item) if not os.path.exists(path)]
            return [
                f"The half tomogram {path} does not exist. Restore it, or reconstruct it again." for path in lost[:1]
            ]
        if len(without) < len(items):
            return [f"Some tomograms have no halves: {listed(without)}. Make a subset of those that have."]
        if self.inputModel.get() is None:
            return [
                "The tomograms have no halves to train on. Reconstruct even and odd halves, or choose a model that "
                "was trained on halves of similar tomograms."
            ]
        return []

    def _checkTilts(self) -> List[str]:
        if self.inputModel.get() is None and self.fillWedge.get() and not self._tilts():
            return [
                "The tomograms do not store their minimum and maximum tilt, which define the missing wedge. Import "
                "them again with their acquisition."
            ]
        return []

    def _tell(self, results: Sequence[Result]) -> List[str]:
        denoised, result = getattr(self, DENOISED, None), self._result()
        if denoised is None or result is None:
            return ["No denoised tomograms yet."]
        return denoisedLines(denoised.getSize(), self._card(), result.outputs.controls)

    def _methods(self) -> List[str]:
        denoised = getattr(self, DENOISED, None)
        return [] if denoised is None else [denoisedInWords(denoised.getSize(), self._card(), self._engineResults())]

    def _citations(self) -> List[str]:
        return tomogramDenoisingCitations(self._card(), self.fillWedge.get())
