# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulate micrographs of which everything is known."""

from typing import Any, Dict, List, Sequence

from pwem.objects import Acquisition
from pwem.protocols import EMProtocol
from pyworkflow import BETA
from pyworkflow.object import Pointer
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ...convert.alignment import writeOrientations
from ...convert.micrographs.picks import boxSizeFor, setDiameter
from ...convert.micrographs.simulated import appendCoordinates, appendCTFs, appendMicrographs, appendParticles
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..form_parts import addPointer
from ..methods import simulationInWords
from ..protocol_base import CryodlProtBase
from ..simulating import NOT_ON_FORM, SimulatesMicrographs, checkOrientations


class CryodlProtSimulate(SimulatesMicrographs, CryodlProtBase, EMProtocol):
    """Simulate micrographs of a structure, with known particles.

    In: an atomic model or a map; micrographs of your own for the spectrum of the noise, if there are any. Out:
    micrographs, the exact coordinates of their particles, their CTFs and, with a box size, the particles with their
    orientations (projection alignment) and CTF. Carbon edges, ice, aggregates and gradients of ice may be added.
    For tests of pickers, 2-D classes and reconstructions, which need the ground truth. A stopped run continues
    where it was.
    """

    _label = "simulate micrographs"
    _devStatus = BETA
    _CONFIG = contract.SimulateMicrographsConfig
    NOT_ON_FORM = dict(NOT_ON_FORM, orientations="written from the input particles")
    OTHER_DEFAULTS = {"count": 10}  # the command line wants a number

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addSourceParams(form)
        addPointer(
            form,
            "inputParticles",
            "SetOfParticles",
            "Orientations",
            "Particles with projection alignment. Orientations of the simulated particles are drawn from them, for "
            "instance to reproduce the preferred orientations of a real set.\n\nEmpty: uniform over all "
            "orientations.",
            allowsNull=True,
            pointerCondition="hasAlignmentProj",
            expertLevel=params.LEVEL_ADVANCED,
        )
        self._addSimulationParams(
            form, ["count", "size", "particles", "box_size"], count=dict(default=self.OTHER_DEFAULTS["count"])
        )
        form.addSection("Simulation")
        self._addSimulationParams(
            form,
            [
                "snr",
                "snr_max",
                "dose",
                "contrast",
                "minimum_defocus",
                "maximum_defocus",
                "astigmatism",
                "voltage",
                "spherical_aberration",
                "amplitude_contrast",
                "minimum_distance",
                "ice",
                "aggregates",
                "carbon",
                "gradient",
            ],
        )
        addConfigParams(form, contract.Request, ["seed"])
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.simulateStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def simulateStep(self, settings: Dict[str, Any]) -> None:
        particles = self.inputParticles.get()
        if particles is not None:
            writeOrientations(self._orientationsFile(), particles)
        self._simulate(orientations=None if particles is None else self._orientationsFile())

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        config, made = self._config(**self._engineValues()), self._simulated()
        micrographs = self._createSetOfMicrographs()
        micrographs.setSamplingRate(config.pixel_size)
        micrographs.setAcquisition(_acquisition(config))
        byName = appendMicrographs(micrographs, made.micrographs)
        self._defineOutputs(outputMicrographs=micrographs)
        pointer = Pointer(self, extended="outputMicrographs")
        coordinates = self._createSetOfCoordinates(pointer)
        coordinates.setBoxSize(config.box_size or boxSizeFor(made.particle_diameter, config.pixel_size))
        setDiameter(coordinates, made.particle_diameter)
        appendCoordinates(coordinates, byName, made.coordinates)
        ctfs = self._createSetOfCTF()
        ctfs.setMicrographs(pointer)
        appendCTFs(ctfs, byName, made.ctf)
        outputs = dict(outputCoordinates=coordinates, outputCTF=ctfs)
        if made.particle_stack:
            outputs["outputParticles"] = self._particles(config, byName, made.particle_stack)
        self._defineOutputs(**outputs)
        for output in [micrographs] + list(outputs.values()):
            self._defineSourceRelation(self.inputStructure, output)

    def _particles(self, config: Any, byName: Dict[str, Any], stack: Any) -> Any:
        particles = self._createSetOfParticles()
        particles.setSamplingRate(config.pixel_size)
        particles.setAcquisition(_acquisition(config))
        particles.setHasCTF(True)
        particles.setAlignmentProj()
        appendParticles(particles, byName, stack)
        return particles

    # ----- what the steps share
    def _orientationsFile(self) -> str:
        return self._getExtraPath("orientations.star")

    def _engineValues(self) -> Any:
        particles = self.inputParticles.get()
        return dict(self._simulationValues(), orientations=None if particles is None else self._orientationsFile())

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        return self._checkSources() + checkOrientations(self.inputParticles.get())

    def _tell(self, results: Sequence[Result]) -> List[str]:
        made, micrographs = self._simulated(), getattr(self, "outputMicrographs", None)
        if micrographs is None:
            return ["No micrographs yet."]
        lines = [
            f"*{micrographs.getSize()} micrographs* with {made.particles} particles of "
            f"{made.particle_diameter:.0f} Å, at {micrographs.getSamplingRate():g} Å/px"
        ]
        particles = getattr(self, "outputParticles", None)
        if particles is not None:
            lines.append(f"{particles.getSize()} of the particles were extracted.")
        return lines + [self._sourceLine()]

    def _methods(self) -> List[str]:
        if getattr(self, "outputMicrographs", None) is None:
            return []
        return [
            simulationInWords(
                self._config(**self._engineValues()), self._simulated(), self._sourceName(), self._engineResults()
            )
        ]

    def _citations(self) -> List[str]:
        return ["cryodl"]


def _acquisition(config: Any) -> Any:
    return Acquisition(
        voltage=config.voltage,
        sphericalAberration=config.spherical_aberration,
        amplitudeContrast=config.amplitude_contrast,
        magnification=50000,
        doseInitial=0.0,
        dosePerFrame=config.dose,
    )
