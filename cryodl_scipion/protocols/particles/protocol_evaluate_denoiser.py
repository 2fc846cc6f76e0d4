# SPDX-License-Identifier: GPL-3.0-or-later
"""What a denoiser gains, and what it invents."""

from typing import Any, Dict, List, Optional, Sequence

from pwem.objects import FSC, SetOfFSCs, Volume
from pyworkflow.protocol.params import Form

from ...convert.structures import structureFileOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..evaluation_folder import HasEvaluation
from ..form_parts import notOnForm
from ..methods import citationsOf
from .denoiser_words import denoiserEvaluationInWords, denoiserEvaluationLines
from .particle_checks import checkParticles, scaleWarnings
from .particles_base import WHAT_FOR, ParticlesBase


class CryodlProtEvaluateDenoiser(HasEvaluation, ParticlesBase):
    """Measure what a denoiser gains and what it invents, against the ground truth and against controls.

    In: raw particles with angles and CTF that the denoiser did not learn from, its model, and their structure. Out:
    Fourier ring correlations of raw, Wiener-filtered and denoised images with the ground truth, Fourier shell
    correlations of maps from raw and denoised images, and the control: what the network makes of pure noise and of
    another molecule. The summary warns when the control comes near the real result.
    """

    _label = "evaluate denoiser"
    _CONFIG = contract.EvaluateDenoiserConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        particles="written from the input set",
        model="the model that the pointer gives",
        structure="the input structure",
        unseen="written from the input set",
        unseen_structure="the input structure",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addParticlesParam(
            form, "Raw particles with angles, shifts and CTF that were not in the denoiser's training.\n\n" + WHAT_FOR
        )
        self._addDenoiserParam(form, "The model to evaluate.", important=True)
        self._addStructureParam(form, "Ground-truth structure, in the coordinate frame of the particles' angles.")
        addConfigParams(form, self._CONFIG, ["count", "symmetry", "contrast", "seed"])
        form.addSection("Control")
        self._addParticlesParam(
            form,
            "Particles with CTF of a molecule that was not in the denoiser's training. Their denoised images should "
            "not look like the training structure.\n\nEmpty: simulated random blobs of the same size, with the same "
            "CTF and noise.",
            name="unseenParticles",
            allowsNull=True,
            important=False,
            label="Unseen particles",
        )
        self._addStructureParam(
            form,
            "Structure of the unseen particles, which then need angles.\n\nEmpty: only the "
            "similarity to the training targets is measured.",
            name="structureOfUnseen",
            allowsNull=True,
            important=False,
            label="Unseen structure",
            condition="unseenParticles is not None",
        )
        self._addGpuParams(form)
        form.addParallelSection(threads=2, mpi=0)

    # ----- steps
    def _insertAllSteps(self) -> None:
        settings = self._settings()
        self._insertFunctionStep(self.evaluateStep, settings)
        self._insertFunctionStep(self.createOutputStep, settings, needsGPU=False)

    def evaluateStep(self, settings: Dict[str, Any]) -> None:
        self._writeInputs(*[s for s in (self.inputParticles.get(), self.unseenParticles.get()) if s is not None])
        structures = dict(structure=self._structureFor(self.inputStructure.get()))
        if self._unseenStructure() is not None:
            structures["unseen_structure"] = self._structureFor(self._unseenStructure())
        self._runOnce(self._config(**dict(self._engineValues(), **structures)), self.getEvaluationFolder())

    def createOutputStep(self, settings: Dict[str, Any]) -> None:
        evaluation = self.getEvaluation()
        fscs = SetOfFSCs.create(self._getPath())
        for kind in ("raw", "denoised"):
            fsc = FSC()
            fsc.setData(evaluation["fsc"]["frequency"], evaluation["fsc"][kind])
            fsc.setObjLabel(f"{kind} particles against the ground truth")
            fscs.append(fsc)
        self._defineOutputs(outputFSCs=fscs)
        for pointer in (self.inputParticles, self.inputModel, self.inputStructure, self.unseenParticles):
            if pointer.get() is not None:
                self._defineSourceRelation(pointer, fscs)

    def _unseenStructure(self) -> Optional[Volume]:
        return self.structureOfUnseen.get() if self.unseenParticles.get() is not None else None

    def _engineValues(self) -> Any:
        unseen, structure = self.unseenParticles.get(), self._unseenStructure()
        return dict(
            particles=self._particlesFile(self.inputParticles.get()),
            model=self._denoiserFolder(),
            structure=structureFileOf(self.inputStructure.get()),
            output=self.getEvaluationFolder(),
            unseen=None if unseen is None else self._particlesFile(unseen),
            unseen_structure=None if structure is None else structureFileOf(structure),
            threads=self.numberOfThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        errors = checkParticles(self.inputParticles.get(), ("raw", "angles", "ctf"), minimum=2)
        errors += self._checkDenoiser() + self._checkStructure(self.inputStructure.get()) + self._checkSymmetry()
        unseen, structure = self.unseenParticles.get(), self._unseenStructure()
        if unseen is not None:
            need = ("raw", "ctf") + (() if structure is None else ("angles",))
            errors += checkParticles(unseen, need, "unseen particles", 2)
            if not errors and structure is None and unseen.getXDim() != self.inputParticles.get().getXDim():
                errors.append(
                    f"The unseen particles have a box of {unseen.getXDim()} px, the others one of "
                    f"{self.inputParticles.get().getXDim()} px. Give the structure of the unseen particles, or "
                    "particles of the same box size."
                )
        return errors + ([] if structure is None else self._checkStructure(structure))

    def _warnings(self) -> List[str]:
        particles, structure = self.inputParticles.get(), self.inputStructure.get()
        if particles is None or structure is None:
            return []
        return scaleWarnings(particles, structure) + self._pixelWarnings(particles)

    def _tell(self, results: Sequence[Result]) -> List[str]:
        evaluation = self.getEvaluation()
        return ["No evaluation yet."] if evaluation is None else denoiserEvaluationLines(evaluation)

    def _methods(self) -> List[str]:
        evaluation = self.getEvaluation()
        return (
            []
            if evaluation is None
            else [denoiserEvaluationInWords(evaluation, self._modelCard(), self._engineResults())]
        )

    def _citations(self) -> List[str]:
        return citationsOf((self._modelCard() or {}).get("network"))
