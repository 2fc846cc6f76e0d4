# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that distinguishes compositions."""

import typing

from .. import fields
from ..command import Command, Config, Counts, Outputs, Paths, found, output, param


class AssessIntegrityConfig(Config):
    """Assign each particle the probability that it is the whole complex or only a part of it."""

    particles: str = fields.particles("Particles with CTF. Angles are used if the file has them.")
    structures: Paths = param(
        "The compositions to distinguish: maps or atomic models in one common coordinate frame, with and without the "
        "partner.",
        label="Compositions",
        path="file",
    )
    output: str = fields.output_folder(
        "Folder for particles.star (rlnClassNumber and probabilities), integrity.json and pictures. It must not exist."
    )
    names: Paths = param("Names of the compositions, in the order of the structures.", ())
    orientations: str = param(
        "given: the particles' angles, refined locally. search: all orientations are searched. auto: given if the "
        "particles have angles, else search.",
        "auto",
        choices=("auto", "given", "search"),
    )
    contrast: str = fields.particle_contrast()

    def check_together(self) -> typing.List[str]:
        number = len(self.structures)
        return found(
            (number < 2, f"Compositions (--structures) names {number} file; give at least two to distinguish."),
            (
                len(self.names) not in (0, number),
                f"There are {len(self.names)} names (--names) for {number} compositions (--structures). Give one name "
                "for each.",
            ),
        )[:1]


class AssessIntegrityOutputs(Outputs):
    particles: str = output(
        "STAR file with the class of each particle, in the order of the structures (0: none can be told), "
        "and the probabilities.",
        path="file",
        becomes="outputParticles: SetOfParticles, outputParticles_*: SetOfParticles, outputClasses: SetOfClasses3D",
    )
    table: str = output("probabilities.csv.", path="file")
    integrity: str = output("integrity.json.", path="file")
    counts: Counts = output(
        "Number of particles for which each composition is the most probable; empty if they cannot be told apart."
    )
    names: typing.List[str] = output("Names of the compositions.")
    separation: typing.Optional[float] = output(
        "Expected fraction of particles with the correct class; none if they have none."
    )
    pictures: typing.List[str] = output("Pictures.", path="file")
    pixel_size: typing.Optional[float] = output("Of the particle images.", "Å/px", default=None)


COMMANDS = (
    Command(
        "assess-integrity",
        AssessIntegrityConfig,
        AssessIntegrityOutputs,
        fresh="Output folder",
        gpu=True,
        example="cryodl assess-integrity --particles raw.star --structures whole.pdb core.pdb --names whole core "
        "--output integrity/",
        kept="structure",
    ),
)
