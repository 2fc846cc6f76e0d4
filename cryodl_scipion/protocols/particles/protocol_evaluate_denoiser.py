# SPDX-License-Identifier: GPL-3.0-or-later
"""What a denoiser gains, and what it invents."""

from typing import Any, Dict, List

from pwem.objects import SetOfFSCs

from ...engine.cryodl.contract import EvaluateDenoiserConfig, EvaluateDenoiserOutputs
from ..engine_protocol import OneRun, fscFrom
from ..kinds import MapOrModel, Options, Section, sayIf
from ..protocol_base import EVALUATION_FOLDER, HasEvaluation
from .particle_kinds import (
    HANDEDNESS,
    WHAT_FOR,
    ParticleDenoiser,
    Particles,
    ParticlesBase,
    StructureOfParticles,
    checkParticles,
)


class CryodlProtEvaluateDenoiser(HasEvaluation, OneRun[EvaluateDenoiserConfig, EvaluateDenoiserOutputs], ParticlesBase):
    """Measure what a denoiser gains and what it invents, against the ground truth and against controls.

    In: raw particles with angles and CTF that the denoiser did not learn from, its model, and their structure. Out:
    Fourier ring correlations of raw, Wiener-filtered and denoised images with the ground truth, Fourier shell
    correlations of maps from raw and denoised images, and the control: what the network makes of pure noise and of
    another molecule. The summary warns when the control comes near the real result."""

    _label = "evaluate denoiser"
    OUTPUT, NOTHING_YET = EVALUATION_FOLDER, "No evaluation yet."
    FORM = (
        Particles(
            "inputParticles",
            "Raw particles with angles, shifts and CTF that were not in the denoiser's training.\n\n" + WHAT_FOR,
            need=("raw", "angles", "ctf"),
            minimum=2,
        ),
        ParticleDenoiser("The model to evaluate."),
        StructureOfParticles(
            "inputStructure", "Ground-truth structure, in the coordinate frame of the particles' angles."
        ),
        Options("count", "symmetry", "contrast", "seed"),
        Section("Control"),
        Particles(
            "unseenParticles",
            "Particles with CTF of a molecule that was not in the denoiser's training. Their denoised images should "
            "not look like the training structure.",
            need=("raw", "ctf"),
            what="unseen particles",
            minimum=2,
            to=("unseen",),
            label="Unseen particles",
            empty="simulated random blobs of the same size, with the same CTF and noise",
        ),
        MapOrModel(
            "structureOfUnseen",
            "Structure of the unseen particles, which then need angles." + HANDEDNESS,
            to=("unseen_structure",),
            label="Unseen structure",
            when="unseenParticles is not None",
            empty="only the similarity to the training targets is measured",
            related=False,
        ),
    )

    def _makeOutputs(self, made: EvaluateDenoiserOutputs) -> Dict[str, Any]:
        curves, fscs = self.getEvaluation()["fsc"], SetOfFSCs.create(self._getPath())
        fscs.copyItems(
            fscFrom(curves["frequency"], curves[kind], f"{kind} particles against the ground truth")
            for kind in ("raw", "denoised")
        )
        return dict(outputFSCs=fscs)

    def _checkTogether(self) -> List[str]:
        unseen, particles = self.unseenParticles.get(), self.inputParticles.get()
        if unseen is None:
            return []
        if self.structureOfUnseen.get() is not None:
            return checkParticles(unseen, ("angles",), "unseen particles")
        return sayIf(
            unseen.getXDim() != particles.getXDim(),
            f"The unseen particles have a box of {unseen.getXDim()} px, the others one of {particles.getXDim()} "
            "px. Give the structure of the unseen particles, or particles of the same box size.",
        )
