# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that combines picks of several pickers."""

import dataclasses
import typing

from ..command import Command
from ..fields import Paths, output_folder_field, pixel_size_field
from ..outputs import Counts, Outputs, Texts, output
from ..params import param
from .pick_fields import particle_diameter_field, pick_sets_field, tolerance_field


@dataclasses.dataclass(frozen=True)
class ConsensusPicksConfig:
    """Combine several sets of picks: keep the particles that several of them found."""

    picks: Paths = pick_sets_field()
    pixel_size: float = pixel_size_field()
    particle_diameter: float = particle_diameter_field(
        help="Diameter of the particle; picks of different sets closer than `tolerance` times the radius are the "
        "same particle."
    )
    output: str = output_folder_field("Folder for one <micrograph>.star each. It must not exist.")
    rule: str = param(
        "at-least: particles that a minimum number of sets found. score: particles whose mean score over all sets "
        "reaches the minimum score.",
        default="at-least",
        label="Rule",
        choices=("at-least", "score"),
    )
    minimum_sets: int = param(
        "Minimum number of sets in which a particle must be found.",
        default=2,
        label="Minimum number of sets",
        minimum=1,
        maximum=100,
    )
    minimum_score: float = param(
        "Minimum mean score over all sets; a set that did not find the particle counts as 0.",
        default=0.4,
        label="Minimum score",
        minimum=0,
        maximum=1,
    )
    tolerance: float = tolerance_field("Maximum distance between picks of the same particle, in particle radii.")

    def check_together(self) -> typing.List[str]:
        """Problems between fields: values that contradict each other, or fields that must be given together; else
        empty."""
        if len(self.picks) < 2:
            return [f"Sets of picks (--picks) has {len(self.picks)} set; a consensus needs at least two."]
        if self.rule == "at-least" and self.minimum_sets > len(self.picks):
            return [
                f"Minimum number of sets (--minimum-sets) is {self.minimum_sets}, but there are "
                f"only {len(self.picks)} sets of picks (--picks)."
            ]
        return []


@dataclasses.dataclass(frozen=True, eq=False)
class ConsensusPicksOutputs(Outputs):
    """What `consensus-picks` wrote."""

    folder: str = output("Folder of the coordinates.", path="folder")
    coordinates: Texts = output(
        "STAR file of each micrograph.", path="file", becomes="outputCoordinates: SetOfCoordinates"
    )
    counts: Counts = output("Number of particles of each micrograph.")
    picks: int = output("Total number of particles.")
    sets: typing.List[str] = output("Names of the sets of picks.")
    groups: Counts = output(
        "Number of particles found by exactly these sets (names joined as a + b), whether kept or not."
    )
    pixel_size: typing.Optional[float] = output(
        "Pixel size of the micrographs; coordinates are in these pixels.", unit="Å/px", default=None
    )


COMMANDS = (
    Command(
        "consensus-picks",
        ConsensusPicksConfig,
        ConsensusPicksOutputs,
        threads=False,
        example="cryodl consensus-picks --picks unet=picks/unet topaz=picks/topaz other/ --minimum-sets 2 "
        "--pixel-size 1.77 --particle-diameter 190 --output picks/consensus",
    ),
)
