# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoise particles, and go back from denoised particles to the raw ones."""

from typing import Any, Dict, List, Sequence

from pwem.objects import EMSet, SetOfParticles
from pyworkflow.protocol import Form, params

from ...convert.arriving import firstOf
from ...convert.particles.denoised import denoiserOf, rawImageOf
from ...convert.particles.particles import locationOf
from ...convert.particles.results import appendDenoised, appendRaw, movedIds
from ...engine.cryodl import contract
from .. import kinds, model_field
from ..checks import checkModelFolder, sayIf
from .particle_batches import ParticleBatches
from .particle_kinds import WHAT_FOR, Particles, checkParticles, checkStacks, hasCtf

_DENOISE, _BACK = range(2)  # what to do


class DenoisedOrRaw(Particles):
    """Particles to denoise, or denoised ones to go back from."""

    def check(self, protocol: Any, found: SetOfParticles) -> List[str]:
        return [] if protocol.goesBack() else super().check(protocol, found)


class AnyDenoiser(kinds.ModelOrShipped):
    """A denoiser of particles of the project, or a shipped one that knows no structure."""

    def addTo(self, form: Form, protocol: Any) -> None:
        super().addTo(form, protocol)
        shipped = form.getParam("shippedModel")
        shipped.condition.set(f"what == {_DENOISE} and inputModel is None")
        shipped.setDefault("general_denoiser")
        form._analizeCondition("shippedModel", shipped)

    def values(self, protocol: Any) -> Dict[str, Any]:
        return {"model": "" if protocol.goesBack() else self.folder(protocol)}

    def problems(self, protocol: Any) -> List[str]:
        card = protocol._modelCard() or {}
        own = protocol.inputModel.get() is not None and card.get("kind") == self.kind
        return (
            sayIf(
                not self.folder(protocol) and not model_field.shippedName(protocol),
                "Denoiser is empty. Choose a model of *cryodl - train denoiser*, or name a shipped model "
                "(general_denoiser), which needs no known structure.",
            )
            or sayIf(
                own and not contract.denoises_blindly(card),
                f"The model {card.get('name')} learnt from the micrographs of one data set, and denoises these only. "
                "Choose a denoiser of particles, or name the shipped model general_denoiser.",
            )
            or (checkModelFolder(self.folder(protocol), self.kind) if own else super().problems(protocol))
        )


_MODEL = AnyDenoiser(
    contract.MICROGRAPH_DENOISER,
    "A model of *cryodl - train denoiser*, or imported. It should be trained on the molecule of these "
    "particles; it turns other particles into the molecule that it knows.",
    empty="the shipped model that is named below, which knows no molecule",
    none="a denoiser is needed above. A shipped one denoises blindly: it knows no structure and needs no training, "
    "so it has no template to draw into the images, and recovers less detail than one that knows it",
    label="Denoiser",
    of="denoiser",
    when=f"what == {_DENOISE}",
)


class CryodlProtDenoise(ParticleBatches[contract.DenoiseConfig, contract.DenoiseOutputs]):
    """Denoise particle images with a trained network, or go back from denoised ones to their raw images.

    In: raw particles and a denoiser of their molecule, or none: a shipped model denoises blindly. Out: the same
    particles, with denoised images: same ids, acquisition, CTF, alignment and coordinates, and the location of each raw
    image. The set is marked as denoised, and is refused where raw data are needed. Particles may still be arriving; a
    stopped run continues where it was.

    Back to the raw images: denoised particles, or what any later step made of them (a subset, a class, a refinement)
    in; the same with the alignment and all else that the later step gave, but with the raw images, out."""

    _label = "denoise particles"
    _WORK, _MADE = "denoise", "denoised"
    OUTPUT, BESIDE = "denoised.star", ("denoised.mrcs",)
    FORM = (
        kinds.Choice(
            "what",
            "What to do",
            ("denoise", "back to the raw images"),
            "Denoise, or replace denoised images by the raw ones.",
        ),
        DenoisedOrRaw(
            "inputParticles",
            "Raw particles, with CTF unless the model works without. No angles are needed; existing ones are "
            "kept.\n\n" + WHAT_FOR + "\n\nTo go back: denoised particles, or particles of any later step.",
            need=("raw",),
        ),
        _MODEL,
        kinds.Pointing(
            "rawParticles",
            "The particles that were denoised. They are needed if a later step has lost the paths of the raw images "
            "or rescaled the images; items are then matched by id, and shifts are rescaled.",
            label="Raw particles",
            when=f"what == {_BACK}",
            empty="the paths stored in the items",
            pointerClass="SetOfParticles",
            expertLevel=params.LEVEL_ADVANCED,
        ),
    )

    def goesBack(self) -> bool:
        return self.what.get() == _BACK

    def stepsGeneratorStep(self) -> None:
        if not self.goesBack():
            super().stepsGeneratorStep()
            return
        raw = self.rawParticles.get()
        sizes = self.inputParticles.get().getSize(), 0 if raw is None else raw.getSize()
        self._insertFunctionStep(self.backStep, *sizes, needsGPU=False)

    def backStep(self, size: int, rawSize: int) -> None:
        particles, raw = self.inputParticles.get(), self.rawParticles.get()
        output = self._createSetOfParticles()
        output.copyInfo(particles)
        appendRaw(output, particles, raw)
        self._defineOutputs(outputParticles=output)
        super()._defineRelations(output)

    def usesGpu(self) -> bool:
        return not self.goesBack() and super().usesGpu()

    def _append(self, output: EMSet, batch: SetOfParticles, made: contract.DenoiseOutputs, done: Any) -> None:
        appendDenoised(output, batch, made.particles, made.model, done)

    def _defineRelations(self, output: EMSet) -> None:
        self._defineTransformRelation(self.inputParticles, output)
        if self.inputModel.get() is not None:
            self._defineSourceRelation(self.inputModel, output)

    def _checkTogether(self) -> List[str]:
        particles, card = self.inputParticles.get(), self._modelCard()
        if self._isBlind():
            return super()._checkTogether()
        diameter, room = card["particle_diameter"], (particles.getXDim() or 0) * (particles.getSamplingRate() or 0)
        return (
            checkParticles(particles, () if card.get("ctf") == "none" else ("ctf",))
            or sayIf(
                diameter > room,
                f"The model is of particles {diameter:.0f} Å wide, but these images are only {room:.0f} Å wide "
                f"({particles.getXDim()} px of {particles.getSamplingRate():.4g} Å). Extract them with a box of "
                f"{1.5 * diameter:.0f} Å, or use another model.",
            )
            or super()._checkTogether()
        )

    def _isBlind(self) -> bool:
        return (self._modelCard() or {}).get("kind") == _MODEL.kind

    def _warnings(self) -> List[str]:
        particles, raw = self.inputParticles.get(), self.rawParticles.get() if self.goesBack() else None
        moved = [] if raw is None or particles is None else movedIds(particles, raw)
        return (
            sayIf(
                moved,
                f"Of {len(moved)} particles, such as {moved[:1]}, the raw particle with the same id has other "
                "coordinates: it is another particle, unless a later step has rescaled the coordinates. Choose the set "
                "that was denoised.",
            )
            + self._pixelWarnings(particles)
            + sayIf(
                self._isBlind() and particles is not None and not hasCtf(particles),
                "The particles have no CTF: the denoised images keep its effect.",
            )
        )

    def _tell(self, results: Sequence[contract.Result]) -> List[str]:
        output = getattr(self, "outputParticles", None)
        back = "*{} raw particles*, with the results of later steps on their denoised images."
        return [back.format(output.getSize())] if self.goesBack() and output is not None else super()._tell(results)

    def _methods(self) -> List[str]:
        used = ["The raw images of denoised particles were used in later steps."]
        return used if self.goesBack() and hasattr(self, "outputParticles") else super()._methods()

    def _citations(self) -> List[str]:
        return ["cryodl", "Zhang2023SCUNet", "Bepler2020", "Pang2021"] if self._isBlind() else super()._citations()

    def _validate(self) -> List[str]:
        if not self.goesBack() or self._missingPointers():
            return super()._validate()
        particles, raw = self.inputParticles.get(), self.rawParticles.get()
        return sayIf(not particles.getSize(), "The set of denoised particles is empty. Choose another.") or (
            self._checkOwnPositions(particles) if raw is None else self._checkRaw(particles, raw)
        )

    def _checkOwnPositions(self, particles: SetOfParticles) -> List[str]:
        item = firstOf(particles).clone()
        image = rawImageOf(item)
        if not image:
            return [
                "The particles do not store the paths of raw images: they are not denoised particles, or a later "
                "step has lost the paths. In the second case give the raw particles as well (expert level)."
            ]
        item.setLocation(*locationOf(image))
        box, size = particles.getXDim(), (item.getDim() or [None])[0]
        return sayIf(size is None, f"The raw image {image} does not exist. Restore it.") or sayIf(
            size != box,
            f"The particles have boxes of {box} px and their raw images of {size} px, so they were rescaled or "
            "cropped. Give the raw particles as well (expert level).",
        )

    def _checkRaw(self, particles: SetOfParticles, raw: SetOfParticles) -> Any:
        missing = len(particles.getIdSet() - raw.getIdSet()) if raw.getSize() else 0
        return (
            sayIf(
                denoiserOf(raw),
                "Raw particles is also a set of denoised particles. Choose the particles that were denoised.",
            )
            or sayIf(not raw.getSize(), "The set of raw particles is empty. Choose another.")
            or sayIf(
                not (raw.getSamplingRate() and particles.getSamplingRate()),
                "One of the two sets has no pixel size (sampling rate). Import it again with its pixel size.",
            )
            or sayIf(
                missing,
                f"{missing} of the {particles.getSize()} particles have no raw particle with the same id. Choose the "
                "set that was denoised.",
            )
            or checkStacks(raw, "raw particles")
        )
