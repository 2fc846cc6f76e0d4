# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that names the molecule that particles show."""

import dataclasses
import typing

from ..command import Command
from ..fields import Paths, output_folder_field, particles_field
from ..outputs import Outputs, output
from ..params import param


@dataclasses.dataclass(frozen=True)
class IdentifyConfig:
    """Find which structures of a folder the particles show: how surely, what share of each, or that it is none."""

    particles: str = particles_field("Raw particles with CTF; a few hundred are enough, and angles are not needed.")
    structures: Paths = param(
        "Folder of maps and atomic models (.mrc, .map, .pdb, .cif, also .gz), or their files, or a .txt file that "
        "lists them.",
        label="Structures",
        path="folder",
    )
    output: str = output_folder_field("Folder for ranking.csv. It must not exist.")


@dataclasses.dataclass(frozen=True, eq=False)
class IdentifyOutputs(Outputs):
    """What `identify` found."""

    table: str = output(
        "ranking.csv: structure, q (estimated probability of a look-alike), share of the particles and its 90 % "
        "interval, evidence; the best first.",
        path="file",
    )
    found: typing.List[str] = output("Structures that the particles show.")
    alike: typing.List[str] = output("Structures of which the particles show one that cannot be told from the others.")
    names: typing.List[str] = output("All structures that were compared, the best first.")
    shares: typing.List[float] = output("Fraction of the particles that show each.")
    explained: float = output("Evidence over that of particles simulated from the structure, the highest of all.")
    count: int = output("Number of particles that were compared.")
    contrast: str = output("Contrast of protein in the images, 'dark' or 'bright'.")


COMMANDS = (
    Command(
        "identify",
        IdentifyConfig,
        IdentifyOutputs,
        gpu=True,
        example="cryodl identify --particles particles.star --structures models/ --output identity",
    ),
)
