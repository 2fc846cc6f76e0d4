# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that assesses micrographs."""

import dataclasses
import typing

from ..command import Command
from ..fields import Paths, micrographs_field, names_field, output_folder_field, pixel_size_field
from ..outputs import Details, Outputs, output
from ..params import param
from .pick_fields import particle_diameter_field


@dataclasses.dataclass(frozen=True)
class AssessMicrographsConfig:
    """Measure micrographs (particles, scores, contamination, carbon, ice) and split them into good and bad ones."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    particle_diameter: float = particle_diameter_field(
        help="Diameter of the smallest circle around the particle; contamination is detected at this scale."
    )
    output: str = output_folder_field(
        "Folder for micrographs.csv, good.txt, bad.txt and one <micrograph>.json each. An interrupted run continues "
        "here."
    )
    coordinates: typing.Optional[str] = param(
        "Folder (or file) with picks and their scores.",
        default=None,
        label="Picks",
        path="folder",
        none_means="particles and scores are not measured",
    )
    minimum_particles: typing.Optional[int] = param(
        "Micrographs with fewer picks are rejected.",
        default=None,
        label="Minimum number of particles",
        minimum=0,
        maximum=1000000,
        none_means="no limit",
    )
    minimum_score: typing.Optional[float] = param(
        "Micrographs with a lower mean score are rejected.",
        default=None,
        label="Minimum mean score",
        minimum=0,
        maximum=1,
        none_means="no limit",
    )
    maximum_contaminated: typing.Optional[float] = param(
        "Micrographs with more contaminated area are rejected.",
        default=20.0,
        label="Maximum contaminated area",
        unit="%",
        minimum=0,
        maximum=100,
        none_means="no limit",
    )
    maximum_carbon: typing.Optional[float] = param(
        "Micrographs with more carbon are rejected.",
        default=50.0,
        label="Maximum carbon area",
        unit="%",
        minimum=0,
        maximum=100,
        none_means="no limit",
    )
    maximum_gradient: typing.Optional[float] = param(
        "Micrographs with a stronger background gradient are rejected. It is the range of the background (5th to "
        "95th percentile) over the noise's standard deviation, which indicates uneven ice.",
        default=None,
        label="Maximum ice gradient",
        unit="noise sigma",
        minimum=0,
        maximum=1000,
        none_means="no limit",
    )
    names: Paths = names_field()


@dataclasses.dataclass(frozen=True, eq=False)
class AssessMicrographsOutputs(Outputs):
    """What `assess-micrographs` measured on the micrographs of this run."""

    folder: str = output("Folder of the measurements.", path="folder")
    table: str = output("micrographs.csv, with all micrographs measured in this folder.", path="file")
    metrics: typing.Dict[str, Details] = output("Metrics of each micrograph, whether it is good or bad, and why.")
    good: typing.List[str] = output("Names of the good micrographs.", becomes="goodMicrographs: SetOfMicrographs")
    bad: typing.List[str] = output("Names of the bad micrographs.", becomes="badMicrographs: SetOfMicrographs")


COMMANDS = (
    Command(
        "assess-micrographs",
        AssessMicrographsConfig,
        AssessMicrographsOutputs,
        example="cryodl assess-micrographs --micrographs 'mics/*.mrc' --coordinates picks/ --pixel-size 1.77 "
        "--particle-diameter 190 --output assessment/\n"
        "Then: cryodl pick --micrographs assessment/good.txt ...",
        kept="micrograph",
        shared="micrographs",
    ),
)
