# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulate particles of which everything is known."""

import dataclasses
import os
from typing import Any, Dict, List

from pwem.objects import Acquisition, Volume
from pyworkflow.protocol.params import LEVEL_ADVANCED

from ...convert.particles.results import appendSimulated
from ...engine.cryodl.contract import SimulateParticlesConfig
from ...engine.cryodl.contract.particles.simulating import SimulateParticlesOutputs
from ..engine_protocol import OneRun, volumeFrom
from ..kinds import Options, Section
from .particle_kinds import OrientationsFrom, ParticlesBase, StructureOfParticles


class CryodlProtSimulateParticles(OneRun[SimulateParticlesConfig, SimulateParticlesOutputs], ParticlesBase):
    """Simulate particle images of a structure, with known ground truth.

    In: an atomic model or a map. Out: particles with noise, with their true alignment (projection alignment), CTF
    and half sets; the same without noise and CTF, with the same ids; and the map they were made of, in their box
    and pixel size. For tests of denoisers, orientations and reconstructions, which need the ground truth.
    """

    _label = "simulate particles"
    OUTPUT, NOTHING_YET = "particles.star", "No particles yet."
    FORM = (
        StructureOfParticles(
            "inputStructure",
            "Structure of the particles. If a model defines biological assemblies, the first one is built.",
        ),
        Options("pixel_size", help="Pixel size of the simulated images.\n\nEmpty: that of the map."),
        # the command line wants these numbers
        Options("box", default=128),
        Options("count", default=1000),
        Options("snr", default=0.05),
        Options("max_shift", "contrast"),
        Options("snr_area", "per_micrograph", expertLevel=LEVEL_ADVANCED),
        OrientationsFrom(),
        Section("States"),
        Options("missing_chains", "domain"),
        Options("hinge_axis", "hinge_range", "hinge_states", "weights", expertLevel=LEVEL_ADVANCED),
        Section("Microscope"),
        Options("minimum_defocus", "maximum_defocus"),
        Options(*("astigmatism", "voltage", "spherical_aberration", "amplitude_contrast"), expertLevel=LEVEL_ADVANCED),
    )
    NOT_ON_FORM = {
        "structures": "mixtures of several files are made on the command line",
        "ctf_from": "the ranges of the form",
    }

    def _filesMade(self, config: SimulateParticlesConfig) -> List[str]:
        stem = os.path.splitext(config.output)[0]
        return [config.output, *(stem + end for end in (".mrcs", "_clean.mrcs", "_map.mrc"))]

    def _makeOutputs(self, made: SimulateParticlesOutputs) -> Dict[str, Any]:
        config = self._config()
        acquisition = Acquisition(
            voltage=config.voltage,
            sphericalAberration=config.spherical_aberration,
            amplitudeContrast=config.amplitude_contrast,
            magnification=50000,
        )
        noisy, clean = self._createSetOfParticles(), self._createSetOfParticles("_clean")
        for particles, hasCTF in ((noisy, True), (clean, False)):
            particles.setSamplingRate(config.pixel_size)
            particles.setAcquisition(acquisition.clone())  # each set stores its own
            particles.setHasCTF(hasCTF)
            particles.setAlignmentProj()
        appendSimulated(noisy, made.particles, made.clean, clean)
        clean.setObjComment("Projections without CTF and noise.")
        return dict(outputParticles=noisy, outputClean=clean, outputVolume=volumeFrom(made.map, config.pixel_size))

    def _completed(self, config: SimulateParticlesConfig) -> SimulateParticlesConfig:
        structure = self.inputStructure.get()
        if config.pixel_size is None and isinstance(structure, Volume):
            return dataclasses.replace(config, pixel_size=structure.getSamplingRate())
        return config

    # ----- information
