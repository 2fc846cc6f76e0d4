# SPDX-License-Identifier: GPL-3.0-or-later
"""Give particles their first Euler angles."""

import os
from typing import Any, List, Sequence

from pwem.objects import EMSet, SetOfParticles

from ...convert.names import withoutChecksum
from ...convert.particles.oriented import appendOriented
from ...engine.cryodl.contract import AssignOrientationsConfig, Result
from ...engine.cryodl.contract.particles.orienting import AssignOrientationsOutputs
from ..methods import citationsOf
from .denoiser_words import orientingInWords
from .particle_batches import ParticleBatches
from .particle_kinds import ParticleDenoiser, Particles, StructureOfParticles


class CryodlProtAssignOrientations(ParticleBatches[AssignOrientationsConfig, AssignOrientationsOutputs]):
    """Give every particle Euler angles and shifts by comparing it with projections of a structure.

    In: raw particles with CTF, a structure, and a denoiser if one is to help. Out: the same raw particles with
    projection alignment, from which 3-D refinements start; each with the score of its orientation and the margin to
    the runner-up. The angles are a start: refine them, and never take the structure's detail for the data's.
    Particles may still be arriving; a stopped run continues where it was.
    """

    _label = "assign initial orientations"
    _WORK, _MADE = "orient", "oriented"
    OUTPUT = "oriented.star"
    FORM = (
        Particles("inputParticles", "Raw particles with CTF. Existing angles are not used.", need=("raw", "ctf")),
        StructureOfParticles("inputStructure", "Structure whose projections the particles are compared with."),
        ParticleDenoiser(
            "Denoiser whose output is compared with the projections. The output particles are still the raw ones.",
            empty="the raw images are compared, taking their CTF and noise into account",
        ),
    )
    NOT_ON_FORM = {
        "noise_substitution": "a control of whole sets, for the command line: particles may arrive in batches here"
    }

    # ----- steps, see particle_batches.py
    def _describeOutput(self, output: EMSet) -> None:
        output.setAlignmentProj()

    def _append(self, output: EMSet, batch: SetOfParticles, made: AssignOrientationsOutputs, done: Any) -> None:
        appendOriented(output, batch, made.particles, made.noise_control, done)

    # ----- information
    def _tell(self, results: Sequence[Result]) -> List[str]:
        output, made = getattr(self, "outputParticles", None), self._made()
        if output is None or made is None:
            return ["No orientations yet."]
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
