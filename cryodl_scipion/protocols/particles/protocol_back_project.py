# SPDX-License-Identifier: GPL-3.0-or-later
"""Back-project oriented particles into a map."""

from typing import Any, Dict, List, Sequence

from pwem.objects import FSC, Volume
from pyworkflow.protocol.params import Form

from ...convert.names import withoutChecksum
from ...convert.particles.denoised import denoiserOf
from ...convert.particles.oriented import noiseControlOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..form_parts import notOnForm
from .denoiser_words import backProjectingInWords, referenceLines
from .particle_checks import checkParticles
from .particles_base import ParticlesBase


class CryodlProtBackProject(ParticlesBase):
    """Back-project oriented particles into a map and its two half-maps.

    In: particles with angles and shifts (projection alignment). Out: the map with its half-maps, and their Fourier
    shell correlation. Half sets are those of the particles (rlnRandomSubset), if they have them. A map of denoised
    particles shows the structure that the denoiser learned, whatever the data; it is named so.
    """

    _label = "back-project"
    _CONFIG = contract.ReconstructConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        noise_control="goes with the particles",
        substituted="of the command line's assign-orientations --noise-substitution",
        particles="written from the input set",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addParticlesParam(
            form,
            "Particles with angles and shifts. Denoised particles are allowed for tests of a denoiser: their map "
            "shows what the network learned.",
        )
        addConfigParams(form, self._CONFIG, ["symmetry", "mask_diameter", "correct_ctf", "seed"])
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = contract.config_to_dict(self._config(**self._engineValues()))
        self._insertFunctionStep(self.reconstructStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def reconstructStep(self, settings: Dict[str, Any]) -> None:
        self._writeInputs(self.inputParticles.get())
        halves = [self._getExtraPath(f"map_half{half}.mrc") for half in (1, 2)]
        self._runOnce(self._config(**self._engineValues()), self._mapFile(), *halves)

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        made, denoiser = self._result().outputs, denoiserOf(self.inputParticles.get())
        volume = Volume(location=made.map)
        volume.setSamplingRate(made.pixel_size)
        volume.setHalfMaps([made.half1, made.half2])
        if made.reference:
            volume.setObjComment(f"Angles from the reference {withoutChecksum(made.reference)}.")
        if denoiser:
            volume.setObjComment(f"From denoised particles (model {denoiser}): it shows what the model learned.")
        fsc = FSC()
        frequencies = [ring / (made.box * made.pixel_size) for ring in range(len(made.fsc))]
        fsc.setData(frequencies, list(made.fsc))
        fsc.setObjLabel("half-maps")
        self._defineOutputs(outputVolume=volume, outputFSC=fsc)
        for output in (volume, fsc):
            self._defineSourceRelation(self.inputParticles, output)

    def _mapFile(self) -> str:
        return self._getExtraPath("map.mrc")

    def _engineValues(self) -> Dict[str, Any]:
        particles = self.inputParticles.get()
        values = dict(
            particles=self._particlesFile(particles), output=self._mapFile(), threads=self.numberOfThreads.get()
        )
        # denoised images have no CTF any more
        return (
            dict(values, correct_ctf=False)
            if denoiserOf(particles)
            else dict(values, noise_control=noiseControlOf(particles))
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        particles = self.inputParticles.get()
        raw = () if denoiserOf(particles) else ("raw",)
        needsCTF = ("ctf",) if self.correctCtf.get() and raw else ()
        return checkParticles(particles, raw + ("angles",) + needsCTF, minimum=2) + self._checkSymmetry()

    def _warnings(self) -> List[str]:
        particles = self.inputParticles.get()
        if particles is None or not denoiserOf(particles):
            return []
        return [
            f"The particles are denoised (model {denoiserOf(particles)}): their map shows the structure that the "
            "model learned, even if they contain only noise. Its FSC says nothing about resolution. Use the raw "
            "particles for a map."
        ]

    def _tell(self, results: Sequence[Result]) -> List[str]:
        result = self._result()
        if result is None or getattr(self, "outputVolume", None) is None:
            return ["No map yet."]
        made = result.outputs
        lines = [
            f"*Map* of {made.count} particles, {made.box} px, {made.pixel_size:.4g} Å/px, with half-maps",
            f"FSC of the half-maps 0.143: {contract.resolution_in_words(made.resolution)}",
        ]
        lines += referenceLines(made)
        if denoiserOf(self.inputParticles.get()):
            lines.append(
                "From denoised particles: it shows what the model learned, and its FSC says nothing about resolution."
            )
        return lines

    def _methods(self) -> List[str]:
        result = self._result()
        if result is None or getattr(self, "outputVolume", None) is None:
            return []
        return [backProjectingInWords(result, self.symmetry.get(), denoiserOf(self.inputParticles.get()))]

    def _citations(self) -> List[str]:
        return ["cryodl", "Scheres2012"]
