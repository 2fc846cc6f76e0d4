# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that merge and pick segmented features."""

import dataclasses
import typing

from ..fields import FEATURE_SHAPES, Paths, output_folder_field, seed_field
from ..outputs import Counts, Outputs, Texts, output
from ..params import param
from .tomogram_fields import (
    label_field,
    memory_field,
    minimum_score_field,
    minimum_size_field,
    tomogram_names_field,
    tomogram_pixel_size_field,
    volume_border_field,
)


@dataclasses.dataclass(frozen=True)
class MergeFeaturesConfig:
    """Let features compete for every voxel: one label volume for each tomogram, and a table of what was found."""

    scores: str = param(
        "Folder of score volumes that `segment` wrote: <tomogram>__<feature>.mrc.", label="Scores", path="folder"
    )
    output: str = output_folder_field("Folder for <tomogram>.mrc (labels 1, 2, ...), features.json and features.csv.")
    threshold: Paths = param(
        "Score from which a voxel can belong to a feature: one number for all, or one for each feature as name=number.",
        default=(),
        label="Thresholds",
    )
    minimum_size: float = minimum_size_field()
    smoothing: float = param(
        "Width (standard deviation) of the Gaussian that scores are smoothed by before they compete.",
        default=0.0,
        label="Smoothing",
        unit="Å",
        minimum=0,
        maximum=1000,
    )
    competitive: bool = param(
        "The feature whose score is farthest above its threshold (in log odds) takes the voxel. "
        "Without it every feature above its threshold takes it, and later features overwrite "
        "earlier ones: for comparison.",
        default=True,
        label="Competitive",
        expert=True,
    )
    surfaces: bool = param(
        "Also write a surface of each feature (.stl) and a ChimeraX script that shows all of them with the tomogram.",
        default=False,
        label="Surfaces",
    )
    memory: float = memory_field()


@dataclasses.dataclass(frozen=True, eq=False)
class MergeFeaturesOutputs(Outputs):
    """What `merge-features` wrote."""

    files: Texts = output("Label volume of each tomogram.", path="file", becomes="outputLabels: SetOfTomoMasks")
    features: typing.List[str] = output("Names, in the order of the labels 1, 2, ...")
    table: str = output("Table of the connected components.", path="file")
    pixel_size: typing.Optional[float] = output("Of the tomograms; null if they differ.", unit="Å/px")
    counts: typing.Dict[str, Counts] = output("Connected components of each tomogram and feature.")
    surfaces: typing.Dict[str, Texts] = output("STL file of each tomogram and feature.", path="file")
    scripts: Texts = output("ChimeraX script of each tomogram.", path="file")


@dataclasses.dataclass(frozen=True)
class PickFeaturesConfig:
    """Turn a segmentation into 3-D coordinates: centres of components, or points along filaments and on membranes."""

    segmentations: Paths = param(
        "Label volumes (of merge-features, or TomoMasks), or score volumes.", label="Segmentations", path="file"
    )
    output: str = output_folder_field(
        "Folder for <tomogram>.star and particles.star, with coordinates in px of the volumes and, as RELION 5 has "
        "them, in Å from their middles."
    )
    label: typing.Optional[int] = label_field(
        "the volumes hold scores, to which Threshold is applied", help="Value of the feature in label volumes."
    )
    shape: str = param(
        "centres: one point for each connected component, at its centre of mass. particles: components that touch are "
        "split where they are thin (watershed). filaments: points along the centre lines; the z axis of a subtomogram "
        "will lie along the filament. membranes: points on the surface; the z axis will lie along its normal.",
        default="centres",
        label="Shape",
        choices=FEATURE_SHAPES,
    )
    threshold: float = minimum_score_field()
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field("that of each header")
    diameter: typing.Optional[float] = param(
        "Diameter of the particles; touching ones are split, and two are at least half of it apart.",
        default=None,
        label="Particle diameter",
        unit="Å",
        minimum=1,
        maximum=100000,
        none_means="that of the median component",
    )
    spacing: float = param(
        "Distance of points along filaments and on membranes.",
        default=80.0,
        label="Spacing",
        unit="Å",
        minimum=1,
        maximum=100000,
    )
    minimum_size: float = minimum_size_field()
    maximum_size: typing.Optional[float] = param(
        "Larger connected components are left out.",
        default=None,
        label="Maximum component size",
        unit="nm³",
        minimum=0,
        maximum=1e12,
        none_means="no limit",
        former=("largest",),
    )
    border: float = volume_border_field("Points")
    names: Paths = tomogram_names_field()
    seed: int = seed_field()


@dataclasses.dataclass(frozen=True, eq=False)
class PickFeaturesOutputs(Outputs):
    """What `pick-features` wrote."""

    files: Texts = output("STAR file of each tomogram.", path="file")
    particles: str = output(
        "One STAR file of all tomograms of the folder.", path="file", becomes="outputCoordinates: SetOfCoordinates3D"
    )
    counts: Counts = output("Points of each tomogram.")
    pixel_size: typing.Optional[float] = output("Of the tomograms; null if they differ.", unit="Å/px")
