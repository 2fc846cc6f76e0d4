# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters and outputs of template-based picking."""

import dataclasses
import typing

from ..command import Command
from ..fields import Paths, micrographs_field, names_field, pixel_size_field
from ..outputs import Counts, Outputs, Texts, output
from ..params import param
from .pick_fields import border_field, minimum_distance_field, overwrite_field

TEMPLATE_CONTRASTS = ("dark", "bright")


@dataclasses.dataclass(frozen=True)
class PickTemplatesConfig:
    """Pick particles by correlation of micrographs with projections of a structure, or with round blobs."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    output: str = param(
        "Folder for one <micrograph>.star each. An interrupted run continues here; finished micrographs are not "
        "picked again.",
        label="Output folder",
        path="folder",
    )
    structure: typing.Optional[str] = param(
        "Map (.mrc) or atomic model (.pdb, .cif, also .gz) of the particle, or of a similar molecule.",
        default=None,
        label="Structure",
        path="file",
        none_means="round blobs of the particle diameter",
    )
    particle_diameter: typing.Optional[float] = param(
        "Diameter of the blobs. With a structure, it is the structure's diameter.",
        default=None,
        label="Particle diameter",
        unit="Å",
        minimum=10,
        maximum=5000,
        none_means="that of the structure",
    )
    angular_step: float = param(
        "Angle between neighbouring projections, and between their in-plane rotations.",
        default=24.0,
        label="Angular step",
        unit="°",
        minimum=4,
        maximum=60,
        expert=True,
    )
    threshold: typing.Optional[float] = param(
        "Picks with a lower correlation coefficient are left out.",
        default=None,
        label="Correlation threshold",
        minimum=0,
        maximum=1,
        none_means="the threshold with the largest expected F1, where the micrographs with inverted contrast give the "
        "number of false picks",
    )
    contrast: str = param(
        "Whether protein is darker or brighter than its surroundings.",
        default="dark",
        label="Contrast",
        choices=TEMPLATE_CONTRASTS,
        expert=True,
    )
    minimum_distance: typing.Optional[float] = minimum_distance_field("0.6 of the diameter")
    border: float = border_field()
    overwrite: bool = overwrite_field()
    pictures: int = param(
        "Number of micrographs for which a picture of the picks is drawn, the first of the set. 0: none.",
        default=3,
        label="Pictures",
        minimum=0,
        maximum=100000,
    )
    names: Paths = names_field()

    def check_together(self) -> typing.List[str]:
        """A structure or a diameter, not both."""
        if (self.structure is None) == (self.particle_diameter is None):
            found = "neither is" if self.structure is None else "both are"
            return [
                f"Structure (--structure) and Particle diameter (--particle-diameter): {found} given. "
                "Give either a structure, whose projections are the templates, or the diameter of round blobs."
            ]
        return []


@dataclasses.dataclass(frozen=True, eq=False)
class PickTemplatesOutputs(Outputs):
    """What `pick-templates` wrote."""

    folder: str = output("Folder of the coordinates.", path="folder")
    coordinates: Texts = output(
        "STAR file of the picks of each micrograph.", path="file", becomes="outputCoordinates: SetOfCoordinates"
    )
    candidates: Texts = output(
        "STAR file of all candidates of each micrograph: positions with a correlation coefficient of at least 0.1.",
        path="file",
    )
    counts: Counts = output("Number of picks of each micrograph.")
    picks: int = output("Total number of picks.")
    threshold: float = output("Threshold of the correlation coefficient.")
    expected_false_picks: int = output(
        "Number of picks at this threshold in the micrographs with inverted contrast, which contain no particles."
    )
    particle_diameter: float = output("The given diameter, or the structure's.", unit="Å")
    pixel_size: float = output("Pixel size of the micrographs; coordinates are in these pixels.", unit="Å/px")
    templates: int = output("Number of templates.")
    pictures: Texts = output("Pictures of the first micrographs.", path="file")


COMMANDS = (
    Command(
        "pick-templates",
        PickTemplatesConfig,
        PickTemplatesOutputs,
        example="cryodl pick-templates --micrographs 'mics/*.mrc' --pixel-size 1.2 --structure 1abc.cif --output "
        "picks/\n"
        "cryodl pick-templates --micrographs 'mics/*.mrc' --pixel-size 1.2 --particle-diameter 180 "
        "--output picks/",
        kept="micrograph",
    ),
)
