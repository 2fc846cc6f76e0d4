# SPDX-License-Identifier: GPL-3.0-or-later
"""Give particles their first Euler angles."""

import dataclasses
import os
from typing import Any, List, Sequence

from pwem.objects import EMSet, SetOfParticles
from pyworkflow.protocol.params import Form

from ...convert.names import withoutChecksum
from ...convert.particles.oriented import appendOriented
from ...convert.structures import structureFileOf
from ...engine.cryodl import contract
from ...engine.cryodl.contract import Result
from ...form import addConfigParams
from ..form_parts import notOnForm
from ..methods import citationsOf
from .denoiser_words import orientingInWords
from .particle_batches import ParticleBatches
from .particle_checks import checkParticles, scaleWarnings


class CryodlProtAssignOrientations(ParticleBatches):
    """Give every particle Euler angles and shifts by comparing it with projections of a structure.

    In: raw particles with CTF, a structure, and a denoiser if one is to help. Out: the same raw particles with
    projection alignment, from which 3-D refinements start; each with the score of its orientation and the margin to
    the runner-up. The angles are a start: refine them, and never take the structure's detail for the data's.
    Particles may still be arriving; a stopped run continues where it was.
    """

    _label = "assign initial orientations"
    _WORK, _MADE, _OUTPUT_NAMES = "orient", "oriented", ("oriented.star",)
    _CONFIG = contract.AssignOrientationsConfig
    NOT_ON_FORM = notOnForm(
        "output",
        "device",
        "threads",
        particles="written from the input set",
        structure="the input structure",
        model="the model that the pointer gives",
        noise_substitution="a control of whole sets, for the command line: particles may arrive in batches here",
    )

    def _defineParams(self, form: Form) -> None:
        form.addSection("Input")
        self._addParticlesParam(form, "Raw particles with CTF. Existing angles are not used.")
        self._addStructureParam(form, "Structure whose projections the particles are compared with.")
        self._addDenoiserParam(
            form,
            "Denoiser whose output is compared with the projections. The output particles are still the raw "
            "ones.\n\nEmpty: the raw images are compared, taking their CTF and noise into account.",
            allowsNull=True,
        )
        addConfigParams(
            form, self._CONFIG, ["symmetry", "angular_step", "max_shift", "resolution", "refine", "contrast"]
        )
        self._addGpuParams(form)
        self._addParticleBatchParams(form)

    # ----- steps, see particle_batches.py
    def _configIn(self, folder: str) -> Any:
        return dataclasses.replace(super()._configIn(folder), structure=self._structureFor(self.inputStructure.get()))

    def _describeOutput(self, output: EMSet) -> None:
        output.setAlignmentProj()

    def _append(self, output: EMSet, batch: SetOfParticles, result: Result, done: Any) -> None:
        appendOriented(output, batch, result.outputs.particles, result.outputs.noise_control, done)

    def _defineRelations(self, output: EMSet) -> None:
        for pointer in (self.inputParticles, self.inputStructure, self.inputModel):
            if pointer.get() is not None:
                self._defineSourceRelation(pointer, output)

    def _engineValues(self) -> Any:
        return dict(
            particles=self._particlesFile(self.inputParticles.get()),
            structure=structureFileOf(self.inputStructure.get()),
            model=self._denoiserFolder(),
            output=self._getExtraPath(self._OUTPUT_NAMES[0]),
            threads=self.binThreads.get(),
        )

    # ----- validation and information
    def _checkInputs(self) -> List[str]:
        errors = (
            checkParticles(self.inputParticles.get(), ("raw", "ctf"))
            + self._checkDenoiser()
            + self._checkSymmetry()
            + self._checkStructure(self.inputStructure.get())
            + self._checkBatches()
        )
        return errors or self._checkContinuation()

    def _warnings(self) -> List[str]:
        particles, structure = self.inputParticles.get(), self.inputStructure.get()
        if particles is None or structure is None:
            return []
        return scaleWarnings(particles, structure) + self._pixelWarnings(particles)

    def _tell(self, results: Sequence[Result]) -> List[str]:
        output, result = getattr(self, "outputParticles", None), self._result()
        if output is None or result is None:
            return ["No orientations yet."]
        made = result.outputs
        lines = [
            f"*{output.getSize()} particles* with angles, of {made.directions} directions "
            f"({self.angularStep.get():.3g}° apart, symmetry {made.symmetry})"
        ]
        score, probability = (self._meanOf(results, name) for name in ("mean_score", "mean_probability"))
        if score is not None:
            lines.append(f"Mean score {score:.3g}; scores and margins are attributes of the particles.")
        if probability is not None:
            lines.append(f"{100 * probability:.0f} % of the orientations are expected to be correct (within 15°).")
        if made.reference:
            lines.append(
                f"The angles were assigned with the reference {withoutChecksum(os.path.basename(made.reference))}."
            )
        return lines + ["The images are the raw ones. Use the angles as the start of a refinement."]

    def _methods(self) -> List[str]:
        output, result = getattr(self, "outputParticles", None), self._result()
        if output is None or result is None:
            return []
        return [
            orientingInWords(
                output.getSize(),
                self._structureName(self.inputStructure.get()),
                self._modelCard(),
                result,
                self.angularStep.get(),
            )
        ]

    def _citations(self) -> List[str]:
        network = (self._modelCard() or {}).get("network")
        return list(dict.fromkeys(citationsOf(network) + ["Gorski2005", "Scheres2012"]))
