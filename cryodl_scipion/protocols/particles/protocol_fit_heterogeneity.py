# SPDX-License-Identifier: GPL-3.0-or-later
"""How a molecule moves, or that it does not."""

from typing import Any, Dict, List, Sequence

from pwem.objects import SetOfParticlesFlex

from ...convert.particles.latent import appendFlex, appendLatent, classifyByLatentClass
from ...engine.cryodl import contract
from ...engine.cryodl.contract import FitHeterogeneityConfig, Result
from ...engine.cryodl.contract.particles.heterogeneity import FitHeterogeneityOutputs
from ..engine_protocol import OneRun, volumeFrom
from ..kinds import Mask, Options
from .heterogeneity_words import heterogeneityInWords, heterogeneityLines
from .particle_checks import checkParticles
from .particle_kinds import Particles, ReferenceMap
from .particles_base import ParticlesBase

_LINEAR, _GAUSSIAN = (contract.LATENT_METHODS.index(method) for method in ("linear", "gaussian"))


class CryodlProtFitHeterogeneity(OneRun[FitHeterogeneityConfig, FitHeterogeneityOutputs], ParticlesBase):
    """Fit a latent space to particles: how the molecule moves or what it lacks, or that it does neither.

    In: raw particles with CTF and projection alignment, and the map of their refinement. Out: the particles with
    latent coordinates and clusters, also as a flexibility set; maps along the first axes with half-maps; the mean map.
    The summary says whether there is any motion at all. If discrete classes are asked for: 3-D classes as well.
    """

    _label = "fit heterogeneity"
    OUTPUT, NOTHING_YET = "latent", "No latent space yet."
    FORM = (
        Particles(
            "inputParticles",
            "Raw particles with CTF and the angles of a 3-D refinement without symmetry.",
            need=("raw", "ctf", "angles"),
        ),
        ReferenceMap(
            "inputVolume",
            "Map of the refinement that the angles come from. It is compared with the map reconstructed from the "
            "particles, and shows where the molecule is.",
            related=False,
        ),
        Mask(
            "inputMask",
            "Mask of the part of the molecule that may change.",
            empty="determined from the particles",
            related=False,
        ),
        Options("method", "latent", "resolution", "maps", "axes", "clusters"),
        Options("classes", when=f"method != {_GAUSSIAN}"),
        Options("umap"),
        Options("gaussians", "anchors", when=f"method != {_LINEAR}"),
    )

    def _makeOutputs(self, made: FitHeterogeneityOutputs) -> Dict[str, Any]:
        particles = self.inputParticles.get()
        output, flex = self._createSetOfParticles(), SetOfParticlesFlex.create(self._getPath(), suffix="Flex")
        for one in (output, flex):
            one.copyInfo(particles)
        appendLatent(output, particles, made.particles, made.latent, made.umap)
        appendFlex(flex, particles, made.particles, made.latent, made.umap)
        mean = volumeFrom(made.mean, made.pixel_size)
        outputs = dict(outputParticles=output, outputFlexParticles=flex, outputMean=mean)
        if any(made.paths):
            outputs["outputVolumes"] = volumes = self._createSetOfVolumes()
            volumes.setSamplingRate(made.pixel_size)
            for axis, path in enumerate(made.paths, 1):
                for number, name in enumerate(path, 1):
                    comment = f"axis {axis}, map {number}"
                    volumes.append(volumeFrom(name, made.pixel_size, comment=comment, halves=True))
        if made.classes:
            outputs["outputClasses"] = classes = self._createSetOfClasses3D(self.inputParticles)
            classifyByLatentClass(classes, made.particles, made.classes, made.pixel_size)
        return outputs

    def usesGpu(self) -> bool:
        return self.method.get() != _LINEAR and super().usesGpu()

    def getLatentFolder(self) -> str:
        return self._output()

    # ----- validation and information
    def _checkTogether(self) -> List[str]:
        least = contract.PARTICLES_PER_DIMENSION * (self._config().latent or 1)
        return checkParticles(self.inputParticles.get(), minimum=least)

    def _tell(self, results: Sequence[Result]) -> List[str]:
        result = self._result()
        if result is None or getattr(self, "outputParticles", None) is None:
            return [self.NOTHING_YET]
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
