# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that separates membranes and measures them."""

import dataclasses
import typing

from ..command import Command
from ..fields import Paths, output_folder_field, seed_field
from ..outputs import Counts, Outputs, Texts, output
from ..params import param
from .tomogram_fields import (
    label_field,
    minimum_score_field,
    minimum_size_field,
    tilt_series_pixel_size_field,
    tomogram_names_field,
    tomogram_pixel_size_field,
    volume_border_field,
)


@dataclasses.dataclass(frozen=True)
class MeasureMembranesConfig:
    """Measure each segmented membrane (surface, area, thickness, curvature, distance to the others), and write points
    with normals on it for picking."""

    segmentations: Paths = param(
        "Label volumes (of merge-features, or TomoMasks), or score volumes of membranes.",
        label="Segmentations",
        path="file",
    )
    output: str = output_folder_field(
        "Folder for <tomogram>.star, <tomogram>.mrc (each membrane has its own number), a mesh of each membrane "
        "(.ply), membranes.csv and particles.star."
    )
    label: typing.Optional[int] = label_field(
        "the volumes hold scores, to which Threshold is applied", help="Value of membranes in label volumes."
    )
    threshold: float = minimum_score_field()
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field("that of each file's header")
    spacing: float = param(
        "Distance between points on the membranes. It also sets the resolution of meshes and curvatures.",
        default=80.0,
        label="Spacing",
        unit="Å",
        minimum=1,
        maximum=100000,
    )
    minimum_size: float = minimum_size_field(1000.0, ", as too small for a surface")
    border: float = volume_border_field("Points")
    tilt_series_pixel_size: typing.Optional[float] = tilt_series_pixel_size_field()
    names: Paths = tomogram_names_field()
    seed: int = seed_field()


@dataclasses.dataclass(frozen=True, eq=False)
class MeasureMembranesOutputs(Outputs):
    """What `measure-membranes` wrote."""

    files: Texts = output("STAR file of the points of each tomogram.", path="file")
    particles: str = output(
        "STAR file of the points of all tomograms of the folder together.",
        path="file",
        becomes="outputCoordinates: SetOfCoordinates3D",
    )
    instances: Texts = output("Volume of each tomogram in which every membrane has its own number.", path="file")
    meshes: typing.Dict[str, typing.List[str]] = output(
        "PLY files of the membranes of each tomogram.", path="file", becomes="outputMeshes: SetOfMeshes"
    )
    table: str = output("Table of the membranes of all tomograms of the folder.", path="file")
    counts: Counts = output("Number of membranes of each tomogram.")
    points: Counts = output("Number of points of each tomogram.")
    pixel_size: typing.Optional[float] = output(
        "Pixel size of the tomograms; null if it differs between them.", unit="Å/px"
    )


COMMANDS = (
    Command(
        "measure-membranes",
        MeasureMembranesConfig,
        MeasureMembranesOutputs,
        threads=False,
        example="cryodl measure-membranes --segmentations 'merged/*.mrc' --label 1 --spacing 60 --output membranes/",
        kept="tomogram",
    ),
)
