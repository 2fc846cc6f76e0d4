# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that finds a first map without a structure."""

import dataclasses
import typing

from ..command import Command
from ..fields import output_folder_field, particle_contrast_field, particles_field
from ..outputs import Outputs, output
from ..params import param
from ..search_fields import mask_diameter_field


@dataclasses.dataclass(frozen=True)
class InitialMapConfig:
    """Find a first map of a molecule whose structure is not known, and judge whether it may be believed."""

    particles: str = particles_field("Raw particles with CTF, most of them of one molecule; angles are not used.")
    output: str = output_folder_field(
        "Folder to write: judgement.json and, if a map was determined, map.mrc, its half-maps, and particles.star with "
        "the orientations found."
    )
    mask_diameter: typing.Optional[float] = mask_diameter_field(
        "Diameter of a sphere that holds the particle. A tighter one makes the search safer and quicker."
    )
    most: int = param(
        "Maximum number of particles that are used, drawn at random: a first map needs a few thousand.",
        default=4000,
        label="Particles used",
        minimum=200,
        maximum=1000000,
        expert=True,
    )
    contrast: str = particle_contrast_field()


@dataclasses.dataclass(frozen=True, eq=False)
class InitialMapOutputs(Outputs):
    """What `initial-map` found."""

    determined: bool = output("Whether a map was determined.")
    reasons: typing.List[str] = output("Why not; empty for a map.")
    map: typing.Optional[str] = output(
        "The map, of unknown hand; null if none was determined.", path="file", becomes="outputVolume: Volume"
    )
    half1: typing.Optional[str] = output("First half-map.", path="file")
    half2: typing.Optional[str] = output("Second half-map.", path="file")
    particles: typing.Optional[str] = output(
        "STAR file of the used particles with the orientations found.",
        path="file",
        becomes="outputParticles: SetOfParticles",
    )
    judgement: str = output("judgement.json: what the judgement rests on.", path="file")
    resolution: typing.Optional[float] = output(
        "Resolution at which the FSC of the halves, which started apart, falls below 0.143; at best `limit`.", unit="Å"
    )
    limit: typing.Optional[float] = output("Finest detail that was compared.", unit="Å")
    fsc: typing.List[float] = output(
        "FSC of the half-maps, shell 0 first; empty without a map.", becomes="outputFSC: FSC"
    )
    agreement: typing.Optional[float] = output("Correlation of the maps of the two halves.")
    coverage: typing.Optional[float] = output("Coverage of the direction that is seen least; 1 for even views.")
    count: int = output("Number of particles that were used.")
    pixel_size: float = output("Pixel size of the map.", unit="Å/px")
    box: int = output("Box size of the map.", unit="px")
    contrast: str = output("Contrast of protein in the images, 'dark' or 'bright'.")


COMMANDS = (
    Command(
        "initial-map",
        InitialMapConfig,
        InitialMapOutputs,
        gpu=True,
        seeded=True,
        example="cryodl initial-map --particles particles.star --output initial",
        kept="start",
    ),
)
