# SPDX-License-Identifier: GPL-3.0-or-later
"""Train a particle denoiser."""

from typing import Any, Dict, List, Optional, Sequence

from pwem.objects import SetOfParticles, Volume
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form

from ...convert.structures import structureFileOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..form_parts import notOnForm
from ..methods import citationsOf
from ..training import TrainsModel
from .denoiser_words import denoiserInWords, denoiserLines
from .particle_checks import checkParticles, scaleWarnings
from .particles_base import WHAT_FOR, ParticlesBase

# Below this a network learns the particles by heart; the engine itself needs fewer.
FEW_PARTICLES = 200
_MINIMUM = 10
# Networks that are trained by gradients, unlike the posterior.
# What a choice is called on the form, where its name alone would mislead.
_LABELS = {"posterior": "projection of the template (posterior)"}
_LEARNS = f"network != {contract.DENOISER_NETWORKS.index('posterior')}"
_TRAINING = ["patience", "batch_size", "learning_rate"]


class CryodlProtTrainDenoiser(TrainsModel, ParticlesBase):
    """Train a denoiser for particles of a known structure.

    In: raw particles with CTF and angles (3-D refined, or simulated), and the structure whose projections they are
    to become; several sets with one structure each are learnt together. Out: a model for *cryodl - denoise
    particles*. Its card says what it was trained on; particles of some micrographs, or of one half set, are held
    out for validation. A stopped run continues where it was.
    """

    _label = "train denoiser"
    _KIND = "denoiser"
    _CONFIG = contract.TrainDenoiserConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        "start_from",
        particles="written from the input sets",
        structure="the input structures",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        form.addParam(
            "inputSets",
            params.MultiPointerParam,
            pointerClass="SetOfParticles",
            minNumObjects=1,
            important=True,
            label="Particles",
            help="Raw particles with CTF and angles of a 3-D refinement (projection alignment). Choose several sets "
            "to train on several molecules or data sets.\n\n" + WHAT_FOR,
        )
        form.addParam(
            "inputStructures",
            params.MultiPointerParam,
            pointerClass="Volume,AtomStruct",
            minNumObjects=1,
            important=True,
            label="Structures",
            help="Maps (protein positive) or atomic models in the frame of the particles' angles: one for all sets, "
            "or one for each in the same order. The pixel size of a map is that of Scipion's object. Their "
            "handedness must be right; a mirrored map is not detected.",
        )
        addConfigParams(form, self._CONFIG, ["simulated_fraction", "resolution", "contrast"])
        form.addSection("Training")
        addConfigParams(
            form,
            self._CONFIG,
            ["network", "loss", "adversarial_weight", "steps"],
            network=dict(choices=[_LABELS.get(name, name) for name in contract.DENOISER_NETWORKS]),
            **{name: dict(condition=_LEARNS) for name in ("loss", "adversarial_weight", "steps")},
        )
        self._addDenoiserParam(
            form,
            "A denoiser to continue from, of the same network.\n\nEmpty: random weights.",
            allowsNull=True,
            expertLevel=params.LEVEL_ADVANCED,
            label="Start from model",
            condition=_LEARNS,
        )
        addConfigParams(form, self._CONFIG, ["split_by", "validation_fraction"])
        addConfigParams(form, self._CONFIG, _TRAINING, **{name: dict(condition=_LEARNS) for name in _TRAINING})
        addConfigParams(form, self._CONFIG, ["seed"])
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        # The settings are the steps' argument, so that a changed one trains anew when the run is continued.
        settings = self._settings()
        self._insertFunctionStep(self.writeInputsStep, settings, needsGPU=False)
        self._insertFunctionStep(self.trainStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def writeInputsStep(self, settings: Dict[str, Any]) -> None:
        self._writeInputs(*self._sets())

    def trainStep(self, settings: Dict[str, Any]) -> None:
        structures = tuple(self._structureFor(structure) for structure in self._structures())
        self._train(self._config(**dict(self._engineValues(), structure=structures)), self._getExtraPath())

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        self._defineModel(list(self.inputSets) + list(self.inputStructures) + [self.inputModel])

    def _sets(self) -> List[SetOfParticles]:
        return [pointer.get() for pointer in self.inputSets if pointer.get() is not None]

    def _structures(self) -> List[Volume]:
        return [pointer.get() for pointer in self.inputStructures if pointer.get() is not None]

    def _engineValues(self) -> Any:
        return dict(
            particles=tuple(self._particlesFile(particles) for particles in self._sets()),
            structure=tuple(structureFileOf(structure) for structure in self._structures()),
            output=self.getModelFolder(),
            start_from=self._startFolder(),
            threads=self.numberOfThreads.get(),
        )

    def _startFolder(self) -> Optional[str]:
        return self._denoiserFolder() if self.evalParamCondition("inputModel") else None

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        sets, structures = self._sets(), self._structures()
        if not sets or not structures:
            return [
                f"{word} is empty. Choose one or several with the magnifying glass."
                for word, found in (("Particles", sets), ("Structures", structures))
                if not found
            ]
        if len(structures) not in (1, len(sets)):
            return [
                f"There are {len(sets)} sets of particles and {len(structures)} structures. Give one structure "
                "for all, or one for each in the same order."
            ]
        errors = []
        for number, particles in enumerate(sets, 1):
            what = "particles" if len(sets) == 1 else f"particles of set {number}"
            errors += checkParticles(particles, ("raw", "angles", "ctf"), what, _MINIMUM)
        errors += self._checkHalves(sets)
        for structure in structures:
            errors += self._checkStructure(structure)
        return errors + (self._checkDenoiser() + self._checkStart() if self._startFolder() else [])

    def _checkHalves(self, sets: Sequence[SetOfParticles]) -> List[str]:
        if self.getEnumText("splitBy") != "half":
            return []
        return [
            "Validation by half sets was chosen, but "
            f"{'the particles have' if len(sets) == 1 else f'set {number} has'} no half sets (rlnRandomSubset). "
            "Choose auto."
            for number, particles in enumerate(sets, 1)
            if particles.getSize() and not particles.getFirstItem().hasAttribute("_rlnRandomSubset")
        ]

    def _network(self) -> str:
        return contract.DENOISER_NETWORKS[self.network.get()]

    def _citations(self) -> List[str]:
        return citationsOf(self._network())

    def _checkStart(self) -> List[str]:
        start, network = self.inputModel.get(), self._network()
        if start.getNetwork() == network:
            return []
        return [
            f"The model to start from has the network {start.getNetwork()}, but Network is {network}. Choose the "
            "same network, or another model."
        ]

    def _warnings(self) -> List[str]:
        sets, structures, warnings = self._sets(), self._structures(), []
        count = sum(particles.getSize() for particles in sets)
        if 0 < count < FEW_PARTICLES:
            warnings.append(
                f"There are only {count} training particles; a useful denoiser needs about {FEW_PARTICLES} or more. "
                "Increase Simulated fraction."
            )
        if self._network() == "cgan" and not self.usesGpu():
            warnings.append(
                "The network cgan is large; without a GPU its training takes hours. swinconv trains in minutes, and "
                "the projection of the template needs no training."
            )
        if structures and len(structures) in (1, len(sets)):
            for particles, structure in zip(sets, structures * (len(sets) if len(structures) == 1 else 1)):
                warnings += scaleWarnings(particles, structure)
        return list(dict.fromkeys(warnings))

    def _tell(self, results: Sequence[Result]) -> List[str]:
        card = self._card()
        return ["No model yet."] if card is None else denoiserLines(card)

    def _methods(self) -> List[str]:
        card = self._card()
        return [] if card is None else [denoiserInWords(card)]
