# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps along the dense regions of a latent space, or at points of it."""

from typing import Any, Dict, List, Sequence

from pwem.objects import SetOfVolumesFlex, Volume, VolumeFlex
from pyworkflow.protocol.params import Form

from ...convert.particles.latent import PROGRAM
from ...convert.particles.oriented import appendOriented
from ...convert.structures import structureFileOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..form_parts import addPointer, notOnForm
from ..methods import versionIn
from .particle_checks import checkParticles
from .particles_base import ParticlesBase


class CryodlProtLatentVolumes(ParticlesBase):
    """Reconstruct maps along the dense regions of a latent space, or at points of it, each from the particles
    nearby.

    In: particles of *cryodl - fit heterogeneity*, or a part of them. Out: maps with half-maps, in the order along
    the path, also as a flexibility set with their latent coordinates. *Analyze results* goes along them with a
    slider.
    """

    _label = "latent volumes"
    _CONFIG = contract.LatentVolumesConfig
    NOT_ON_FORM = notOnForm("output", "threads", particles="written from the input set", domain="the domain's mask")

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addParticlesParam(form, "Particles with latent coordinates, of *cryodl - fit heterogeneity*.")
        addPointer(
            form,
            "domainMask",
            "VolumeMask",
            "Domain mask",
            "Mask of a domain that moves as a rigid body, at its position in the middle map. The output particles "
            "have the orientations and shifts of the domain, for a focused refinement.\n\nEmpty: none.",
            allowsNull=True,
        )
        addConfigParams(form, self._CONFIG, ["axes", "maps", "points", "per_map", "mask_diameter", "contrast", "seed"])
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.reconstructStep, settings, needsGPU=False)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def reconstructStep(self, settings: Dict[str, Any]) -> None:
        self._writeInputs(self.inputParticles.get())
        mask = self.domainMask.get()
        files = {} if mask is None else dict(domain=self._structureFor(mask, named=True))
        self._runOnce(self._config(**dict(self._engineValues(), **files)), self._folder())

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        made = self._result().outputs
        volumes = self._createSetOfVolumes()
        flex = SetOfVolumesFlex.create(self._getPath(), suffix="Flex")
        flex.getFlexInfo().setProgName(PROGRAM)
        for output, kind in ((volumes, Volume), (flex, VolumeFlex)):
            output.setSamplingRate(made.pixel_size)
            for number, name in enumerate(made.volumes):
                output.append(self._volume(kind, name, made, number))
        outputs = dict(outputVolumes=volumes, outputFlexVolumes=flex)
        if made.particles:
            outputs.update(self._ofDomain(made))
        self._defineOutputs(**outputs)
        for output in outputs.values():
            self._defineSourceRelation(self.inputParticles, output)

    def _ofDomain(self, made: Any) -> Dict[str, Any]:
        particles = self.inputParticles.get()
        output = self._createSetOfParticles()
        output.copyInfo(particles)
        appendOriented(output, particles, made.particles)
        domain = Volume(location=made.domain)
        domain.setSamplingRate(made.pixel_size)
        domain.setHalfMaps([f"{made.domain[: -len('.mrc')]}_half{half}.mrc" for half in (1, 2)])
        return dict(outputParticles=output, outputDomain=domain)

    def _volume(self, kind: Any, name: str, made: Any, number: int) -> Any:
        volume = kind(location=name)
        volume.setSamplingRate(made.pixel_size)
        volume.setHalfMaps([f"{name[: -len('.mrc')]}_half{half}.mrc" for half in (1, 2)])
        position = made.coordinates[number]
        volume.setObjComment(f"at latent coordinates {', '.join(f'{value:.3g}' for value in position)}")
        if kind is VolumeFlex:
            volume.getFlexInfo().setProgName(PROGRAM)
            volume.setZFlex(position)
            volume.setZRed(position[:2])
        return volume

    # ----- what the steps share
    def usesGpu(self) -> bool:
        return False

    def _folder(self) -> str:
        return self._getExtraPath("volumes")

    def _engineValues(self) -> Dict[str, Any]:
        mask = self.domainMask.get()
        return dict(
            particles=self._particlesFile(self.inputParticles.get()),
            output=self._folder(),
            domain=None if mask is None else structureFileOf(mask),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        particles = self.inputParticles.get()
        errors = checkParticles(particles, ("raw", "ctf", "angles"))
        first = particles.getFirstItem() if particles.getSize() else None
        if first is not None and not first.hasAttribute("_cryodlLatent1"):
            errors.append("The particles have no latent coordinates. Choose particles of *cryodl - fit heterogeneity*.")
        return errors

    def _tell(self, results: Sequence[Result]) -> List[str]:
        result = self._result()
        if result is None or getattr(self, "outputVolumes", None) is None:
            return ["No maps yet."]
        made = result.outputs
        found = [value for value in made.resolutions if value]
        lines = [f"*{contract.counted(len(made.volumes), 'map')}* with half-maps"]
        if found:
            lines.append(f"Resolutions (FSC 0.143): {min(found):.1f} to {max(found):.1f} Å")
        return lines

    def _methods(self) -> List[str]:
        result = self._result()
        if result is None or getattr(self, "outputVolumes", None) is None:
            return []
        return [
            f"{contract.counted(len(result.outputs.volumes), 'map')} of the latent space were reconstructed with "
            f"cryodl {versionIn([result])} from nearby particles, with Gaussian weights in the latent coordinates."
            + (
                " A moving domain and the rest were reconstructed in turn (Nakane et al. 2018)."
                if result.outputs.domain
                else ""
            )
        ]

    def _citations(self) -> List[str]:
        return ["cryodl"] + (["Nakane2018"] if self.domainMask.get() is not None else [])
