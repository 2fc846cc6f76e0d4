# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulate micrographs, particles or half-maps of which everything is known."""

import dataclasses
import os
from typing import Any, Dict, List, Sequence, Union

from pwem.objects import Acquisition, AtomStruct, SetOfParticles
from pyworkflow.object import Pointer
from pyworkflow.protocol import LEVEL_ADVANCED, LEVEL_NORMAL

from ..convert.maps import originTransformOf
from ..convert.micrographs import picks, simulated
from ..convert.particles.results import appendSimulated
from ..engine.cryodl import contract
from . import one_of, simulating
from .engine_protocol import volumeFrom
from .kinds import AtomicModel, MapOrModel, Options, OwnName, Section
from .maps.map_kinds import MapsBase
from .particles.particle_kinds import OrientationsFrom, ParticlesBase

_NO_OWN = "inputMicrographs is None"
Images = Union[contract.SimulateMicrographsConfig, contract.SimulateParticlesConfig]
_STRUCTURE = MapOrModel("inputStructure", simulating.STRUCTURE)


class OfMicrographs(one_of.Way[contract.SimulateMicrographsConfig, contract.SimulateMicrographsOutputs]):
    WORD, OUTPUT, NOTHING_YET = "micrographs", simulating.SIMULATED_FOLDER, "No micrographs yet."
    FORM = (
        _STRUCTURE,
        simulating.OwnMicrographs("inputMicrographs", related=False),
        simulating.OwnCtfs(related=False),
        OrientationsFrom(),
        Options("pixel_size", help=simulating.PIXEL_SIZE, when=_NO_OWN),
        Options("count", default=10),  # the command line wants a number
        Options("size", expertLevel=LEVEL_ADVANCED),
        Options("particles", "box_size"),
        Section("Microscope"),
        Options("snr"),
        Options("snr_max", "dose", "contrast", expertLevel=LEVEL_ADVANCED),
        Options(*simulating.DEFOCUS, when=simulating.NO_CTF),
        Options("astigmatism", when=simulating.NO_CTF, expertLevel=LEVEL_ADVANCED),
        Options(*simulating.MICROSCOPE, when=_NO_OWN, expertLevel=LEVEL_ADVANCED),
        Section("Sample"),
        Options("minimum_distance", expertLevel=LEVEL_ADVANCED),
        Options("ice", expertLevel=LEVEL_NORMAL),
        Options("aggregates", "carbon", "gradient", expertLevel=LEVEL_ADVANCED),
    )
    NOT_ON_FORM = {"noise_from": "the own micrographs", "frames": "no movies", "drift": "no movies"}

    def completed(
        self, protocol: Any, config: contract.SimulateMicrographsConfig
    ) -> contract.SimulateMicrographsConfig:
        own = protocol.inputMicrographs.get(), protocol.inputCTF.get()
        return simulating.likeOwn(config, protocol.inputStructure.get(), *own)

    def makeOutputs(self, protocol: Any, made: contract.SimulateMicrographsOutputs) -> Dict[str, Any]:
        """The micrographs are an output first: the others point to them."""
        config, micrographs = protocol._config(), protocol._createSetOfMicrographs()
        micrographs.setSamplingRate(config.pixel_size)
        micrographs.setAcquisition(_acquisition(config))
        byName = simulated.appendMicrographs(micrographs, made.micrographs)
        protocol._defineRelated(outputMicrographs=micrographs)
        pointer = Pointer(protocol, extended="outputMicrographs")
        coordinates = protocol._createSetOfCoordinates(pointer)
        coordinates.setBoxSize(config.box_size or picks.boxSizeFor(made.particle_diameter, config.pixel_size))
        picks.setDiameter(coordinates, made.particle_diameter)
        simulated.appendCoordinates(coordinates, byName, made.coordinates)
        ctfs = protocol._createSetOfCTF()
        ctfs.setMicrographs(pointer)
        simulated.appendCTFs(ctfs, byName, made.ctf)
        outputs = dict(outputCoordinates=coordinates, outputCTF=ctfs)
        if made.particle_stack:
            outputs["outputParticles"] = _newParticles(protocol, config)
            simulated.appendParticles(outputs["outputParticles"], byName, made.particle_stack)
        return outputs

    def tell(self, protocol: Any, results: Sequence[contract.Result]) -> List[str]:
        made = [particles for name, particles in protocol.iterOutputAttributes() if name == "outputParticles"]
        extracted = [f"{particles.getSize()} of the particles were extracted." for particles in made]
        return super().tell(protocol, results) + extracted


class OfSingleParticles(one_of.Way[contract.SimulateParticlesConfig, contract.SimulateParticlesOutputs]):
    WORD, OUTPUT, NOTHING_YET = "particles", "particles.star", "No particles yet."
    FORM = (
        _STRUCTURE,
        OrientationsFrom(),
        Options("pixel_size", help=simulating.PIXEL_SIZE),
        # the command line wants these numbers
        Options("box", default=128),
        OwnName("particle", "count", default=1000),
        Options("max_shift"),
        Options("per_micrograph", expertLevel=LEVEL_ADVANCED),
        Section("Microscope"),
        Options("snr", default=0.05),
        Options("snr_area", expertLevel=LEVEL_ADVANCED),
        OwnName("particle", "contrast", expertLevel=LEVEL_ADVANCED),
        Options(*simulating.DEFOCUS),
        Options("astigmatism", *simulating.MICROSCOPE, expertLevel=LEVEL_ADVANCED),
        Section("Sample"),
        Options("missing_chains", "domain"),
        Options("hinge_axis", "hinge_range", "hinge_states", "weights", expertLevel=LEVEL_ADVANCED),
    )
    NOT_ON_FORM = {
        "structures": "mixtures of several files are made on the command line",
        "ctf_from": "the ranges of the form",
    }

    def filesMade(self, protocol: Any, config: contract.SimulateParticlesConfig) -> List[str]:
        stem = os.path.splitext(config.output)[0]
        return [config.output, *(stem + end for end in (".mrcs", "_clean.mrcs", "_map.mrc"))]

    def makeOutputs(self, protocol: Any, made: contract.SimulateParticlesOutputs) -> Dict[str, Any]:
        config = protocol._config()
        noisy, clean = (_newParticles(protocol, config, name) for name in ("", "_clean"))
        clean.setHasCTF(False)
        appendSimulated(noisy, made.particles, made.clean, clean)
        clean.setObjComment("Projections without CTF and noise.")
        return dict(outputParticles=noisy, outputClean=clean, outputVolume=volumeFrom(made.map, config.pixel_size))

    def completed(self, protocol: Any, config: contract.SimulateParticlesConfig) -> contract.SimulateParticlesConfig:
        structure = protocol.inputStructure.get()
        own: Any = structure.getSamplingRate() if hasattr(structure, "getSamplingRate") else None
        return config if config.pixel_size is not None else dataclasses.replace(config, pixel_size=own)


class OfHalfMaps(one_of.Way[contract.SimulateHalfMapsConfig, contract.SimulateHalfMapsOutputs]):
    WORD, OUTPUT, NOTHING_YET = "half-maps", "simulated", "No maps yet."
    FORM = (
        AtomicModel("inputStructure", "Its atoms are used as they are; no biological assembly is built."),
        Options("resolution"),
        OwnName("map", "pixel_size", "box"),
        Section("Microscope"),
        Options("b_factor", "anisotropy"),
        Section("Sample"),
        Options("flexibility", "detergent"),
    )

    def filesMade(self, protocol: Any, config: contract.SimulateHalfMapsConfig) -> List[str]:
        return [f"{config.output}_{name}.mrc" for name in ("half1", "half2", "full", "truth")]

    def makeOutputs(self, protocol: Any, made: contract.SimulateHalfMapsOutputs) -> Dict[str, Any]:
        size, comment = made.pixel_size, "Density of the model, without noise and blur."
        full = volumeFrom(made.full, size, originTransformOf(made.full, size), halves=[made.half1, made.half2])
        ground_truth = volumeFrom(made.ground_truth, size, originTransformOf(made.ground_truth, size), comment)
        return dict(outputVolume=full, outputTruth=ground_truth, outputStructure=AtomStruct(made.structure))


class CryodlProtSimulate(one_of.OneOf[Any, Any], ParticlesBase, MapsBase):
    """Simulate micrographs, particle images or half-maps of a structure, with known ground truth.

    In: an atomic model or a map (for half-maps an atomic model); micrographs of your own for the spectrum of the noise,
    if there are any. Out: micrographs, the exact coordinates of their particles, their CTFs and, with a box size, the
    particles with their orientations; carbon edges, ice, aggregates and gradients of ice may be added. Or particles
    with noise, with their true alignment, CTF and half sets, the same without noise and CTF, and the map they were made
    of. Or the whole map with its two half-maps (blurred, noisy, with flexible parts and unevenly spread orientations),
    the ground truth without noise and blur, and the model in their frame. For tests, which need the ground truth. A
    stopped simulation of micrographs continues where it was."""

    _label = "simulate images"
    WAYS = (OfMicrographs(), OfSingleParticles(), OfHalfMaps())
    WHAT = ("Simulate", "Whole micrographs, images of single particles, or half-maps of an atomic model.")


def _newParticles(protocol: Any, config: Images, suffix: str = "") -> SetOfParticles:
    particles = protocol._createSetOfParticles(suffix)
    particles.setSamplingRate(config.pixel_size)
    particles.setAcquisition(_acquisition(config))
    particles.setHasCTF(True)
    particles.setAlignmentProj()
    return particles


def _acquisition(config: Images) -> Acquisition:
    dose = dict(doseInitial=0.0, dosePerFrame=config.dose) if hasattr(config, "dose") else {}
    return Acquisition(
        voltage=config.voltage,
        sphericalAberration=config.spherical_aberration,
        amplitudeContrast=config.amplitude_contrast,
        magnification=50000,
        **dose,
    )
