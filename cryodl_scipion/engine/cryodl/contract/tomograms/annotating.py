# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that make annotations of tomograms."""

import dataclasses
import typing

from ..fields import Paths, seed_field
from ..outputs import Counts, Outputs, output
from ..params import param
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
class AnnotateConfig:
    """Open a window to draw features on tiles of tomograms, and to mark tiles without them."""

    tomograms: Paths = tomograms_field("Tomograms to annotate.")
    annotations: str = param(
        "Folder of the annotations. An existing one is opened again and added to.", label="Annotations", path="folder"
    )
    feature: str = param(
        "Feature that is drawn first: a short name such as membrane.", default="feature", label="Feature"
    )
    annotator: str = param(
        "Name of the person who draws. A model is trained on the drawings of one annotator.",
        default="annotator",
        label="Annotator",
    )
    tile: int = tile_field("Side of the square tiles.")
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field()
    names: Paths = tomogram_names_field()


@dataclasses.dataclass(frozen=True, eq=False)
class AnnotationsOutputs(Outputs):
    """What `annotate` and `import-annotations` leave."""

    annotations: str = output(
        "Folder of the annotations.", path="folder", becomes="outputAnnotations: CryodlAnnotations"
    )
    counts: typing.Dict[str, Counts] = output("Tiles with a feature (positive) and without it (negative), by feature.")


@dataclasses.dataclass(frozen=True)
class ImportAnnotationsConfig:
    """Turn label volumes, or stacks of tiles and drawings, into a folder of annotations."""

    annotations: str = annotations_field()
    feature: str = param("Name of the feature.", label="Feature")
    annotator: str = param("Who drew it.", default="annotator", label="Annotator")
    tomograms: Paths = tomograms_field("Tomograms of the label volumes.", optional=True)
    labels: Paths = labels_field(optional=True)
    label: typing.Optional[int] = label_field("there are no label volumes")
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
    tile: int = tile_field("Side of the tiles that are taken from label volumes.")
    names: Paths = tomogram_names_field()
    seed: int = seed_field()

    def check_together(self) -> typing.List[str]:
        """Sentences about fields that contradict each other, or belong together and are not; empty if all is well."""
        if bool(self.labels) == bool(self.tiles):
            return [
                "Give either label volumes (--labels, with --tomograms and --label) or a stack of tiles (--tiles, "
                "with --drawings where the feature is drawn on them)."
            ]
        if self.tiles and self.pixel_size is None:
            return ["A stack of tiles (--tiles) needs its pixel size (--pixel-size)."]
        return label_volume_problems(self)


@dataclasses.dataclass(frozen=True)
class JoinAnnotationsConfig:
    """Put the tiles of several folders of annotations into one folder; a tile that is there is not added again."""

    annotations: str = annotations_field()
    folders: Paths = param("Folders of annotations to add.", label="Folders", path="folder")
    tomograms: Paths = tomograms_field("Tomograms that were moved after they were annotated.", optional=True)
    names: Paths = tomogram_names_field()
