# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters and outputs of the command that picks by templates."""

import dataclasses
import typing

from ..fields import Paths, micrographs_field, names_field, pixel_size_field, threads_field
from ..outputs import Counts, Outputs, Texts, output
from ..params import param

TEMPLATE_CONTRASTS = ("dark", "bright")


@dataclasses.dataclass(frozen=True)
class PickTemplatesConfig:
    """Pick particles by comparing micrographs with projections of a structure, or with round blobs."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    output: str = param(
        "Folder for one <micrograph>.star each. A stopped run continues here; finished micrographs are not compared "
        "again.",
        label="Output folder",
        path="folder",
    )
    structure: typing.Optional[str] = param(
        "Map (.mrc) or atomic model (.pdb, .cif, also .gz) of the particle, or of a near relative.",
        default=None,
        label="Structure",
        path="file",
        none_means="round blobs of the particle diameter",
    )
    particle_diameter: typing.Optional[float] = param(
        "Diameter of the particle, for blobs. A structure has its own.",
        default=None,
        label="Particle diameter",
        unit="Å",
        minimum=10,
        maximum=5000,
        none_means="the structure's",
    )
    angular_step: float = param(
        "Angle between neighbouring projections, and between their turns in the plane.",
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
        none_means="where the expected F1 is largest, if chance gives as many picks as the micrographs' negatives have",
    )
    contrast: str = param(
        "Whether protein is darker or brighter than its surroundings.",
        default="dark",
        label="Contrast",
        choices=TEMPLATE_CONTRASTS,
        expert=True,
    )
    minimum_distance: typing.Optional[float] = param(
        "Minimum distance between picks; of two closer ones the one with the higher score stays.",
        default=None,
        label="Minimum distance",
        unit="Å",
        minimum=0,
        maximum=5000,
        none_means="0.6 of the diameter",
        expert=True,
    )
    border: float = param(
        "Picks whose centre is nearer than this to the micrograph's edge are left out.",
        default=0.0,
        label="Border",
        unit="Å",
        minimum=0,
        maximum=10000,
        expert=True,
    )
    overwrite: bool = param(
        "Compare finished micrographs again, and allow other parameters than those of the files that are in the "
        "output folder already.",
        default=False,
        label="Pick again",
        expert=True,
    )
    pictures: int = param(
        "Pictures of picks to draw beside the STAR files, of the first micrographs. 0: none.",
        default=3,
        label="Pictures",
        minimum=0,
        maximum=100000,
    )
    names: Paths = names_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        """A structure or a diameter, not both."""
        if (self.structure is None) == (self.particle_diameter is None):
            found = "neither" if self.structure is None else "both"
            return [
                f"Structure (--structure) and Particle diameter (--particle-diameter): {found} of them is given. Give "
                "a structure, whose projections are sought, or a diameter, of blobs."
            ]
        return []


@dataclasses.dataclass(frozen=True, eq=False)
class PickTemplatesOutputs(Outputs):
    """What `pick-templates` wrote."""

    folder: str = output("Folder of the coordinates.", path="folder")
    coordinates: Texts = output(
        "STAR file of each micrograph: its picks.", path="file", becomes="outputCoordinates: SetOfCoordinates"
    )
    candidates: Texts = output(
        "STAR file of each micrograph: all positions with a correlation of at least 0.1.", path="file"
    )
    counts: Counts = output("Picks of each micrograph.")
    picks: int = output("Picks of all micrographs.")
    threshold: float = output("Minimum correlation coefficient of the picks.")
    expected_false_picks: int = output(
        "Picks at this threshold in the micrographs with inverted contrast, which hold no particles.",
        former=("in_negative",),
    )
    particle_diameter: float = output("The stated diameter, or the structure's.", unit="Å")
    pixel_size: float = output("Of the micrographs, in whose pixels the coordinates are.", unit="Å/px")
    templates: int = output("Number of templates.")
    pictures: Texts = output("Picture of each of the first micrographs.", path="file")
