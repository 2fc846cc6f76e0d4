# SPDX-License-Identifier: GPL-3.0-or-later
"""How a molecule moves, or that it does not: in particles, or in subtomograms where scipion-em-tomo is installed."""

from typing import Any, Dict, List

from pwem.objects import EMSet, SetOfParticlesFlex, SetOfVolumesFlex, Volume, VolumeFlex
from pyworkflow.protocol import LEVEL_ADVANCED

from ..convert import arriving, tomography
from ..convert.particles.results import (
    LATENTS,
    PROGRAM,
    appendFlex,
    appendLatent,
    appendOriented,
    appendRows,
    classifyByLatentClass,
    forget,
)
from ..engine.cryodl import contract
from . import engine_protocol, one_of
from .kinds import Options, OwnName, Section, sayIf
from .particles.particle_kinds import MaskOfParticles, Particles, ParticlesBase, StructureOfParticles, checkParticles

if tomography.HAS_TOMO:
    from tomo.objects import AverageSubTomogram, SetOfAverageSubTomograms, SetOfSubTomograms

    from ..convert.tomograms.subtomograms import ENABLED, appendLatentSubtomograms, isAligned
    from .tomograms.tomogram_kinds import Subtomograms, checkSubtomograms

    _SUBTOMOGRAMS = Subtomograms("", to=("particles",))

_MAPS = Section("Maps and groups")
_LINEAR, _GAUSSIAN = (contract.LATENT_METHODS.index(method) for method in ("linear", "gaussian"))


def _areVolumes(items: Any) -> bool:
    return tomography.HAS_TOMO and isinstance(items, SetOfSubTomograms)


class ParticlesOrSubtomograms(Particles):
    CLASSES = "SetOfParticles,SetOfSubTomograms" if tomography.HAS_TOMO else "SetOfParticles"

    def valuesOf(self, protocol: Any, found: EMSet) -> Dict[str, Any]:
        return _SUBTOMOGRAMS.valuesOf(protocol, found) if _areVolumes(found) else super().valuesOf(protocol, found)

    def filesOf(self, protocol: Any, found: EMSet) -> Dict[str, Any]:
        return _SUBTOMOGRAMS.filesOf(protocol, found) if _areVolumes(found) else super().filesOf(protocol, found)

    def check(self, protocol: Any, found: EMSet) -> List[str]:
        latent, clusters = protocol.latent.get() or 1, protocol.clusters.get() or 1
        if not _areVolumes(found):
            return sayIf(
                protocol.inputVolume.get() is None,
                "Reference is missing: particles need the map of the refinement that their angles come from.",
            ) or checkParticles(found, self._need, minimum=latent * contract.PARTICLES_PER_DIMENSION)
        wrong = checkSubtomograms(found)
        if wrong or not isAligned(found):
            return wrong or ["The subtomograms have no alignment. Align them first."]
        least, ids = max(latent * contract.SUBTOMOGRAMS_PER_DIMENSION, clusters), found.getUniqueValues("id", ENABLED)
        return sayIf(
            len(ids) < least,
            f"There are {len(ids)} subtomograms; {latent} latent dimensions and {clusters} "
            f"clusters need at least {least}. Choose more subtomograms, or fewer dimensions or clusters.",
        ) or sayIf(
            protocol.method.get() == _GAUSSIAN or protocol.classes.get() is not None,
            "The method gaussian and discrete classes are for particles. Choose auto, and no classes.",
        )


class Fit(one_of.Way[contract.FitHeterogeneityConfig, contract.FitHeterogeneityOutputs]):
    WORD, OUTPUT, NOTHING_YET = "fit a latent space", "latent", "No latent space yet."
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
        MaskOfParticles(
            "inputMask",
            "Mask of the part of the molecule that may change.",
            what="mask",
            empty="determined from the particles",
            related=False,
        ),
        Options("method", "latent", "resolution"),
        Options("particle_diameter", "tilt_min", "tilt_max", expertLevel=LEVEL_ADVANCED),  # of subtomograms alone
        _MAPS,
        Options("maps", "axes", "clusters"),
        Options("classes", when=f"method != {_GAUSSIAN}"),
    )

    def makeOutputs(self, protocol: Any, made: contract.FitHeterogeneityOutputs) -> Dict[str, Any]:
        items = protocol.inputParticles.get()
        outputs = self._volumes(protocol, made, items) if _areVolumes(items) else self._images(protocol, made, items)
        if made.classes:
            outputs["outputClasses"] = classes = protocol._createSetOfClasses3D(protocol.inputParticles)
            classifyByLatentClass(classes, made.particles, made.classes, made.pixel_size)
        return outputs

    def _images(self, protocol: Any, made: contract.FitHeterogeneityOutputs, particles: EMSet) -> Dict[str, Any]:
        output, flex = protocol._createSetOfParticles(), SetOfParticlesFlex.create(protocol._getPath(), suffix="Flex")
        for one in (output, flex):
            one.copyInfo(particles)
        appendLatent(output, particles, made.particles, made.latent, made.umap)
        appendFlex(flex, particles, made.particles, made.latent, made.umap)
        mean = engine_protocol.volumeFrom(made.mean, made.pixel_size)
        outputs = dict(outputParticles=output, outputFlexParticles=flex, outputMean=mean)
        if made.apart:
            outputs["outputApart"] = apart = protocol._createSetOfParticles("apart")
            apart.copyInfo(particles)
            appendRows(apart, particles, made.apart, (), (), lambda copy, row: forget(copy, LATENTS))
        if any(made.paths):
            outputs["outputVolumes"] = self._alongAxes(made, protocol._createSetOfVolumes(), Volume)
        return outputs

    def _volumes(self, protocol: Any, made: contract.FitHeterogeneityOutputs, subtomograms: EMSet) -> Dict[str, Any]:
        output = SetOfSubTomograms.create(protocol._getPath(), template="subtomograms%s.sqlite")
        output.copyInfo(subtomograms)
        appendLatentSubtomograms(output, subtomograms, made.particles, made.latent, made.umap)
        outputs = dict(outputSubtomograms=output, outputMean=engine_protocol.volumeFrom(made.mean, made.pixel_size))
        if any(made.paths):
            averages = SetOfAverageSubTomograms.create(protocol._getPath(), template="averages%s.sqlite")
            outputs["outputAverages"] = self._alongAxes(made, averages, AverageSubTomogram)
        return outputs

    def _alongAxes(self, made: contract.FitHeterogeneityOutputs, volumes: EMSet, kind: type) -> EMSet:
        volumes.setSamplingRate(made.pixel_size)
        for axis, path in enumerate(made.paths, 1):
            for number, name in enumerate(path, 1):
                volumes.append(
                    engine_protocol.volumeFrom(
                        name, made.pixel_size, comment=f"axis {axis}, map {number}", halves=True, kind=kind
                    )
                )
        return volumes

    def usesGpu(self, protocol: Any) -> bool:
        return protocol.method.get() != _LINEAR

    def citations(self, protocol: Any) -> List[str]:
        used = getattr(protocol._made(), "method", None)
        theirs = dict(linear=["Tagare2015"], gaussian=["Chen2021"]).get(used or protocol.getEnumText("method"))
        return ["cryodl", *(theirs or ["Tagare2015", "Chen2021"]), "Tipping1999"]


class ParticlesWithLatent(Particles):
    def check(self, protocol: Any, found: EMSet) -> List[str]:
        return (
            sayIf(
                _areVolumes(found),
                "Maps along a latent space are made of particles; of subtomograms the fit makes them.",
            )
            or super().check(protocol, found)
            or sayIf(
                not arriving.firstOf(found).hasAttribute("_cryodlLatent1"),
                "The particles have no latent coordinates. Choose particles of *cryodl - fit heterogeneity*.",
            )
        )


class GoAlong(one_of.Way[contract.LatentVolumesConfig, contract.LatentVolumesOutputs]):
    WORD, OUTPUT, NOTHING_YET = "maps along a latent space", "volumes", "No maps yet."
    FORM = (
        ParticlesWithLatent(
            "inputParticles",
            "Particles with latent coordinates, of *cryodl - fit heterogeneity*.",
            need=("raw", "ctf", "angles"),
        ),
        MaskOfParticles(
            "domainMask",
            "Mask of a domain that moves as a rigid body, at its position in the middle map. The output particles "
            "have the orientations and shifts of the domain, for a focused refinement.",
            what="domain mask",
            label="Domain mask",
            to=("domain",),
            empty="none",
            related=False,
        ),
        _MAPS,
        OwnName("path", "axes", "maps"),
    )

    def makeOutputs(self, protocol: Any, made: contract.LatentVolumesOutputs) -> Dict[str, Any]:
        volumes, flex = protocol._createSetOfVolumes(), SetOfVolumesFlex.create(protocol._getPath(), suffix="Flex")
        flex.getFlexInfo().setProgName(PROGRAM)
        for output, kind in ((volumes, Volume), (flex, VolumeFlex)):
            output.setSamplingRate(made.pixel_size)
            for name, position in zip(made.volumes, made.coordinates):
                volume = engine_protocol.volumeFrom(
                    name,
                    made.pixel_size,
                    comment=f"at latent coordinates {', '.join(f'{value:.3g}' for value in position)}",
                    halves=True,
                    kind=kind,
                )
                if kind is VolumeFlex:
                    volume.getFlexInfo().setProgName(PROGRAM)
                    volume.setZFlex(position)
                    volume.setZRed(position[:2])
                output.append(volume)
        outputs = dict(outputVolumes=volumes, outputFlexVolumes=flex)
        if made.particles and made.domain:
            particles, outputs["outputParticles"] = protocol.inputParticles.get(), protocol._createSetOfParticles()
            outputs["outputParticles"].copyInfo(particles)
            appendOriented(outputs["outputParticles"], particles, made.particles)
            outputs["outputDomain"] = engine_protocol.volumeFrom(made.domain, made.pixel_size, halves=True)
        return outputs

    def tell(self, protocol: Any, results: Any) -> List[str]:
        chosen = protocol.inputParticles
        fit = getattr(chosen.getObjValue(), "inputObject", chosen).getObjValue()  # also of a subset of its particles
        said = fit.summary() if isinstance(fit, CryodlProtFitHeterogeneity) else []
        return [line for line in said if line.startswith("No motion found")] + super().tell(protocol, results)

    def citations(self, protocol: Any) -> List[str]:
        return ["cryodl"] + (["Nakane2018"] if protocol.domainMask.get() is not None else [])


class CryodlProtFitHeterogeneity(one_of.OneOf[Any, Any], ParticlesBase):
    """Fit a latent space to particles or subtomograms: how the molecule moves or what it lacks, if either; or
    reconstruct maps along it.

    In: raw particles with CTF and projection alignment, and the map of their refinement; or aligned subtomograms. Out:
    the same with latent coordinates and clusters, of particles also as a flexibility set; maps along the first axes
    with half-maps; the mean map. The summary says whether there is any motion at all. Particles that are something else
    make a set of their own. If discrete classes are asked for: 3-D classes as well. Or in: particles that have latent
    coordinates, or a part of them. Out: maps with half-maps along the dense regions, or at points, each from the
    particles nearby, also as a flexibility set with their latent coordinates. *Analyze results* shows them in turn."""

    _label = "fit heterogeneity"
    WAYS = (Fit(), GoAlong())
    WHAT = (
        "What to do",
        "Fit a latent space: find out how the molecule moves. Maps along a latent space: of particles that have one.",
    )
