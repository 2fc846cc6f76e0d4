# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulate subtomograms of which everything is known."""

import os
from typing import Any, Dict, List, Sequence

from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form
from tomo.objects import SetOfSubTomograms, TomoAcquisition

from ...convert.structures import structureFileOf
from ...convert.tomograms.subtomogram_sets import appendSimulatedSubtomograms
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result, counted
from ...form import addConfigParams
from ..form_parts import notOnForm
from ..one_run import OneRunBase
from .subtomogram_words import subtomogramSimulationInWords


class CryodlProtSimulateSubtomograms(OneRunBase):
    """Simulate subtomograms of several structures, with known ground truth.

    In: maps or atomic models; each is a class, 1, 2, ... in this order. Out: subtomograms with missing wedge, CTF
    and noise, with their true class, transform and half set. For training of classifiers, and for tests of
    classification and averaging, which need the ground truth.
    """

    _label = "simulate subtomograms"
    _CONFIG = contract.SimulateSubtomogramsConfig
    NOT_ON_FORM = notOnForm("output", "device", "threads", structures="the input structures")

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        form.addParam(
            "inputStructures",
            params.MultiPointerParam,
            pointerClass="Volume,AtomStruct",
            minNumObjects=1,
            important=True,
            label="Structures",
            help="Maps (protein positive) or atomic models, of the right handedness. Each is a class, in this order. "
            "The pixel size of a map is that of Scipion's object.",
        )
        addConfigParams(form, self._CONFIG, ["pixel_size", "box", "count", "snr", "max_shift"])
        form.addSection("Microscope")
        addConfigParams(
            form,
            self._CONFIG,
            [
                "tilt_min",
                "tilt_max",
                "tilt_step",
                "defocus",
                "defocus_spread",
                "voltage",
                "spherical_aberration",
                "amplitude_contrast",
                "contrast",
                "seed",
            ],
        )
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.simulateStep, self._settings())
        self._insertFunctionStep(self.createOutputStep, self._settings(), needsGPU=False)

    def simulateStep(self, settings: Dict[str, Any]) -> None:
        files = tuple(self._structureFor(structure, named=True) for structure in self._pointed("inputStructures"))
        self._runOnce(
            self._config(**dict(self._engineValues(), structures=files)),
            self._starFile(),
            os.path.splitext(self._starFile())[0],
        )

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        config, made = self._config(**self._engineValues()), self._result().outputs
        subtomograms = SetOfSubTomograms.create(self._getPath(), template="subtomograms%s.sqlite")
        subtomograms.setSamplingRate(made.pixel_size)
        subtomograms.setAcquisition(
            TomoAcquisition(
                angleMin=config.tilt_min,
                angleMax=config.tilt_max,
                step=config.tilt_step,
                voltage=config.voltage,
                sphericalAberration=config.spherical_aberration,
                amplitudeContrast=config.amplitude_contrast,
                magnification=50000,
            )
        )
        appendSimulatedSubtomograms(subtomograms, made.subtomograms, made.classes)
        self._defineOutputs(outputSubtomograms=subtomograms)
        for pointer in self.inputStructures:
            self._defineSourceRelation(pointer, subtomograms)

    def _starFile(self) -> str:
        return self._getExtraPath("subtomograms.star")

    def _engineValues(self) -> Any:
        return dict(
            structures=tuple(structureFileOf(s) for s in self._pointed("inputStructures")),
            output=self._starFile(),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        structures = self._pointed("inputStructures")
        if not structures:
            return ["Structures is empty. Choose one or several with the magnifying glass."]
        return [problem for structure in structures for problem in self._checkStructure(structure)]

    def _tell(self, results: Sequence[Result]) -> List[str]:
        output = getattr(self, "outputSubtomograms", None)
        if output is None:
            return ["No subtomograms yet."]
        made = self._result().outputs
        return [
            f"*{counted(output.getSize(), 'subtomogram')}* of {made.box} px, at {made.pixel_size:g} Å/px, "
            f"SNR {self.snr.get():g}",
            "Classes: " + ", ".join(f"{number} {name}" for number, name in enumerate(made.classes, 1)),
            "Classes, transforms and half sets are exact.",
        ]

    def _methods(self) -> List[str]:
        if getattr(self, "outputSubtomograms", None) is None:
            return []
        return [subtomogramSimulationInWords(self._config(**self._engineValues()), self._result())]
