# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that annotate tomograms, train segmenters, and segment."""

import typing

from .. import fields, networks
from ..command import (
    Command,
    Config,
    Counts,
    Details,
    Numbers,
    Outputs,
    Paths,
    Texts,
    TrainingOutputs,
    found,
    output,
    param,
)
from . import tomogram_fields


class TrainGeneralSegmenterConfig(Config):
    """Train segmenters of membranes, ribosomes, microtubules and thin filaments on simulated cells."""

    output: str = fields.model_folder()
    ribosomes: Paths = param(
        "Maps (.mrc) or atomic models (.pdb, .cif, also .gz) of ribosomes; each is also used stretched to the sizes "
        "of others.",
        path="file",
    )
    others: Paths = param(
        "Maps or atomic models of other structures to put into the cells as background.",
        (),
        label="Other structures",
        path="file",
    )
    cells: int = param("Number of simulated training cells, 0.25 x 0.25 x 0.09 µm each.", 150, limits=(1, 9000))
    validation_cells: int = param("Number of further cells, for validation and calibration.", 20, limits=(1, 1000))
    working_pixel_size: float = param(
        "Pixel size that tomograms are resampled to for the network.", 14.0, "Å/px", limits=(5, 30)
    )
    network: str = fields.network(
        "Network of the segmenters, which share all layers but the last.",
        default="unet32",
        choices=tuple(name for name in networks.SEGMENTER_NETWORKS if name in ("unet", "unet3d", "unet16", "unet32")),
    )
    cache: typing.Optional[str] = fields.cache(
        "Folder in which the simulated cells are kept (5 MB each), so that another training can use them again.",
        label="Keep simulated cells in",
        none_means="they are removed at the end",
    )
    start_from: typing.Optional[str] = param(
        "Output folder of an earlier training to continue from (it has a folder for each feature).",
        None,
        label="Start from models",
        path="folder",
        none_means="start from random weights",
        expert=True,
    )
    steps: typing.Optional[int] = fields.steps()
    seed: int = fields.seed()


class TrainGeneralSegmenterOutputs(Outputs):
    models: Texts = output("Model folder of each feature.", path="folder")
    validation: typing.Dict[str, Details] = output("Metrics of each feature on the validation cells, by name.")
    stop_reason: str = output("Why the training ended.")
    pixel_size: float = output("Pixel size that the models work at.", "Å/px")


class TrainSegmenterConfig(Config):
    """Train a network that segments one feature in tomograms, from the labels of one annotator."""

    output: str = fields.model_folder()
    pixel_size: typing.Optional[float] = tomogram_fields.tomogram_pixel_size()
    tomograms: Paths = tomogram_fields.tomograms(
        "Tomograms of the label volumes. With Annotations: the tomograms at their present paths, if they were moved.",
        default=(),
    )
    labels: Paths = tomogram_fields.labels(default=())
    label: typing.Optional[int] = tomogram_fields.label(
        none_means="there are no label volumes",
        help="Value of the feature in the label volumes. All other values except 255 are background.",
    )
    tiles: int = param(
        "Maximum number of tiles with the feature, and of tiles without it, to take from label volumes. If whole "
        "volumes are labelled, more tiles give a better model, but training takes longer.",
        200,
        label="Tiles of each kind",
        limits=(2, 20000),
    )
    annotations: typing.Optional[str] = param(
        "Folder of annotations (tiles drawn in the annotation window, or imported).",
        None,
        path="folder",
        none_means="label volumes are given",
    )
    feature: typing.Optional[str] = param(
        "Name of the feature, such as membrane. Score volumes are named by it.",
        None,
        none_means="that of the annotations, or else the model folder's name",
    )
    annotator: typing.Optional[str] = param(
        "Name of the annotator who made the labels.", None, none_means="that of the annotations, if there is only one"
    )
    network: str = fields.network(
        "auto: that of the model to start from; without one unet. unet: small U-Net of this project with several "
        "slices as input and output (2.5-D); fast on CPUs. unet2d: the same on single slices, for stacks of tiles. "
        "unet3d: with 3-D convolutions; slower. eman2: the published network on single slices, with 40, 40 and 1 "
        "kernels of 15 x 15; slow on CPUs. unet16, unet32: as unet, with sixteen or thirty-two slices; shipped models"
        " are unet32.",
        default=networks.AS_STARTED,
        choices=(*networks.SEGMENTER_NETWORKS, networks.AS_STARTED),
    )
    working_pixel_size: typing.Optional[float] = tomogram_fields.working_pixel_size(
        none_means="that of the model to start from, or of the tomograms"
    )
    steps: typing.Optional[int] = fields.steps()
    batch_size: typing.Optional[int] = fields.batch_size("Tiles per training step.")
    start_from: typing.Optional[str] = fields.start_from(
        none_means="the shipped model of this feature where there is one and neither Network nor Working pixel size "
        "asks for another; else random weights"
    )
    names: Paths = tomogram_fields.tomogram_names()
    seed: int = fields.seed()

    def check_together(self) -> typing.List[str]:
        either = (
            "Give either label volumes (--labels, with --tomograms and --label) or a folder of annotations "
            "(--annotations)."
        )
        return found((bool(self.labels) == bool(self.annotations), either)) or tomogram_fields.label_volume_problems(
            self
        )


class TrainSegmenterOutputs(TrainingOutputs):
    feature: str = output("Name of the feature.")
    annotator: str = output("Name of the annotator.")
    pixel_size: float = output("Working pixel size of the model.", "Å/px")


class SegmentConfig(Config):
    """Segment features in tomograms, with one score volume for each tomogram and feature."""

    tomograms: Paths = tomogram_fields.tomograms("Tomograms to segment.")
    model: Paths = fields.model(
        "Model folders of segmenters, or names of shipped models: membrane, ribosome, microtubule, filament. All are "
        "applied in one pass over the tomogram. Several models of one feature (by several annotators) are combined.",
        label="Models",
    )
    output: str = fields.output_folder(
        "Folder for <tomogram>__<feature>.mrc. Volumes already in this folder are not made again."
    )
    pixel_size: typing.Optional[float] = tomogram_fields.tomogram_pixel_size()
    annotators: str = param(
        "How several models of one feature are used. combined: one volume, the mean of their log odds. each: also a "
        "volume for each model, <tomogram>__<feature>@<annotator>.mrc, to compare them.",
        "combined",
        label="Models of one feature",
        choices=("combined", "each"),
        expert=True,
    )
    scores: str = param(
        "Data type of the score volumes. float16: 0 to 1 (MRC mode 12), which some programs cannot read. int8: 0 to "
        "100, half the size. float32: 0 to 1, twice the size.",
        "float16",
        label="Score volumes",
        choices=("float16", "int8", "float32"),
        expert=True,
    )
    names: Paths = tomogram_fields.tomogram_names()


class SegmentOutputs(Outputs):
    scores: str = output("Folder of the score volumes.", path="folder")
    files: typing.Dict[str, Texts] = output(
        "Score volume of each tomogram and feature.", path="file", becomes="scores_*: SetOfTomoMasks"
    )
    features: typing.List[str] = output("Names of the features, in the order of the models.")
    thresholds: Numbers = output("Minimum score of a voxel that belongs to a feature.")
    pixel_size: float = output("Pixel size of the first tomogram.", "Å/px")
    pixel_sizes: Numbers = output("Pixel size of each tomogram.", "Å/px")
    models: typing.Dict[str, typing.List[str]] = output("Model folders of each feature.", path="folder")
    agreement: typing.Dict[str, typing.Any] = output("Agreement of the models, for features with several models.")
    noise: typing.Dict[str, typing.Dict[str, Details]] = output(
        "For each tomogram and feature, the fraction of voxels that reach the threshold in noise with the spectrum of "
        "some blocks of the tomogram (noise) and in these blocks (tomogram), and the number of these voxels (voxels). "
        "If the tomogram's scores changed the threshold: by how many log odds (raised; negative if lowered) and the "
        "model's score at it (boundary). Score volumes have 0.5 there."
    )


class AnnotateConfig(Config):
    """Open a window to draw features on tiles of tomograms, and to mark tiles that do not contain them."""

    tomograms: Paths = tomogram_fields.tomograms("Tomograms to annotate.")
    annotations: str = param("Folder of the annotations. An existing folder is opened and extended.", path="folder")
    feature: str = param("Name of the first feature to draw, such as membrane.", "feature")
    annotator: str = param(
        "Name of the person who draws. Each model is trained on the drawings of one annotator.", "annotator"
    )
    tile: int = tomogram_fields.tile("Width and height of the square tiles.")
    pixel_size: typing.Optional[float] = tomogram_fields.tomogram_pixel_size()
    names: Paths = tomogram_fields.tomogram_names()


class AnnotationsOutputs(Outputs):
    annotations: str = output(
        "Folder of the annotations.", path="folder", becomes="outputAnnotations: CryodlAnnotations"
    )
    counts: typing.Dict[str, Counts] = output("Number of tiles with each feature (positive) and without it (negative).")


class ImportAnnotationsConfig(Config):
    """Import label volumes, stacks of tiles and drawings, or other folders of annotations, into a folder of
    annotations. Tiles that it already contains are not added again."""

    annotations: str = param("Folder of the annotations. An existing folder is extended.", path="folder")
    feature: typing.Optional[str] = param(
        "Name of the feature.", None, none_means="only folders of annotations are added"
    )
    annotator: str = param("Name of the annotator.", "annotator")
    tomograms: Paths = tomogram_fields.tomograms("Tomograms of the label volumes.", default=())
    labels: Paths = tomogram_fields.labels(default=())
    label: typing.Optional[int] = tomogram_fields.label(none_means="there are no label volumes")
    tiles: typing.Optional[str] = param(
        "Stack of square tiles (.mrcs, .mrc).", None, path="file", none_means="there is no stack of tiles"
    )
    drawings: typing.Optional[str] = param(
        "Stack of the drawings on these tiles: 0 is background, 255 uncertain, any other value the feature.",
        None,
        path="file",
        none_means="the tiles do not contain the feature",
    )
    pixel_size: typing.Optional[float] = tomogram_fields.tomogram_pixel_size()
    folders: Paths = param(
        "Other folders of annotations, whose tiles are added. With Tomograms: the tomograms at their present paths, "
        "if they were moved.",
        (),
        label="Folders of annotations",
        path="folder",
    )
    positive_tiles: int = param(
        "Number of tiles with the feature to take from label volumes.",
        50,
        label="Tiles with the feature",
        limits=(1, 100000),
    )
    negative_tiles: int = param(
        "Number of tiles without the feature to take from label volumes.",
        100,
        label="Tiles without the feature",
        limits=(0, 100000),
    )
    tile: int = tomogram_fields.tile("Width and height of the tiles taken from label volumes.")
    names: Paths = tomogram_fields.tomogram_names()
    seed: int = fields.seed()

    def check_together(self) -> typing.List[str]:
        return found(
            (
                bool(self.labels) + bool(self.tiles) != 1 - (bool(self.folders) and not self.feature),
                "Give either label volumes (--labels, with --tomograms and --label) or a stack of tiles (--tiles, "
                "with --drawings where the feature is drawn on them), with --feature, or only --folders.",
            ),
            (
                not self.feature and not self.folders,
                "Feature (--feature) is missing: the name of what the labels or drawings show.",
            ),
            (self.tiles and self.pixel_size is None, "A stack of tiles (--tiles) needs its pixel size (--pixel-size)."),
        )[:1] or tomogram_fields.label_volume_problems(self)


COMMANDS = (
    Command(
        "train-general-segmenter",
        TrainGeneralSegmenterConfig,
        TrainGeneralSegmenterOutputs,
        gpu=True,
        several=True,
        example="cryodl dev train-general-segmenter --ribosomes 70S.mrc --others '*.pdb' --output models/tomograms",
        dev=True,
    ),
    Command(
        "train-segmenter",
        TrainSegmenterConfig,
        TrainSegmenterOutputs,
        gpu=True,
        several=True,
        example="cryodl train-segmenter --annotations annotations/ --feature membrane --output models/membrane",
    ),
    Command(
        "segment",
        SegmentConfig,
        SegmentOutputs,
        gpu=True,
        example="cryodl segment --tomograms 'tomograms/*.mrc' --model membrane ribosome --output scores/\n"
        "cryodl segment --tomograms 'tomograms/*.mrc' --model models/mine --output scores/",
        kept="tomogram",
        shared="tomograms",
    ),
    Command(
        "annotate",
        AnnotateConfig,
        AnnotationsOutputs,
        threads=False,
        example="cryodl annotate --tomograms 'tomograms/*.mrc' --annotations annotations/ --feature membrane "
        "--annotator anna",
        kept="what was saved is in the annotations.",
        locks="annotations",
    ),
    Command(
        "import-annotations",
        ImportAnnotationsConfig,
        AnnotationsOutputs,
        threads=False,
        example="cryodl import-annotations --tomograms 'tomograms/*.mrc' --labels 'labels/*.mrc' --label 1 "
        "--feature membrane --annotations annotations/\n"
        "cryodl import-annotations --folders anna/ ben/ --annotations together/",
        locks="annotations",
    ),
)
