# SPDX-License-Identifier: GPL-3.0-or-later
"""How a molecule moves, or that it does not."""

from typing import Any, Dict, List, Sequence

from pwem.objects import SetOfParticlesFlex, SetOfVolumes, Volume
from pyworkflow.protocol.params import Form

from ...convert.particles.latent import appendFlex, appendLatent, classifyByLatentClass
from ...convert.structures import structureFileOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...engine.cryodl.contract.particles.heterogeneity import FitHeterogeneityOutputs
from ...form import addConfigParams
from ..form_parts import addPointer, notOnForm
from .heterogeneity_words import heterogeneityInWords, heterogeneityLines
from .particle_checks import checkParticles, scaleWarnings
from .particles_base import ParticlesBase

_LINEAR, _GAUSSIAN = (contract.LATENT_METHODS.index(method) for method in ("linear", "gaussian"))


class CryodlProtFitHeterogeneity(ParticlesBase):
    """Fit a latent space to particles: how the molecule moves or what it lacks, or that it does neither.

    In: raw particles with CTF and projection alignment, and the map of their refinement. Out: the particles with
    latent coordinates and clusters, also as a flexibility set; maps along the first axes with half-maps; the mean map.
    The summary says whether there is any motion at all. If discrete classes are asked for: 3-D classes as well.
    """

    _label = "fit heterogeneity"
    _CONFIG = contract.FitHeterogeneityConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        particles="written from the input set",
        reference="the input volume",
        mask="the input mask",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addParticlesParam(form, "Raw particles with CTF and the angles of a 3-D refinement without symmetry.")
        addPointer(
            form,
            "inputVolume",
            "Volume",
            "Reference",
            "Map of the refinement that the angles come from. It is compared with the map reconstructed from the "
            "particles, and shows where the molecule is.",
            important=True,
        )
        addPointer(
            form,
            "inputMask",
            "VolumeMask",
            "Mask",
            "Mask of the part of the molecule that may change.\n\nEmpty: determined from the particles.",
            allowsNull=True,
        )
        addConfigParams(
            form,
            self._CONFIG,
            [
                "method",
                "latent",
                "resolution",
                "maps",
                "axes",
                "clusters",
                "classes",
                "umap",
                "gaussians",
                "anchors",
                "contrast",
                "tolerance",
                "seed",
            ],
            **dict.fromkeys(("gaussians", "anchors"), dict(condition=f"method != {_LINEAR}")),
            classes=dict(condition=f"method != {_GAUSSIAN}"),
        )
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.fitStep, settings, needsGPU=self.usesGpu())
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def fitStep(self, settings: Dict[str, Any]) -> None:
        self._writeInputs(self.inputParticles.get())
        files = dict(reference=self._structureFor(self.inputVolume.get()))
        if self.inputMask.get() is not None:
            files["mask"] = self._structureFor(self.inputMask.get(), named=True)
        self._runOnce(self._config(**dict(self._engineValues(), **files)), self.getLatentFolder())

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        particles, made = self.inputParticles.get(), self._result().outputs
        output = self._createSetOfParticles()
        output.copyInfo(particles)
        appendLatent(output, particles, made.particles, made.latent, made.umap)
        flex = SetOfParticlesFlex.create(self._getPath(), suffix="Flex")
        flex.copyInfo(particles)
        appendFlex(flex, particles, made.particles, made.latent, made.umap)
        mean = Volume(location=made.mean)
        mean.setSamplingRate(made.pixel_size)
        outputs = dict(outputParticles=output, outputFlexParticles=flex, outputMean=mean)
        if any(made.paths):
            outputs["outputVolumes"] = self._volumes(made)
        if made.classes:
            classes = self._createSetOfClasses3D(self.inputParticles)
            classifyByLatentClass(classes, made.particles, made.classes, made.pixel_size)
            outputs["outputClasses"] = classes
        self._defineOutputs(**outputs)
        for volume in outputs.values():
            self._defineSourceRelation(self.inputParticles, volume)

    def _volumes(self, made: FitHeterogeneityOutputs) -> SetOfVolumes:
        volumes = self._createSetOfVolumes()
        volumes.setSamplingRate(made.pixel_size)
        for axis, path in enumerate(made.paths, 1):
            for number, name in enumerate(path, 1):
                volume = Volume(location=name)
                volume.setSamplingRate(made.pixel_size)
                volume.setHalfMaps([f"{name[: -len('.mrc')]}_half{half}.mrc" for half in (1, 2)])
                volume.setObjComment(f"axis {axis}, map {number}")
                volumes.append(volume)
        return volumes

    # ----- what the steps share
    def usesGpu(self) -> bool:
        return self.method.get() != _LINEAR and super().usesGpu()

    def getLatentFolder(self) -> str:
        return self._getExtraPath("latent")

    def _engineValues(self) -> Dict[str, Any]:
        mask = self.inputMask.get()
        return dict(
            particles=self._particlesFile(self.inputParticles.get()),
            output=self.getLatentFolder(),
            reference=structureFileOf(self.inputVolume.get()),
            threads=self.numberOfThreads.get(),
            mask=None if mask is None else structureFileOf(mask),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        particles = self.inputParticles.get()
        errors = checkParticles(particles, ("raw", "ctf", "angles"), minimum=self._minimum())
        return errors + self._checkStructure(self.inputVolume.get())

    def _minimum(self) -> int:
        return contract.PARTICLES_PER_DIMENSION * (self.latent.get() or 1)

    def _warnings(self) -> List[str]:
        particles, volume = self.inputParticles.get(), self.inputVolume.get()
        return [] if particles is None or volume is None else scaleWarnings(particles, volume, "reference")

    def _tell(self, results: Sequence[Result]) -> List[str]:
        result = self._result()
        if result is None or getattr(self, "outputParticles", None) is None:
            return ["No latent space yet."]
        return heterogeneityLines(result)

    def _methods(self) -> List[str]:
        result = self._result()
        if result is None or getattr(self, "outputParticles", None) is None:
            return []
        return [heterogeneityInWords(result, self._methodUsed(), self.getEnumText("method") == "auto")]

    def _citations(self) -> List[str]:
        theirs = dict(linear=["Tagare2015"], gaussian=["Chen2021"]).get(self._methodUsed(), ["Tagare2015", "Chen2021"])
        return ["cryodl", *theirs, "Tipping1999"]

    def _methodUsed(self) -> str:
        """That of the latent coordinates: `auto` is one of the others as soon as there is a result."""
        result = self._result()
        return (result and result.outputs.method) or self.getEnumText("method")
