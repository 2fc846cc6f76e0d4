# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulate particles of which everything is known."""

from typing import Any, Dict, List, Sequence

from pwem.objects import Acquisition, Volume
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ...convert.alignment import writeOrientations
from ...convert.particles.simulated_particles import appendSimulated
from ...convert.structures import structureFileOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..form_parts import notOnForm
from ..methods import particleSimulationInWords, simulatedStatesLines
from ..simulating import checkOrientations
from .particles_base import ParticlesBase


class CryodlProtSimulateParticles(ParticlesBase):
    """Simulate particle images of a structure, with known ground truth.

    In: an atomic model or a map. Out: particles with noise, with their true alignment (projection alignment), CTF
    and half sets; the same without noise and CTF, with the same ids; and the map they were made of, in their box
    and pixel size. For tests of denoisers, orientations and reconstructions, which need the ground truth.
    """

    _label = "simulate particles"
    _CONFIG = contract.SimulateParticlesConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        structure="the input structure",
        structures="mixtures of several files are made on the command line",
        ctf_from="the ranges of the form",
        orientations="written from the input particles",
    )
    OTHER_DEFAULTS = {"count": 1000, "box": 128, "snr": 0.05}  # the command line wants numbers

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addStructureParam(
            form, "Structure of the particles. If a model defines biological assemblies, the first one is built."
        )
        addConfigParams(
            form,
            self._CONFIG,
            ["pixel_size", "box", "count", "snr", "snr_area", "max_shift", "per_micrograph", "contrast"],
            pixel_size=dict(help="Pixel size of the simulated images.\n\nEmpty: that of the map."),
            **{name: dict(default=value) for name, value in self.OTHER_DEFAULTS.items()},
        )
        self._addParticlesParam(
            form,
            "Particles with projection alignment. Orientations of the simulated particles are drawn from them, for "
            "instance to reproduce the preferred orientations of a real set.\n\nEmpty: uniform over all "
            "orientations.",
            allowsNull=True,
            important=False,
            expertLevel=params.LEVEL_ADVANCED,
            label="Orientations",
            pointerCondition="hasAlignmentProj",
        )
        form.addSection("States")
        addConfigParams(
            form, self._CONFIG, ["missing_chains", "domain", "hinge_axis", "hinge_range", "hinge_states", "weights"]
        )
        form.addSection("Microscope")
        addConfigParams(
            form,
            self._CONFIG,
            [
                "minimum_defocus",
                "maximum_defocus",
                "astigmatism",
                "voltage",
                "spherical_aberration",
                "amplitude_contrast",
                "seed",
            ],
        )
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.simulateStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def simulateStep(self, settings: Dict[str, Any]) -> None:
        structure = self._structureFor(self.inputStructure.get())
        if self.inputParticles.get() is not None:
            writeOrientations(self._orientationsFile(), self.inputParticles.get())
        beside = [self._getExtraPath("particles" + end) for end in (".mrcs", "_clean.mrcs", "_map.mrc")]
        self._runOnce(self._config(**dict(self._engineValues(), structure=structure)), self._starFile(), *beside)

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        config, made = self._config(**self._engineValues()), self._result().outputs
        acquisition = Acquisition(
            voltage=config.voltage,
            sphericalAberration=config.spherical_aberration,
            amplitudeContrast=config.amplitude_contrast,
            magnification=50000,
        )
        sets = [self._createSetOfParticles(), self._createSetOfParticles("_clean")]
        for particles, hasCTF in zip(sets, (True, False)):
            particles.setSamplingRate(config.pixel_size)
            particles.setAcquisition(acquisition.clone())  # each set stores its own
            particles.setHasCTF(hasCTF)
            particles.setAlignmentProj()
        appendSimulated(sets[0], made.particles, made.clean, sets[1])
        sets[1].setObjComment("Projections without CTF and noise.")
        volume = Volume(location=made.map)
        volume.setSamplingRate(config.pixel_size)
        outputs = dict(outputParticles=sets[0], outputClean=sets[1], outputVolume=volume)
        self._defineOutputs(**outputs)
        for output in outputs.values():
            self._defineSourceRelation(self.inputStructure, output)

    def _starFile(self) -> str:
        return self._getExtraPath("particles.star")

    def _orientationsFile(self) -> str:
        return self._getExtraPath("input", "orientations.star")

    def _engineValues(self) -> Any:
        structure, particles = self.inputStructure.get(), self.inputParticles.get()
        values = dict(
            structure=structureFileOf(structure),
            output=self._starFile(),
            threads=self.numberOfThreads.get(),
            orientations=None if particles is None else self._orientationsFile(),
        )
        if self.pixelSize.get() is None and isinstance(structure, Volume):
            values["pixel_size"] = structure.getSamplingRate()
        return values

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        return self._checkStructure(self.inputStructure.get()) + checkOrientations(self.inputParticles.get())

    def _tell(self, results: Sequence[Result]) -> List[str]:
        output = getattr(self, "outputParticles", None)
        if output is None:
            return ["No particles yet."]
        return [
            f"*{output.getSize()} particles* of {output.getXDim()} px, at {output.getSamplingRate():g} Å/px, "
            f"SNR {self.snr.get():g}",
            f"Structure: {self._structureName(self.inputStructure.get())}",
            *simulatedStatesLines(self._config(**self._engineValues())),
            "Angles, shifts, CTF and noise-free images are exact.",
        ]

    def _methods(self) -> List[str]:
        if getattr(self, "outputParticles", None) is None:
            return []
        return [
            particleSimulationInWords(
                self._config(**self._engineValues()),
                self._structureName(self.inputStructure.get()),
                self._engineResults(),
            )
        ]
