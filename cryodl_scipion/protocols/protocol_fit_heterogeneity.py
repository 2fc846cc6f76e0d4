# SPDX-License-Identifier: GPL-3.0-or-later
"""How a molecule moves, or that it does not: in particles, or in subtomograms where scipion-em-tomo is installed."""

import os
from typing import Any, Dict, List

from pwem.objects import EMSet, SetOfParticlesFlex, Volume
from pyworkflow.protocol.params import LEVEL_ADVANCED, Form

from ..convert.names import inputName
from ..convert.particles.results import appendFlex, appendLatent, classifyByLatentClass
from ..engine.cryodl import contract
from ..engine.cryodl.contract import FitHeterogeneityConfig
from ..engine.cryodl.contract.recipes.heterogeneity import FitHeterogeneityOutputs
from ..tomography import HAS_TOMO
from .engine_protocol import OneRun, volumeFrom
from .kinds import Mask, Options
from .particles.particle_checks import checkParticles
from .particles.particle_kinds import Particles, ParticlesBase, StructureOfParticles

if HAS_TOMO:
    from tomo.objects import AverageSubTomogram, SetOfAverageSubTomograms, SetOfSubTomograms

    from ..convert.tomograms.subtomograms import appendLatentSubtomograms, isAligned, writeSubtomograms
    from .tomograms.tomogram_checks import checkSubtomograms

_LINEAR, _GAUSSIAN = (contract.LATENT_METHODS.index(method) for method in ("linear", "gaussian"))


def _areVolumes(items: Any) -> bool:
    return HAS_TOMO and isinstance(items, SetOfSubTomograms)


class ParticlesOrSubtomograms(Particles):
    """Particles, or subtomograms, which were the field inputSubtomograms of another protocol of 0.1.0."""

    CLASSES = "SetOfParticles,SetOfSubTomograms" if HAS_TOMO else "SetOfParticles"

    def addTo(self, form: Form, protocol: Any) -> None:
        super().addTo(form, protocol)
        form.getParam(self.name).formerNames = ["inputSubtomograms"]

    def valuesOf(self, protocol: Any, found: EMSet) -> Dict[str, Any]:
        if not _areVolumes(found):
            return super().valuesOf(protocol, found)
        return {"particles": os.path.join(protocol._inputFolder(), inputName("subtomograms", found) + ".star")}

    def filesOf(self, protocol: Any, found: EMSet) -> Dict[str, Any]:
        if not _areVolumes(found):
            return super().filesOf(protocol, found)
        os.makedirs(protocol._inputFolder(), exist_ok=True)
        tilts = protocol.tiltMin.get(), protocol.tiltMax.get()
        writeSubtomograms(self.valuesOf(protocol, found)["particles"], found, tilts)
        return {}

    def check(self, protocol: Any, found: EMSet) -> List[str]:
        volumes, latent = _areVolumes(found), protocol.latent.get() or 1
        if not volumes and protocol.inputVolume.get() is None:
            return ["Reference is missing: particles need the map of the refinement that their angles come from."]
        least = latent * (contract.SUBTOMOGRAMS_PER_DIMENSION if volumes else contract.PARTICLES_PER_DIMENSION)
        if not volumes:
            return checkParticles(found, self._need, minimum=least)
        wrong = checkSubtomograms(found)
        if wrong or not isAligned(found):
            return wrong or ["The subtomograms have no alignment. Align them first."]
        least = max(least, protocol.clusters.get() or 1)
        if found.getSize() < least:
            return [
                f"There are {found.getSize()} subtomograms; {latent} latent dimensions and {protocol.clusters.get()} "
                f"clusters need at least {least}. Choose more subtomograms, or fewer dimensions or clusters."
            ]
        if protocol.method.get() == _GAUSSIAN or protocol.classes.get() is not None:
            return ["The method gaussian and discrete classes are for particles. Choose auto, and no classes."]
        return []


class CryodlProtFitHeterogeneity(OneRun[FitHeterogeneityConfig, FitHeterogeneityOutputs], ParticlesBase):
    """Fit a latent space to particles or subtomograms: how the molecule moves or what it lacks, if either.

    In: raw particles with CTF and projection alignment, and the map of their refinement; or aligned subtomograms. Out:
    the same with latent coordinates and clusters, of particles also as a flexibility set; maps along the first axes
    with half-maps; the mean map. The summary says whether there is any motion at all. If discrete classes are asked
    for: 3-D classes as well.
    """

    _label = "fit heterogeneity"
    OUTPUT, NOTHING_YET = "latent", "No latent space yet."
    FORM = (
        ParticlesOrSubtomograms(
            "inputParticles",
            "Raw particles with CTF and the angles of a 3-D refinement without symmetry; or subtomograms with the "
            "transforms of an alignment.",
            need=("raw", "ctf", "angles"),
        ),
        StructureOfParticles(
            "inputVolume",
            "Map of the refinement that the angles of particles come from. It is compared with the map reconstructed "
            "from the particles, and shows where the molecule is.",
            what="reference",
            label="Reference",
            to=("reference",),
            pointerClass="Volume",
            empty="the average of the subtomograms",
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
        Options("particle_diameter", "tilt_min", "tilt_max", expertLevel=LEVEL_ADVANCED),  # of subtomograms alone
    )

    def _makeOutputs(self, made: FitHeterogeneityOutputs) -> Dict[str, Any]:
        items = self.inputParticles.get()
        outputs = self._volumes(made, items) if _areVolumes(items) else self._images(made, items)
        if made.classes:
            outputs["outputClasses"] = classes = self._createSetOfClasses3D(self.inputParticles)
            classifyByLatentClass(classes, made.particles, made.classes, made.pixel_size)
        return outputs

    def _images(self, made: FitHeterogeneityOutputs, particles: EMSet) -> Dict[str, Any]:
        output, flex = self._createSetOfParticles(), SetOfParticlesFlex.create(self._getPath(), suffix="Flex")
        for one in (output, flex):
            one.copyInfo(particles)
        appendLatent(output, particles, made.particles, made.latent, made.umap)
        appendFlex(flex, particles, made.particles, made.latent, made.umap)
        mean = volumeFrom(made.mean, made.pixel_size)
        outputs = dict(outputParticles=output, outputFlexParticles=flex, outputMean=mean)
        if any(made.paths):
            outputs["outputVolumes"] = self._alongAxes(made, self._createSetOfVolumes(), Volume)
        return outputs

    def _volumes(self, made: FitHeterogeneityOutputs, subtomograms: EMSet) -> Dict[str, Any]:
        output = SetOfSubTomograms.create(self._getPath(), template="subtomograms%s.sqlite")
        output.copyInfo(subtomograms)
        appendLatentSubtomograms(output, subtomograms, made.particles, made.latent, made.umap)
        outputs = dict(outputSubtomograms=output, outputMean=volumeFrom(made.mean, made.pixel_size))
        if any(made.paths):
            averages = SetOfAverageSubTomograms.create(self._getPath(), template="averages%s.sqlite")
            outputs["outputAverages"] = self._alongAxes(made, averages, AverageSubTomogram)
        return outputs

    def _alongAxes(self, made: FitHeterogeneityOutputs, volumes: EMSet, kind: type) -> EMSet:
        volumes.setSamplingRate(made.pixel_size)
        for axis, path in enumerate(made.paths, 1):
            for number, name in enumerate(path, 1):
                comment = f"axis {axis}, map {number}"
                volumes.append(volumeFrom(name, made.pixel_size, comment=comment, halves=True, kind=kind))
        return volumes

    def usesGpu(self) -> bool:
        return self.method.get() != _LINEAR and super().usesGpu()

    def _citations(self) -> List[str]:
        made = self._made()
        used = made and made.method
        theirs = dict(linear=["Tagare2015"], gaussian=["Chen2021"]).get(used or self.getEnumText("method"))
        return ["cryodl", *(theirs or ["Tagare2015", "Chen2021"]), "Tipping1999"]
