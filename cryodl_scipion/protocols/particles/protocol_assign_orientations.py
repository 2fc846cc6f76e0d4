# SPDX-License-Identifier: GPL-3.0-or-later
"""Give particles their first Euler angles."""

from typing import Any

from pwem.objects import EMSet, SetOfParticles
from pyworkflow.protocol import LEVEL_ADVANCED

from ...convert.particles.results import appendOriented
from ...engine.cryodl.contract import AssignOrientationsConfig, AssignOrientationsOutputs
from .particle_batches import ParticleBatches
from .particle_kinds import ParticleDenoiser, Particles, StructureOfParticles


class CryodlProtAssignOrientations(ParticleBatches[AssignOrientationsConfig, AssignOrientationsOutputs]):
    """Give every particle Euler angles and shifts by comparing it with projections of a structure.

    In: raw particles with CTF, a structure, and a denoiser if one is to help. Out: the same raw particles with
    projection alignment, from which 3-D refinements start; each with the score of its orientation and the margin to
    the runner-up. The angles are a start: refine them, and never take the structure's detail for the data's.
    Particles may still be arriving; a stopped run continues where it was."""

    _label = "assign initial orientations"
    _WORK, _MADE = "orient", "oriented"
    OUTPUT, REUSED, CITES = "oriented.star", ("oriented_controls.json",), ("Gorski2005", "Scheres2012")
    FORM = (
        Particles("inputParticles", "Raw particles with CTF. Existing angles are not used.", need=("raw", "ctf")),
        StructureOfParticles("inputStructure", "Structure whose projections the particles are compared with."),
        ParticleDenoiser(
            "Denoiser whose output is compared with the projections. The output particles are still the raw ones.",
            empty="the raw images are compared, taking their CTF and noise into account, which is better",
            expertLevel=LEVEL_ADVANCED,
        ),
    )
    NOT_ON_FORM = {
        "noise_substitution": "a control of whole sets, for the command line: particles may arrive in batches here",
        "controls": "for the hurried at the command line: the output's particles always have probabilities",
    }

    def _describeOutput(self, output: EMSet) -> None:
        output.setAlignmentProj()

    def _append(self, output: EMSet, batch: SetOfParticles, made: AssignOrientationsOutputs, done: Any) -> None:
        appendOriented(output, batch, made.particles, made.noise_control, done)
