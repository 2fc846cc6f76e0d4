# SPDX-License-Identifier: GPL-3.0-or-later
"""Back-project oriented particles into a map."""

import dataclasses
import os
from typing import Any, Dict, List

from pwem.objects import VolumeMask

from ...convert import arriving, names
from ...convert.particles import denoised, results
from ...engine.cryodl.contract import ReconstructConfig, ReconstructOutputs
from .. import engine_protocol, kinds
from .particle_kinds import Particles, ParticlesBase, checkParticles


class CryodlProtBackProject(engine_protocol.OneRun[ReconstructConfig, ReconstructOutputs], ParticlesBase):
    """Back-project oriented particles into a map and its two half-maps.

    In: particles with angles and shifts (projection alignment). Out: the map with its half-maps, their Fourier
    shell correlation, and a soft mask around the density. Half sets are those of the particles (rlnRandomSubset), if
    they have them. A map of denoised particles is named so: it shows what the denoiser learned, whatever the data."""

    _label = "back-project"
    OUTPUT, NOTHING_YET = "map.mrc", "No map yet."
    CITES = ("Scheres2012",)
    FORM = (
        Particles(
            "inputParticles",
            "Particles with angles and shifts. Denoised particles are allowed for tests of a denoiser: their map "
            "shows what the network learned.",
            need=("angles",),
            minimum=2,
        ),
        kinds.Options("symmetry", "mask_diameter", "correct_ctf"),
    )
    NOT_ON_FORM = {"noise_control": "goes with the particles"}

    def _filesMade(self, config: ReconstructConfig) -> List[str]:
        mask = self._getExtraPath("map_mask.mrc")
        made = [config.output, *(self._getExtraPath(f"map_half{half}.mrc") for half in (1, 2))]
        return made + [mask] * os.path.exists(mask)  # 0.1.0 made none

    def _makeOutputs(self, made: ReconstructOutputs) -> Dict[str, Any]:
        denoiser = denoised.denoiserOf(self.inputParticles.get())
        [comment] = (
            kinds.sayIf(denoiser, f"From denoised particles (model {denoiser}): it shows what the model learned.")
            or kinds.sayIf(made.reference, f"Angles from the reference {names.withoutChecksum(made.reference or '')}.")
            or [""]
        )
        volume = engine_protocol.volumeFrom(made.map, made.pixel_size, None, comment, [made.half1, made.half2])
        outputs = dict(outputVolume=volume, outputFSC=engine_protocol.fscOfHalves(made))
        if made.mask:  # 0.1.0 made none
            outputs["outputMask"] = engine_protocol.volumeFrom(made.mask, made.pixel_size, kind=VolumeMask)
        return outputs

    def _completed(self, config: ReconstructConfig) -> ReconstructConfig:
        particles = self.inputParticles.get()
        if denoised.denoiserOf(particles):
            return dataclasses.replace(config, correct_ctf=False)  # denoised images have no CTF any more
        first = arriving.firstOf(particles)
        noise = first and first.getAttributeValue(results.NOISE, None)  # of these angles
        return dataclasses.replace(config, noise_control=noise if os.path.exists(noise or "") else None)

    def _checkTogether(self) -> List[str]:
        particles, need = self.inputParticles.get(), ("raw", "ctf") if self._config().correct_ctf else ("raw",)
        return [] if denoised.denoiserOf(particles) else checkParticles(particles, need)

    def _warnings(self) -> List[str]:
        particles = self.inputParticles.get()
        model = "" if particles is None else denoised.denoiserOf(particles)
        return kinds.sayIf(
            model,
            f"The particles are denoised (model {model}): their map shows the structure that the "
            "model learned, even if they contain only noise. Its FSC says nothing about resolution. Use the raw "
            "particles for a map.",
        )
