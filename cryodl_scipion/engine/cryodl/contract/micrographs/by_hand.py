# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of picking by hand."""

import dataclasses
import typing

from ..command import Command
from ..fields import Paths, micrographs_field, names_field, pixel_size_field
from ..outputs import Counts, Outputs, output
from ..params import param
from .pick_fields import particle_diameter_field


@dataclasses.dataclass(frozen=True)
class PickByHandConfig:
    """Pick particles by hand, or correct picks, in a window. Every change is saved immediately."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    particle_diameter: float = particle_diameter_field(
        help="Diameter of the drawn circles: the smallest circle around the particle."
    )
    coordinates: str = param(
        "Folder of the picks, one <micrograph>.star each. Picks that it already contains are shown and can be "
        "corrected.",
        label="Coordinates",
        path="folder",
    )
    start_from: typing.Optional[str] = param(
        "Picks to start from: a folder written by `pick` or another program, which is not changed. They are used "
        "for micrographs that have no file in the folder of coordinates yet.",
        default=None,
        label="Start from picks",
        path="folder",
        none_means="start without picks",
    )
    names: Paths = names_field()


@dataclasses.dataclass(frozen=True, eq=False)
class PickByHandOutputs(Outputs):
    """Contents of the folder of `pick-by-hand`."""

    folder: str = output("Folder of the coordinates.", path="folder", becomes="outputCoordinates: SetOfCoordinates")
    counts: Counts = output("Number of picks of each micrograph that has a file.")
    removed: Counts = output("Number of removed picks of each of these micrographs.")
    changed: typing.List[str] = output("Names of the micrographs that were changed in this session.")
    pixel_size: typing.Optional[float] = output(
        "Pixel size of the micrographs; coordinates are in these pixels.", unit="Å/px", default=None
    )


COMMANDS = (
    Command(
        "pick-by-hand",
        PickByHandConfig,
        PickByHandOutputs,
        threads=False,
        example="cryodl pick-by-hand --micrographs 'mics/*.mrc' --pixel-size 1.77 --particle-diameter 190 "
        "--coordinates labels/\n"
        "To correct picks: --start-from picks/",
        kept="every change is in the folder of coordinates.",
    ),
)
