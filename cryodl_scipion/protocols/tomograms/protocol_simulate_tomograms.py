# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulate tomograms of which everything is known."""

from typing import Any, Dict, List, Sequence

from pyworkflow.object import Pointer
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form
from tomo.objects import SetOfCoordinates3D, SetOfTomograms, SetOfTomoMasks, TomoAcquisition, Tomogram

from ...convert.structures import structureFileOf
from ...convert.tomograms.coordinates3d import appendCoordinates3D, readCoordinates3D
from ...convert.tomograms.simulated_tomograms import appendLabels, appendTomograms
from ...convert.tomograms.tomograms import markLabels
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result, SimulateTomogramsConfig
from ...engine.cryodl.contract.tomograms.simulating import SimulateTomogramsOutputs
from ...form import addConfigParams
from ..form_parts import addBoxSize, notOnForm
from ..one_run import OneRunBase
from .tomogram_words import simulationLines, tomogramSimulationInWords


class CryodlProtSimulateTomograms(OneRunBase):
    """Simulate tomograms of cells, with known ground truth.

    In: maps or atomic models of particles, or none. Out: tomograms with particles, membranes, filaments and
    fiducials; TomoMasks whose labels say which voxel is what; 3-D coordinates of the particles with their true
    angles, one group for each structure. For tests of segmentation, picking and averaging, which need the ground
    truth.
    """

    _label = "simulate tomograms"
    _CONFIG = contract.SimulateTomogramsConfig
    NOT_ON_FORM = notOnForm("output", "device", "threads", structures="the input structures")

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        form.addParam(
            "inputStructures",
            params.MultiPointerParam,
            pointerClass="Volume,AtomStruct",
            minNumObjects=0,
            allowsNull=True,
            label="Structures",
            help="Maps (protein positive) or atomic models of the particles, of the right handedness. Each is a "
            "separate feature with its own label. The pixel size of a map is that of Scipion's "
            "object.\n\nEmpty: no particles, only the rest of the cell.",
        )
        addConfigParams(form, self._CONFIG, ["copies", "pixel_size", "size", "thickness", "count"])
        addBoxSize(form, "tomograms", default=32)
        form.addSection("Cell")
        addConfigParams(
            form,
            self._CONFIG,
            ["vesicles", "membranes", "microtubules", "filaments", "fiducials", "membrane_proteins", "crowding"],
        )
        form.addSection("Microscope")
        addConfigParams(
            form,
            self._CONFIG,
            [
                "snr",
                "tilt_min",
                "tilt_max",
                "tilt_step",
                "dose",
                "defocus",
                "defocus_spread",
                "voltage",
                "spherical_aberration",
                "amplitude_contrast",
                "contrast",
                "alignment_error",
                "ctf_gradient",
                "tilt_series",
                "halves",
                "seed",
            ],
        )
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        self._insertFunctionStep(self.simulateStep, self._settings())
        self._insertFunctionStep(self.createOutputStep, self._settings(), self.boxSize.get(), needsGPU=False)

    def simulateStep(self, settings: Dict[str, Any]) -> None:
        files = tuple(self._structureFor(structure, named=True) for structure in self._pointed("inputStructures"))
        self._runOnce(self._config(**dict(self._engineValues(), structures=files)), self._simulatedFolder())

    def createOutputStep(self, settings: Dict[str, Any], boxSize: int) -> None:
        config, made = self._config(**self._engineValues()), self._result().outputs
        tomograms = SetOfTomograms.create(self._getPath(), template="tomograms%s.sqlite")
        tomograms.setSamplingRate(made.pixel_size)
        tomograms.setAcquisition(_acquisition(config, made))
        byName = appendTomograms(tomograms, made.tomograms, made.even or {}, made.odd or {})
        self._defineOutputs(outputTomograms=tomograms)
        labels = SetOfTomoMasks.create(self._getPath(), template="labels%s.sqlite")
        labels.copyInfo(tomograms)
        appendLabels(labels, byName, made.labels)
        markLabels(labels, made.features)
        outputs = dict(outputLabels=labels)
        if config.structures:
            outputs["outputCoordinates"] = self._coordinates(tomograms, byName, made)
        self._defineOutputs(**outputs)
        for pointer in self.inputStructures:
            for output in [tomograms] + list(outputs.values()):
                self._defineSourceRelation(pointer, output)

    def _coordinates(
        self, tomograms: SetOfTomograms, byName: Dict[str, Tomogram], made: SimulateTomogramsOutputs
    ) -> SetOfCoordinates3D:
        coordinates = SetOfCoordinates3D.create(self._getPath(), template="coordinates%s.sqlite")
        coordinates.setPrecedents(Pointer(self, extended="outputTomograms"))
        coordinates.setSamplingRate(made.pixel_size)
        coordinates.setBoxSize(self.boxSize.get())
        groups = {name: label for label, name in enumerate(made.features, 1)}
        for name, path in sorted(made.coordinates.items()):
            appendCoordinates3D(coordinates, byName[name], readCoordinates3D(path), groups)
        return coordinates

    # ----- what the steps share
    def _simulatedFolder(self) -> str:
        return self._getExtraPath("simulated")

    def _engineValues(self) -> Dict[str, Any]:
        return dict(
            structures=tuple(structureFileOf(s) for s in self._pointed("inputStructures")),
            output=self._simulatedFolder(),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        errors = [
            problem for structure in self._pointed("inputStructures") for problem in self._checkStructure(structure)
        ]
        if (self.boxSize.get() or 0) < 2:
            errors.append(f"Box size (px) is {self.boxSize.get()}; it must be at least 2.")
        return errors

    def _tell(self, results: Sequence[Result]) -> List[str]:
        if getattr(self, "outputTomograms", None) is None:
            return ["No tomograms yet."]
        return simulationLines(self._config(**self._engineValues()), self._result().outputs)

    def _methods(self) -> List[str]:
        if getattr(self, "outputTomograms", None) is None:
            return []
        return [
            tomogramSimulationInWords(
                self._config(**self._engineValues()), self._result().outputs, self._engineResults()
            )
        ]


def _acquisition(config: SimulateTomogramsConfig, made: SimulateTomogramsOutputs) -> TomoAcquisition:
    return TomoAcquisition(
        angleMin=made.tilt_min,
        angleMax=made.tilt_max,
        step=config.tilt_step,
        accumDose=config.dose,
        tiltAxisAngle=0.0,
        voltage=config.voltage,
        sphericalAberration=config.spherical_aberration,
        amplitudeContrast=config.amplitude_contrast,
        magnification=50000,
    )
