# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps along the dense regions of a latent space, or at points of it."""

from typing import Any, Dict, List

from pwem.objects import SetOfVolumesFlex, Volume, VolumeFlex

from ...convert.particles.results import PROGRAM, appendOriented
from ...engine.cryodl.contract import LatentVolumesConfig
from ...engine.cryodl.contract.particles.latent import LatentVolumesOutputs
from ..engine_protocol import OneRun, volumeFrom
from ..kinds import Mask
from .particle_kinds import Particles, ParticlesBase


class CryodlProtLatentVolumes(OneRun[LatentVolumesConfig, LatentVolumesOutputs], ParticlesBase):
    """Reconstruct maps along the dense regions of a latent space, or at points of it, each from the particles
    nearby.

    In: particles of *cryodl - fit heterogeneity*, or a part of them. Out: maps with half-maps, in the order along
    the path, also as a flexibility set with their latent coordinates. *Analyze results* goes along them with a
    slider.
    """

    _label = "latent volumes"
    OUTPUT, NOTHING_YET = "volumes", "No maps yet."
    FORM = (
        Particles(
            "inputParticles",
            "Particles with latent coordinates, of *cryodl - fit heterogeneity*.",
            need=("raw", "ctf", "angles"),
        ),
        Mask(
            "domainMask",
            "Mask of a domain that moves as a rigid body, at its position in the middle map. The output particles "
            "have the orientations and shifts of the domain, for a focused refinement.",
            label="Domain mask",
            to=("domain",),
            empty="none",
            related=False,
        ),
    )

    def _makeOutputs(self, made: LatentVolumesOutputs) -> Dict[str, Any]:
        volumes, flex = self._createSetOfVolumes(), SetOfVolumesFlex.create(self._getPath(), suffix="Flex")
        flex.getFlexInfo().setProgName(PROGRAM)
        for output, kind in ((volumes, Volume), (flex, VolumeFlex)):
            output.setSamplingRate(made.pixel_size)
            for name, position in zip(made.volumes, made.coordinates):
                comment = f"at latent coordinates {', '.join(f'{value:.3g}' for value in position)}"
                volume = volumeFrom(name, made.pixel_size, comment=comment, halves=True, kind=kind)
                if kind is VolumeFlex:
                    volume.getFlexInfo().setProgName(PROGRAM)
                    volume.setZFlex(position)
                    volume.setZRed(position[:2])
                output.append(volume)
        outputs = dict(outputVolumes=volumes, outputFlexVolumes=flex)
        if made.particles and made.domain:
            particles, outputs["outputParticles"] = self.inputParticles.get(), self._createSetOfParticles()
            outputs["outputParticles"].copyInfo(particles)
            appendOriented(outputs["outputParticles"], particles, made.particles)
            outputs["outputDomain"] = volumeFrom(made.domain, made.pixel_size, halves=True)
        return outputs

    # ----- validation and information
    def _checkTogether(self) -> List[str]:
        if self.inputParticles.get().getFirstItem().hasAttribute("_cryodlLatent1"):
            return []
        return ["The particles have no latent coordinates. Choose particles of *cryodl - fit heterogeneity*."]

    def _citations(self) -> List[str]:
        return ["cryodl"] + (["Nakane2018"] if self.domainMask.get() is not None else [])
