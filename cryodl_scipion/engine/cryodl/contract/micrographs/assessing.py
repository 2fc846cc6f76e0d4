# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that assesses micrographs."""

import dataclasses
import typing

from ..fields import Paths, micrographs_field, names_field, output_folder_field, pixel_size_field, threads_field
from ..outputs import Details, Outputs, output
from ..params import param
from .pick_fields import particle_diameter_field


@dataclasses.dataclass(frozen=True)
class AssessMicrographsConfig:
    """Measure micrographs (particles, scores, contaminated and carbon area, ice) and split them into good and bad."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    particle_diameter: float = particle_diameter_field(
        help="Diameter of a circle that just holds the particle; contamination is judged at this scale."
    )
    output: str = output_folder_field(
        "Folder for micrographs.csv, good.txt, bad.txt and one <micrograph>.json each. A stopped run continues here."
    )
    coordinates: typing.Optional[str] = param(
        "Folder (or file) with picks and their scores.",
        default=None,
        label="Picks",
        path="folder",
        none_means="particles and scores are not measured",
    )
    minimum_particles: typing.Optional[int] = param(
        "Micrographs with fewer picks are bad.",
        default=None,
        label="Minimum number of particles",
        minimum=0,
        maximum=1000000,
        none_means="no limit",
        former=("least_particles",),
    )
    minimum_score: typing.Optional[float] = param(
        "Micrographs with a lower mean score are bad.",
        default=None,
        label="Minimum mean score",
        minimum=0,
        maximum=1,
        none_means="no limit",
        former=("least_score",),
    )
    maximum_contaminated: typing.Optional[float] = param(
        "Micrographs with more contaminated area are bad.",
        default=20.0,
        label="Maximum contaminated area",
        unit="%",
        minimum=0,
        maximum=100,
        none_means="no limit",
        former=("most_contaminated",),
    )
    maximum_carbon: typing.Optional[float] = param(
        "Micrographs with more carbon are bad.",
        default=50.0,
        label="Maximum carbon area",
        unit="%",
        minimum=0,
        maximum=100,
        none_means="no limit",
        former=("most_carbon",),
    )
    maximum_gradient: typing.Optional[float] = param(
        "Micrographs whose background varies more are bad: its range (5th to 95th percentile) over the noise, a proxy "
        "of uneven ice.",
        default=None,
        label="Maximum ice gradient",
        unit="noise sigma",
        minimum=0,
        maximum=1000,
        none_means="no limit",
        former=("most_gradient",),
    )
    names: Paths = names_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True, eq=False)
class AssessMicrographsOutputs(Outputs):
    """What `assess-micrographs` measured of the micrographs of this run."""

    folder: str = output("Folder of the measurements.", path="folder")
    table: str = output("micrographs.csv of all that the folder holds.", path="file")
    metrics: typing.Dict[str, Details] = output(
        "Metrics of each micrograph, its verdict and the reason.", former=("figures",)
    )
    good: typing.List[str] = output("Names of the good micrographs.", becomes="goodMicrographs: SetOfMicrographs")
    bad: typing.List[str] = output("Names of the bad micrographs.", becomes="badMicrographs: SetOfMicrographs")
