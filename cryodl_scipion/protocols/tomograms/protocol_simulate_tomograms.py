# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulate tomograms of which everything is known."""

from typing import Any, Dict, List, Sequence

from pyworkflow.object import Pointer
from tomo.objects import SetOfCoordinates3D, SetOfTomograms, SetOfTomoMasks, TomoAcquisition, Tomogram

from ...convert.tomograms.coordinates3d import appendCoordinates3D, readCoordinates3D
from ...convert.tomograms.simulated_tomograms import appendLabels, appendTomograms
from ...convert.tomograms.tomograms import markLabels
from ...engine.cryodl.contract import Result, SimulateTomogramsConfig
from ...engine.cryodl.contract.tomograms.simulating import SimulateTomogramsOutputs
from ..engine_protocol import OneRun
from ..kinds import BoxSize, MapsOrModels, Options, Section
from .tomogram_words import simulationLines, tomogramSimulationInWords


class CryodlProtSimulateTomograms(OneRun[SimulateTomogramsConfig, SimulateTomogramsOutputs]):
    """Simulate tomograms of cells, with known ground truth.

    In: maps or atomic models of particles, or none. Out: tomograms with particles, membranes, filaments and
    fiducials; TomoMasks whose labels say which voxel is what; 3-D coordinates of the particles with their true
    angles, one group for each structure. For tests of segmentation, picking and averaging, which need the ground
    truth.
    """

    _label = "simulate tomograms"
    OUTPUT, NOTHING_YET = "simulated", "No tomograms yet."
    FORM = (
        MapsOrModels(
            "inputStructures",
            "Maps (protein positive) or atomic models of the particles, of the right handedness. Each is a "
            "separate feature with its own label. The pixel size of a map is that of Scipion's object.",
            named=True,
            empty="no particles, only the rest of the cell",
        ),
        Options("copies", "pixel_size", "size", "thickness", "count"),
        BoxSize("tomograms", default=32),
        Section("Cell"),
        Options("vesicles", "membranes", "microtubules", "filaments", "fiducials", "membrane_proteins", "crowding"),
        Section("Microscope"),
    )

    def _settings(self) -> Dict[str, Any]:
        return dict(super()._settings(), box_size=self.boxSize.get())

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        """The tomograms first: the coordinates point to them as an output."""
        config, made = self._config(), self._result().outputs
        tomograms = SetOfTomograms.create(self._getPath(), template="tomograms%s.sqlite")
        tomograms.setSamplingRate(made.pixel_size)
        tomograms.setAcquisition(_acquisition(config, made))
        byName = appendTomograms(tomograms, made.tomograms, made.even or {}, made.odd or {})
        self._defineRelated(outputTomograms=tomograms)
        labels = SetOfTomoMasks.create(self._getPath(), template="labels%s.sqlite")
        labels.copyInfo(tomograms)
        appendLabels(labels, byName, made.labels)
        markLabels(labels, made.features)
        outputs = dict(outputLabels=labels)
        if config.structures:
            outputs["outputCoordinates"] = self._coordinates(tomograms, byName, made)
        self._defineRelated(**outputs)

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

    # ----- information
    def _tell(self, results: Sequence[Result]) -> List[str]:
        made = self._made()
        if made is None or getattr(self, "outputTomograms", None) is None:
            return [self.NOTHING_YET]
        return simulationLines(self._config(), made)

    def _methods(self) -> List[str]:
        made = self._made()
        if made is None or getattr(self, "outputTomograms", None) is None:
            return []
        return [tomogramSimulationInWords(self._config(), made, self._engineResults())]


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
