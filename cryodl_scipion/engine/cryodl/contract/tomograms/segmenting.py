# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that find features in tomograms."""

import dataclasses
import typing

from ..fields import (
    FEATURE_SHAPES,
    SCORE_TYPES,
    Paths,
    device_field,
    labels_field,
    seed_field,
    threads_field,
    tomogram_names_field,
    tomogram_pixel_size_field,
    tomograms_field,
)
from ..networks import SEGMENTER_NETWORKS
from ..outputs import Counts, Details, Numbers, Outputs, Texts, output
from ..params import param
from ..training_fields import (
    batch_size_field,
    learning_rate_field,
    model_folder_field,
    patience_field,
    start_from_field,
    steps_field,
)


@dataclasses.dataclass(frozen=True)
class AnnotateConfig:
    """Open a window to draw features on tiles of tomograms, and to mark tiles without them."""

    tomograms: Paths = tomograms_field("Tomograms to annotate.")
    annotations: str = param(
        "Folder of the annotations. An existing one is opened again and added to.", label="Annotations", path="folder"
    )
    feature: str = param(
        "Feature that is drawn first: a short name such as membrane.", default="feature", label="Feature"
    )
    annotator: str = param("Who draws. One model learns from one annotator.", default="annotator", label="Annotator")
    tile: int = param("Side of the square tiles.", default=64, label="Tile", unit="px", minimum=16, maximum=512)
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field()
    names: Paths = tomogram_names_field()


@dataclasses.dataclass(frozen=True, eq=False)
class AnnotationsOutputs(Outputs):
    """What `annotate` and `import-annotations` leave."""

    annotations: str = output("Folder of the annotations.", path="folder")
    counts: typing.Dict[str, Counts] = output("Tiles with a feature (positive) and without it (negative), by feature.")


@dataclasses.dataclass(frozen=True)
class ImportAnnotationsConfig:
    """Turn label volumes, or stacks of tiles and drawings, into a folder of annotations."""

    annotations: str = param(
        "Folder of the annotations. An existing one is added to.", label="Annotations", path="folder"
    )
    feature: str = param("Name of the feature.", label="Feature")
    annotator: str = param("Who drew it.", default="annotator", label="Annotator")
    tomograms: Paths = tomograms_field("Tomograms of the label volumes.", optional=True)
    labels: Paths = labels_field(optional=True)
    label: typing.Optional[int] = param(
        "Value of the feature in the label volumes.",
        default=None,
        label="Label",
        minimum=1,
        maximum=254,
        none_means="there are no label volumes",
    )
    tiles: typing.Optional[str] = param(
        "Stack of square tiles (.mrcs, .mrc).",
        default=None,
        label="Tiles",
        path="file",
        none_means="there is no stack of tiles",
    )
    drawings: typing.Optional[str] = param(
        "Stack of the drawings on these tiles: not 0 where the feature is, 255 where it is uncertain.",
        default=None,
        label="Drawings",
        path="file",
        none_means="the tiles are without the feature",
    )
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field()
    positive_tiles: int = param(
        "Tiles with the feature that are taken from label volumes.",
        default=50,
        label="Tiles with the feature",
        minimum=1,
        maximum=100000,
    )
    negative_tiles: int = param(
        "Tiles without the feature that are taken from label volumes.",
        default=100,
        label="Tiles without the feature",
        minimum=0,
        maximum=100000,
    )
    tile: int = param(
        "Side of the tiles that are taken from label volumes.",
        default=64,
        label="Tile",
        unit="px",
        minimum=16,
        maximum=512,
    )
    names: Paths = tomogram_names_field()
    seed: int = seed_field()

    def check_together(self) -> typing.List[str]:
        if bool(self.labels) == bool(self.tiles):
            return [
                "Give either label volumes (--labels, with --tomograms and --label) or a stack of tiles (--tiles, "
                "with --drawings where the feature is drawn on them)."
            ]
        if self.labels and (not self.tomograms or self.label is None):
            return [
                "Label volumes (--labels) need their tomograms (--tomograms) and the value of the feature (--label)."
            ]
        if self.tiles and self.pixel_size is None:
            return ["A stack of tiles (--tiles) needs its pixel size (--pixel-size)."]
        return []


@dataclasses.dataclass(frozen=True)
class JoinAnnotationsConfig:
    """Put the tiles of several folders of annotations into one folder; a tile that is there is not added again."""

    annotations: str = param(
        "Folder of the annotations. An existing one is added to.", label="Annotations", path="folder"
    )
    folders: Paths = param("Folders of annotations to add.", label="Folders", path="folder")
    tomograms: Paths = tomograms_field("Tomograms that are not where they were when annotated.", optional=True)
    names: Paths = tomogram_names_field()


@dataclasses.dataclass(frozen=True)
class TrainSegmenterConfig:
    """Train a network that finds one feature in tomograms, as one annotator draws it."""

    output: str = model_folder_field()
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field()
    tomograms: Paths = tomograms_field(
        "Tomograms that the labels belong to. With Annotations: where they lie now, if they were moved.", optional=True
    )
    labels: Paths = labels_field(optional=True)
    label: typing.Optional[int] = param(
        "Value of the feature in the label volumes. All other values but 255 are places without it.",
        default=None,
        label="Label",
        minimum=1,
        maximum=254,
        none_means="there are no label volumes",
    )
    tiles: int = param(
        "Most tiles with the feature, and most without it, that are taken from label volumes. More are better where "
        "whole volumes are labelled, and take longer to learn.",
        default=200,
        label="Tiles of each kind",
        minimum=2,
        maximum=20000,
    )
    annotations: typing.Optional[str] = param(
        "Folder of annotations (tiles drawn in the annotation window, or imported).",
        default=None,
        label="Annotations",
        path="folder",
        none_means="label volumes are given",
    )
    feature: typing.Optional[str] = param(
        "Name of the feature, a short word such as membrane; the score volumes are named by it.",
        default=None,
        label="Feature",
        none_means="that of the annotations, or the model folder's name",
    )
    annotator: typing.Optional[str] = param(
        "Whose drawings these are.",
        default=None,
        label="Annotator",
        none_means="that of the annotations, if it is only one",
    )
    network: str = param(
        "unet: small U-net of this project that sees some slices at once (2.5-D) and answers for several; fast on "
        "CPUs. unet2d: the same on single slices; for stacks of tiles. unet3d: with 3-D convolutions; slower. eman2: "
        "the published network, 40, 40 and 1 kernels of 15 x 15, on single slices; slow on CPUs. unet16: as unet, with "
        "sixteen slices; that of the shipped models, to continue from one of them.",
        default="unet",
        label="Network",
        choices=SEGMENTER_NETWORKS,
    )
    working_pixel_size: typing.Optional[float] = param(
        "Pixel size that tomograms are resampled to for the network. Coarser is faster.",
        default=None,
        label="Working pixel size",
        unit="Å/px",
        minimum=0.5,
        maximum=200,
        none_means="that of the model to start from, or of the tomograms",
    )
    steps: typing.Optional[int] = steps_field()
    patience: int = patience_field(6)
    validation_fraction: float = param(
        "Part of the tiles kept for validation; of several tomograms whole ones, if enough is left to learn from.",
        default=0.2,
        label="Validation fraction",
        minimum=0.05,
        maximum=0.5,
        expert=True,
    )
    batch_size: typing.Optional[int] = batch_size_field("Tiles")
    learning_rate: typing.Optional[float] = learning_rate_field()
    start_from: typing.Optional[str] = start_from_field("Segmenter, or name of a shipped one,")
    names: Paths = tomogram_names_field()
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        if bool(self.labels) == bool(self.annotations):
            return [
                "Give either label volumes (--labels, with --tomograms and --label) or a folder of annotations "
                "(--annotations)."
            ]
        if self.labels and (not self.tomograms or self.label is None):
            return [
                "Label volumes (--labels) need their tomograms (--tomograms) and the value of the feature (--label)."
            ]
        return []


@dataclasses.dataclass(frozen=True, eq=False)
class TrainSegmenterOutputs(Outputs):
    """What `train-segmenter` made."""

    model: str = output("Model folder.", path="folder")
    feature: str = output("What it finds.")
    annotator: str = output("Whose drawings it learnt from.")
    validation: Details = output("Measures on the validation data, by name.")
    stop_reason: str = output("Why the training ended.")
    pixel_size: float = output("Pixel size that the model works at.", unit="Å/px")


@dataclasses.dataclass(frozen=True)
class SegmentConfig:
    """Find features in tomograms: one volume of scores for each tomogram and feature."""

    tomograms: Paths = tomograms_field("Tomograms to search.")
    model: Paths = param(
        "Folders of segmenters, or names of shipped ones: membrane, ribosome, microtubule, filament. All are applied "
        "in one reading of the tomogram. Several models of one feature (of several annotators) are combined.",
        label="Models",
        path="model",
    )
    output: str = param(
        "Folder for <tomogram>__<feature>.mrc. Finished volumes in it are not made again.",
        label="Output folder",
        path="folder",
    )
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field(
        "that of each header, or the model's where the header has none"
    )
    annotators: str = param(
        "combined: the mean of the log odds of all models of one feature. each: a volume for each "
        "model, <tomogram>__<feature>@<annotator>.mrc, to compare them.",
        default="combined",
        label="Models of one feature",
        choices=("combined", "each"),
        expert=True,
    )
    scores: str = param(
        "How scores are stored. float16: 0 to 1 (MRC mode 12). int8: 0 to 100; half the size, and "
        "every program reads it.",
        default="float16",
        label="Score volumes",
        choices=SCORE_TYPES,
        expert=True,
    )
    memory: float = param(
        "Most memory that may be used beside what the libraries take.",
        default=1.5,
        label="Memory",
        unit="GB",
        minimum=0.2,
        maximum=1000,
        expert=True,
    )
    names: Paths = tomogram_names_field()
    device: str = device_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True, eq=False)
class SegmentOutputs(Outputs):
    """What `segment` wrote."""

    scores: str = output("Folder of the score volumes.", path="folder")
    files: typing.Dict[str, Texts] = output("Score volume of each tomogram and feature.", path="file")
    features: typing.List[str] = output("Names of the features, in the order of the models.")
    thresholds: Numbers = output("Score from which a voxel belongs to a feature.")
    pixel_size: float = output("Of the first tomogram.", unit="Å/px")
    pixel_sizes: Numbers = output("Of each tomogram.", unit="Å/px")
    models: typing.Dict[str, typing.List[str]] = output("Model folders of each feature.", path="folder")
    agreement: typing.Dict[str, typing.Any] = output("Agreement of the models, of features that have several.")
    noise: typing.Dict[str, typing.Dict[str, Details]] = output(
        "For each tomogram and feature the part of the voxels that reach the threshold: in noise with the spectrum of "
        "some blocks of the tomogram (noise), in these blocks (tomogram); and how many voxels these are (voxels)."
    )


def noise_in_words(tomogram: str, feature: str, parts: typing.Mapping[str, typing.Any]) -> str:
    """A sentence on the answer of a model to noise; parts: of SegmentOutputs.noise."""
    noise, found = ("%.3g" % (100 * round(parts[key], 6)) for key in ("noise", "tomogram"))
    return (
        f"{tomogram}, {feature}: the model finds it in {noise} % of noise with the tomogram's spectrum, and in "
        f"{found} % of the blocks of the tomogram that the noise was made of."
    )


@dataclasses.dataclass(frozen=True)
class MergeFeaturesConfig:
    """Let features compete for every voxel: one label volume for each tomogram, and a table of what was found."""

    scores: str = param(
        "Folder of score volumes that `segment` wrote: <tomogram>__<feature>.mrc.", label="Scores", path="folder"
    )
    output: str = param(
        "Folder for <tomogram>.mrc (labels 1, 2, ...), features.json and features.csv.",
        label="Output folder",
        path="folder",
    )
    threshold: Paths = param(
        "Score from which a voxel can belong to a feature: one number for all, or one for each feature as name=number.",
        default=(),
        label="Thresholds",
    )
    smallest: float = param(
        "Connected pieces smaller than this go.",
        default=0.0,
        label="Smallest piece",
        unit="nm³",
        minimum=0,
        maximum=1e12,
    )
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
    memory: float = param(
        "Most memory that may be used beside what the libraries take.",
        default=1.5,
        label="Memory",
        unit="GB",
        minimum=0.2,
        maximum=1000,
        expert=True,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class MergeFeaturesOutputs(Outputs):
    """What `merge-features` wrote."""

    files: Texts = output("Label volume of each tomogram.", path="file")
    features: typing.List[str] = output("Names, in the order of the labels 1, 2, ...")
    table: str = output("Table of the connected components.", path="file")
    pixel_size: typing.Optional[float] = output("Of the tomograms; null if they differ.", unit="Å/px")
    counts: typing.Dict[str, Counts] = output("Connected components of each tomogram and feature.")
    surfaces: typing.Dict[str, Texts] = output("STL file of each tomogram and feature.", path="file")
    scripts: Texts = output("ChimeraX script of each tomogram.", path="file")


@dataclasses.dataclass(frozen=True)
class PickFeaturesConfig:
    """Turn a segmentation into 3-D coordinates: centres of pieces, or points along filaments and on membranes."""

    segmentations: Paths = param(
        "Label volumes (of merge-features, or TomoMasks), or score volumes.", label="Segmentations", path="file"
    )
    output: str = param(
        "Folder for <tomogram>.star and particles.star, with coordinates in px of the volumes.",
        label="Output folder",
        path="folder",
    )
    label: typing.Optional[int] = param(
        "Value of the feature in label volumes.",
        default=None,
        label="Label",
        minimum=1,
        maximum=254,
        none_means="the volumes hold scores, of which the Threshold is taken",
    )
    shape: str = param(
        "centres: one point for each connected piece, at its centre of mass. particles: pieces that "
        "touch are parted where they are thin. filaments: points along the centre lines; the z axis of "
        "a subtomogram will lie along the filament. membranes: points on the surface; the z axis will "
        "lie along its normal.",
        default="centres",
        label="Shape",
        choices=FEATURE_SHAPES,
    )
    threshold: float = param("Least score, for score volumes.", default=0.5, label="Threshold", minimum=0, maximum=1)
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field("that of each header")
    diameter: typing.Optional[float] = param(
        "Diameter of the particles to part; two are not nearer than half of it.",
        default=None,
        label="Particle diameter",
        unit="Å",
        minimum=1,
        maximum=100000,
        none_means="that of the median piece",
    )
    spacing: float = param(
        "Distance of points along filaments and on membranes.",
        default=80.0,
        label="Spacing",
        unit="Å",
        minimum=1,
        maximum=100000,
    )
    smallest: float = param(
        "Smaller pieces are left out.", default=0.0, label="Smallest piece", unit="nm³", minimum=0, maximum=1e12
    )
    largest: typing.Optional[float] = param(
        "Larger pieces are left out.",
        default=None,
        label="Largest piece",
        unit="nm³",
        minimum=0,
        maximum=1e12,
        none_means="no limit",
    )
    border: float = param(
        "Points nearer than this to the volume's border are left out.",
        default=0.0,
        label="Border",
        unit="Å",
        minimum=0,
        maximum=100000,
    )
    names: Paths = tomogram_names_field()
    seed: int = seed_field()


@dataclasses.dataclass(frozen=True, eq=False)
class PickFeaturesOutputs(Outputs):
    """What `pick-features` wrote."""

    files: Texts = output("STAR file of each tomogram.", path="file")
    particles: str = output("One STAR file of all tomograms of the folder.", path="file")
    counts: Counts = output("Points of each tomogram.")
    pixel_size: typing.Optional[float] = output("Of the tomograms; null if they differ.", unit="Å/px")


@dataclasses.dataclass(frozen=True)
class EvaluateSegmentationConfig:
    """Compare segmentations with labels: Dice, boundary error and pieces found, for each feature."""

    segmentations: Paths = param("Label volumes or score volumes to judge.", label="Segmentations", path="file")
    labels: Paths = labels_field()
    output: str = param(
        "Folder for evaluation.json and pictures. It must not exist.", label="Output folder", path="folder"
    )
    label: typing.Optional[int] = param(
        "Value of the feature in the labels, for score volumes.",
        default=None,
        label="Label",
        minimum=1,
        maximum=254,
        none_means="the segmentations are label volumes; all values are compared",
    )
    threshold: float = param("Least score, for score volumes.", default=0.5, label="Threshold", minimum=0, maximum=1)
    tomograms: Paths = tomograms_field(
        "The tomograms, one for each segmentation and of the same shape, to draw behind the features in the pictures.",
        optional=True,
    )
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field("that of each header")


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluateSegmentationOutputs(Outputs):
    """What `evaluate-segmentation` found."""

    evaluation: str = output("evaluation.json.", path="file")
    folder: str = output("Folder of all files.", path="folder")
    features: typing.Dict[str, Details] = output("Measures of each feature, all tomograms together.")
    pictures: Texts = output("Pictures by name.", path="file")
