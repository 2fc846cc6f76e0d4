# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that make annotations of tomograms."""

import dataclasses
import typing

from ..command import Command, Counts, Outputs, output
from ..fields import Paths, seed_field
from ..params import Config, found, param
from .tomogram_fields import (
    annotations_field,
    label_field,
    label_volume_problems,
    labels_field,
    tile_field,
    tomogram_names_field,
    tomogram_pixel_size_field,
    tomograms_field,
)


@dataclasses.dataclass(frozen=True)
class AnnotateConfig(Config):
    """Open a window to draw features on tiles of tomograms, and to mark tiles that do not contain them."""

    tomograms: Paths = tomograms_field("Tomograms to annotate.")
    annotations: str = param(
        "Folder of the annotations. An existing folder is opened and extended.", label="Annotations", path="folder"
    )
    feature: str = param("Name of the first feature to draw, such as membrane.", default="feature", label="Feature")
    annotator: str = param(
        "Name of the person who draws. Each model is trained on the drawings of one annotator.",
        default="annotator",
        label="Annotator",
    )
    tile: int = tile_field("Width and height of the square tiles.")
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field()
    names: Paths = tomogram_names_field()


@dataclasses.dataclass(frozen=True, eq=False)
class AnnotationsOutputs(Outputs):
    """What the commands that make annotations wrote."""

    annotations: str = output(
        "Folder of the annotations.", path="folder", becomes="outputAnnotations: CryodlAnnotations"
    )
    counts: typing.Dict[str, Counts] = output("Number of tiles with each feature (positive) and without it (negative).")


@dataclasses.dataclass(frozen=True)
class ImportAnnotationsConfig(Config):
    """Import label volumes, stacks of tiles and drawings, or other folders of annotations, into a folder of
    annotations. Tiles that it already contains are not added again."""

    annotations: str = annotations_field()
    feature: typing.Optional[str] = param(
        "Name of the feature.", default=None, label="Feature", none_means="only folders of annotations are added"
    )
    annotator: str = param("Name of the annotator.", default="annotator", label="Annotator")
    tomograms: Paths = tomograms_field("Tomograms of the label volumes.", default=())
    labels: Paths = labels_field(default=())
    label: typing.Optional[int] = label_field(none_means="there are no label volumes")
    tiles: typing.Optional[str] = param(
        "Stack of square tiles (.mrcs, .mrc).",
        default=None,
        label="Tiles",
        path="file",
        none_means="there is no stack of tiles",
    )
    drawings: typing.Optional[str] = param(
        "Stack of the drawings on these tiles: 0 is background, 255 uncertain, any other value the feature.",
        default=None,
        label="Drawings",
        path="file",
        none_means="the tiles do not contain the feature",
    )
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field()
    folders: Paths = param(
        "Other folders of annotations, whose tiles are added. With Tomograms: the tomograms at their present paths, if "
        "they were moved.",
        default=(),
        label="Folders of annotations",
        path="folder",
    )
    positive_tiles: int = param(
        "Number of tiles with the feature to take from label volumes.",
        default=50,
        label="Tiles with the feature",
        minimum=1,
        maximum=100000,
    )
    negative_tiles: int = param(
        "Number of tiles without the feature to take from label volumes.",
        default=100,
        label="Tiles without the feature",
        minimum=0,
        maximum=100000,
    )
    tile: int = tile_field("Width and height of the tiles taken from label volumes.")
    names: Paths = tomogram_names_field()
    seed: int = seed_field()

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
        )[:1] or label_volume_problems(self)


COMMANDS = (
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
