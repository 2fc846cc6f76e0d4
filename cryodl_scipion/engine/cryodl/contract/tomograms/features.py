# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that merge, pick, measure and evaluate segmented features."""

import typing

from .. import fields
from ..command import Command, Config, Counts, Details, Outputs, Paths, Texts, output, param
from . import tomogram_fields


class MergeFeaturesConfig(Config):
    """Merge the score volumes of several features into one label volume for each tomogram, and list components."""

    scores: str = param("Folder of score volumes that `segment` wrote: <tomogram>__<feature>.mrc.", path="folder")
    output: str = fields.output_folder("Folder for <tomogram>.mrc (labels 1, 2, ...), features.json and features.csv.")
    threshold: Paths = param(
        "Minimum score of a voxel that belongs to a feature: one number for all features, or one for each as "
        "name=number.",
        (),
        label="Thresholds",
    )
    minimum_size: float = tomogram_fields.minimum_size()
    surfaces: bool = param(
        "Also write a surface of each feature (.stl), and a ChimeraX script that shows all surfaces with the tomogram.",
        False,
    )


class MergeFeaturesOutputs(tomogram_fields.OfTomograms):
    files: Texts = output("Label volume of each tomogram.", path="file", becomes="outputLabels: SetOfTomoMasks")
    features: typing.List[str] = output("Names, in the order of the labels 1, 2, ...")
    table: str = output("Table of the connected components.", path="file")
    counts: typing.Dict[str, Counts] = output("Number of connected components of each tomogram and feature.")
    surfaces: typing.Dict[str, Texts] = output("STL file of each tomogram and feature.", path="file")
    scripts: Texts = output("ChimeraX script of each tomogram.", path="file")


class PickFeaturesConfig(Config):
    """Pick 3-D coordinates from a segmentation: centres of components, or points along filaments and on membranes."""

    segmentations: Paths = param("Label volumes (of merge-features, or TomoMasks), or score volumes.", path="file")
    output: str = fields.output_folder(
        "Folder for <tomogram>.star and particles.star, with coordinates in px of the volumes and, as in RELION 5, in "
        "Å from their centres."
    )
    label: typing.Optional[int] = tomogram_fields.label(
        none_means="the volumes hold scores, to which Threshold is applied",
        help="Value of the feature in label volumes.",
    )
    shape: str = param(
        "centres: one point for each connected component, at its centre of mass. particles: as centres, but touching "
        "particles are split where they are thin (watershed). filaments: points along the centre lines, with the z "
        "axis of subtomograms along the filament. membranes: points on the surface, with the z axis along its normal.",
        "centres",
        choices=fields.FEATURE_SHAPES,
    )
    threshold: float = tomogram_fields.minimum_score()
    pixel_size: typing.Optional[float] = tomogram_fields.tomogram_pixel_size(none_means="that of each file's header")
    diameter: typing.Optional[float] = param(
        "Diameter of the particles, used to split touching ones. Two particles are at least half of it apart.",
        None,
        "Å",
        label="Particle diameter",
        limits=(1, 100000),
        none_means="that of the component of median size",
    )
    spacing: float = param("Distance between points along filaments and on membranes.", 80.0, "Å", limits=(1, 100000))
    minimum_size: float = tomogram_fields.minimum_size()
    maximum_size: typing.Optional[float] = param(
        "Larger connected components are left out.",
        None,
        "nm³",
        label="Maximum component size",
        limits=(0, 1e12),
        none_means="no limit",
    )
    border: float = tomogram_fields.volume_border("Points closer than this to the volume's border are left out.")
    names: Paths = tomogram_fields.tomogram_names()
    seed: int = fields.seed()


class _PointsOutputs(tomogram_fields.OfTomograms):
    files: Texts = output("STAR file of the points of each tomogram.", path="file")
    particles: str = output(
        "STAR file of the points of all tomograms of the folder together.",
        path="file",
        becomes="outputCoordinates: SetOfCoordinates3D",
    )


class PickFeaturesOutputs(_PointsOutputs):
    counts: Counts = output("Number of points of each tomogram.")


class MeasureMembranesConfig(Config):
    """Measure each segmented membrane (surface, area, thickness, curvature, distance to the others), and write points
    with normals on it for picking."""

    segmentations: Paths = param(
        "Label volumes (of merge-features, or TomoMasks), or score volumes of membranes.", path="file"
    )
    output: str = fields.output_folder(
        "Folder for <tomogram>.star, <tomogram>.mrc (each membrane has its own number), a mesh of each membrane "
        "(.ply), membranes.csv and particles.star."
    )
    label: typing.Optional[int] = tomogram_fields.label(
        none_means="the volumes hold scores, to which Threshold is applied", help="Value of membranes in label volumes."
    )
    threshold: float = tomogram_fields.minimum_score()
    pixel_size: typing.Optional[float] = tomogram_fields.tomogram_pixel_size(none_means="that of each file's header")
    spacing: float = param(
        "Distance between points on the membranes. It also sets the resolution of meshes and curvatures.",
        80.0,
        "Å",
        limits=(1, 100000),
    )
    minimum_size: float = tomogram_fields.minimum_size(
        help="Smaller connected components are left out, as too small for a surface.", default=1000.0
    )
    border: float = tomogram_fields.volume_border("Points closer than this to the volume's border are left out.")
    names: Paths = tomogram_fields.tomogram_names()
    seed: int = fields.seed()


class MeasureMembranesOutputs(_PointsOutputs):
    instances: Texts = output("Volume of each tomogram in which every membrane has its own number.", path="file")
    meshes: typing.Dict[str, typing.List[str]] = output(
        "PLY files of the membranes of each tomogram.", path="file", becomes="outputMeshes: SetOfMeshes"
    )
    table: str = output("Table of the membranes of all tomograms of the folder.", path="file")
    counts: Counts = output("Number of membranes of each tomogram.")
    points: Counts = output("Number of points of each tomogram.")


class EvaluateSegmentationConfig(Config):
    """Compare segmentations with labels: Dice score, boundary error and components found, for each feature."""

    segmentations: Paths = param("Label volumes or score volumes to evaluate.", path="file")
    labels: Paths = tomogram_fields.labels()
    output: str = fields.output_folder("Folder for evaluation.json and pictures. It must not exist.")
    label: typing.Optional[int] = tomogram_fields.label(
        none_means="the segmentations are label volumes; all values are compared",
        help="Value of the feature in the labels, for score volumes.",
    )
    threshold: float = tomogram_fields.minimum_score()
    tomograms: Paths = tomogram_fields.tomograms(
        "Tomograms to draw behind the features in the pictures, one for each segmentation and of the same shape.",
        default=(),
    )
    pixel_size: typing.Optional[float] = tomogram_fields.tomogram_pixel_size(none_means="that of each file's header")


class EvaluateSegmentationOutputs(Outputs):
    evaluation: str = output("evaluation.json.", path="file")
    folder: str = output("Output folder.", path="folder")
    features: typing.Dict[str, Details] = output("Metrics of each feature, over all tomograms.")
    pictures: Texts = output("Pictures by name.", path="file")


COMMANDS = (
    Command(
        "merge-features",
        MergeFeaturesConfig,
        MergeFeaturesOutputs,
        threads=False,
        example="cryodl merge-features --scores scores/ --minimum-size 500 --surfaces --output merged/",
        kept="tomogram",
    ),
    Command(
        "pick-features",
        PickFeaturesConfig,
        PickFeaturesOutputs,
        threads=False,
        example="cryodl pick-features --segmentations 'merged/*.mrc' --label 2 --shape particles --diameter 250 "
        "--output picked/",
        kept="tomogram",
    ),
    Command(
        "measure-membranes",
        MeasureMembranesConfig,
        MeasureMembranesOutputs,
        threads=False,
        example="cryodl measure-membranes --segmentations 'merged/*.mrc' --label 1 --spacing 60 --output membranes/",
        kept="tomogram",
    ),
    Command(
        "evaluate-segmentation",
        EvaluateSegmentationConfig,
        EvaluateSegmentationOutputs,
        fresh="Output folder",
        threads=False,
        example="cryodl evaluate-segmentation --segmentations 'merged/*.mrc' --labels 'labels/*.mrc' --output "
        "evaluated/",
    ),
)
