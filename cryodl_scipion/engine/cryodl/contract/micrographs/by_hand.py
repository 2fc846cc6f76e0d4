# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of picking by hand."""

import dataclasses
import typing

from ..fields import Paths, micrographs_field, names_field, pixel_size_field
from ..outputs import Counts, Outputs, output
from ..params import param
from .pick_fields import particle_diameter_field


@dataclasses.dataclass(frozen=True)
class PickByHandConfig:
    """Pick particles by hand, or correct picks, in a window; everything is saved at once."""

    micrographs: Paths = micrographs_field()
    pixel_size: float = pixel_size_field()
    particle_diameter: float = particle_diameter_field(
        help="Diameter of the circles: one that just holds the particle."
    )
    coordinates: str = param(
        "Folder of the picks, one <micrograph>.star each; what is there already is shown and can be corrected.",
        label="Coordinates",
        path="folder",
    )
    start_from: typing.Optional[str] = param(
        "Picks to begin with (a folder of `pick`, or of another program), which are not changed; used on micrographs "
        "that have no file in the folder of coordinates yet.",
        default=None,
        label="Start from picks",
        path="folder",
        none_means="begin without picks",
    )
    names: Paths = names_field()


@dataclasses.dataclass(frozen=True, eq=False)
class PickByHandOutputs(Outputs):
    """What the folder of `pick-by-hand` holds."""

    folder: str = output("Folder of the coordinates.", path="folder", becomes="outputCoordinates: SetOfCoordinates")
    counts: Counts = output("Picks of each micrograph that has a file.")
    removed: Counts = output("Picks that were taken away, of each of them.")
    changed: typing.List[str] = output("Names of the micrographs that were changed now.")
    pixel_size: typing.Optional[float] = output(
        "Of the micrographs, in whose pixels the coordinates are.", unit="Å/px", default=None
    )
