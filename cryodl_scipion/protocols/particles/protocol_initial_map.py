# SPDX-License-Identifier: GPL-3.0-or-later
"""Find a first map without a structure."""

from typing import Any, Dict, List

from pyworkflow import BETA
from pyworkflow.object import Float

from ...convert.particles.results import appendOriented
from ...engine.cryodl.contract import InitialMapConfig, InitialMapOutputs
from ..engine_protocol import OneRun, fscOfHalves, volumeFrom
from .particle_kinds import Particles, ParticlesBase


class CryodlProtInitialMap(OneRun[InitialMapConfig, InitialMapOutputs], ParticlesBase):
    """Find a first map of a molecule whose structure is not known, or say why there is none.

    In: raw particles with CTF, most of them of one molecule. Out: a map of unknown hand with its half-maps and their
    Fourier shell correlation, and the particles with the orientations found. Two starts from random orientations are
    made in each half of the particles; only if the halves find the same map, from all sides, there are outputs. A
    stopped run keeps the starts that are finished. Use the map as the reference of a 3-D refinement."""

    _label = "initial map"
    _devStatus = BETA
    OUTPUT, NOTHING_YET = "initial", "No map yet."
    CITES = ("Punjani2017", "Scheres2012")
    GOES_ON = True
    FORM = (Particles("inputParticles", "Raw particles with CTF. Existing angles are not used.", need=("raw", "ctf")),)

    def lostOutputs(self) -> List[str]:
        return [] if getattr(self._made(), "reasons", ()) else super().lostOutputs()  # there may be no map

    def _makeOutputs(self, made: InitialMapOutputs) -> Dict[str, Any]:
        if made.map is None or made.particles is None:
            return {}
        volume = volumeFrom(made.map, made.pixel_size, comment="First map; its hand is unknown.", halves=True)
        particles, output = self.inputParticles.get(), self._createSetOfParticles()
        output.copyInfo(particles)
        output.setAlignmentProj()
        appendOriented(output, particles, made.particles)
        outputs = dict(outputVolume=volume, outputFSC=fscOfHalves(made), outputParticles=output)
        return dict(outputs, outputResolution=Float(made.resolution or made.limit))
