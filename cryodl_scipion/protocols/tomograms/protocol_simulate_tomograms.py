# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulate tomograms or subtomograms of which everything is known."""

import os
from typing import Any, Dict, List

from pyworkflow.object import Pointer
from pyworkflow.protocol import params
from tomo.objects import SetOfCoordinates3D, SetOfSubTomograms, SetOfTomograms, SetOfTomoMasks, TomoAcquisition

from ...convert.tomograms.subtomograms import appendSimulatedSubtomograms
from ...convert.tomograms.tomograms import appendCoordinates3D, appendTomograms, markLabels, maskOf, readCoordinates3D
from ...engine.cryodl import contract
from ..kinds import BoxSize, MapsOrModels, Options, OwnName, Section
from ..one_of import OneOf, Way

# As the engine has it, for what Scipion asks of a microscope.
_MICROSCOPE = dict(voltage=300.0, sphericalAberration=2.7, amplitudeContrast=0.1, magnification=50000)
_SERIES = ("tilt_min", "tilt_max", "tilt_step", "defocus")


class OfCells(Way[contract.SimulateTomogramsConfig, contract.SimulateTomogramsOutputs]):
    WORD = "tomograms"
    OUTPUT, NOTHING_YET = "simulated", "No tomograms yet."
    FORM = (
        MapsOrModels(
            "inputStructures",
            "Maps (protein positive) or atomic models of the particles, of the right handedness. Each is a "
            "separate feature with its own label, or a class of subtomograms. The pixel size of a map is that of "
            "Scipion's object.",
            named=True,
            empty="no particles, only the rest of the cell",
        ),
        Options("copies", "pixel_size", "size", "count"),
        Options("thickness", expertLevel=params.LEVEL_ADVANCED),
        BoxSize("tomograms", default=32, expertLevel=params.LEVEL_ADVANCED),
        Section("Sample"),
        Options("vesicles", "membranes", "microtubules", "filaments", "fiducials", "membrane_proteins", "crowding"),
        Section("Microscope"),
        Options("snr", *_SERIES),
        Options("contrast", expertLevel=params.LEVEL_ADVANCED),
    )

    def makeOutputs(self, protocol: Any, made: contract.SimulateTomogramsOutputs) -> Dict[str, Any]:
        """The tomograms are an output first: the coordinates point to them."""
        config = protocol._config()
        tomograms = SetOfTomograms.create(protocol._getPath(), template="tomograms%s.sqlite")
        tomograms.setSamplingRate(made.pixel_size)
        acquisition = dict(angleMin=made.tilt_min, angleMax=made.tilt_max, step=config.tilt_step, accumDose=config.dose)
        tomograms.setAcquisition(TomoAcquisition(tiltAxisAngle=0.0, **acquisition, **_MICROSCOPE))
        byName = appendTomograms(tomograms, made.tomograms, made.even or {}, made.odd or {})
        protocol._defineRelated(outputTomograms=tomograms)
        labels = SetOfTomoMasks.create(protocol._getPath(), template="labels%s.sqlite")
        labels.copyInfo(tomograms)
        labels.copyItems([maskOf(byName[name], path) for name, path in sorted(made.labels.items())], doClone=False)
        markLabels(labels, made.features)
        if not config.structures:
            return dict(outputLabels=labels)
        coordinates = SetOfCoordinates3D.create(protocol._getPath(), template="coordinates%s.sqlite")
        coordinates.setPrecedents(Pointer(protocol, extended="outputTomograms"))
        coordinates.setSamplingRate(made.pixel_size)
        coordinates.setBoxSize(protocol.boxSize.get())
        groups = {name: label for label, name in enumerate(made.features, 1)}
        for name, path in sorted(made.coordinates.items()):
            appendCoordinates3D(coordinates, byName[name], readCoordinates3D(path), groups)
        return dict(outputLabels=labels, outputCoordinates=coordinates)


class OfParticles(Way[contract.SimulateSubtomogramsConfig, contract.SimulateSubtomogramsOutputs]):
    WORD = "subtomograms"
    OUTPUT, NOTHING_YET = "subtomograms.star", "No subtomograms yet."
    FORM = (
        MapsOrModels("inputStructures", "Each is a class, in this order.", named=True),
        OwnName("subtomogram", "pixel_size", "count"),
        Options("box"),
        Section("Sample"),
        Options("max_shift"),
        Section("Microscope"),
        OwnName("subtomogram", "snr", "contrast"),
        Options(*_SERIES),
    )

    def filesMade(self, protocol: Any, config: contract.SimulateSubtomogramsConfig) -> List[str]:
        return [config.output, os.path.splitext(config.output)[0]]

    def makeOutputs(self, protocol: Any, made: contract.SimulateSubtomogramsOutputs) -> Dict[str, Any]:
        config = protocol._config()
        subtomograms = SetOfSubTomograms.create(protocol._getPath(), template="subtomograms%s.sqlite")
        subtomograms.setSamplingRate(made.pixel_size)
        tilts = dict(angleMin=config.tilt_min, angleMax=config.tilt_max, step=config.tilt_step)
        subtomograms.setAcquisition(TomoAcquisition(**tilts, **_MICROSCOPE))
        appendSimulatedSubtomograms(subtomograms, made.subtomograms, made.classes)
        return dict(outputSubtomograms=subtomograms)


class CryodlProtSimulateTomograms(OneOf[Any, Any]):
    """Simulate tomograms of cells, or subtomograms of several structures, with known ground truth.

    In: maps or atomic models of particles; for tomograms also none. Out: tomograms with particles, membranes, filaments
    and fiducials; TomoMasks whose labels say which voxel is what; 3-D coordinates of the particles with their true
    angles, one group for each structure. Or subtomograms with missing wedge, CTF and noise, with their true class
    (1, 2, ... in the order of the structures), transform and half set. For training of classifiers, and for tests of
    segmentation, picking, classification and averaging, which need the ground truth."""

    _label = "simulate tomograms"
    WHAT = ("Simulate", "Tomograms of cells, or subtomograms of single particles.")
    WAYS = (OfCells(), OfParticles())
