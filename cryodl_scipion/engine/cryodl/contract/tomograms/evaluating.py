# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that evaluates segmentations."""

import dataclasses
import typing

from ..command import Command
from ..fields import Paths, output_folder_field
from ..outputs import Details, Outputs, Texts, output
from ..params import param
from .tomogram_fields import label_field, labels_field, minimum_score_field, tomogram_pixel_size_field, tomograms_field


@dataclasses.dataclass(frozen=True)
class EvaluateSegmentationConfig:
    """Compare segmentations with labels: Dice score, boundary error and components found, for each feature."""

    segmentations: Paths = param("Label volumes or score volumes to evaluate.", label="Segmentations", path="file")
    labels: Paths = labels_field()
    output: str = output_folder_field("Folder for evaluation.json and pictures. It must not exist.")
    label: typing.Optional[int] = label_field(
        "the segmentations are label volumes; all values are compared",
        help="Value of the feature in the labels, for score volumes.",
    )
    threshold: float = minimum_score_field()
    tomograms: Paths = tomograms_field(
        "Tomograms to draw behind the features in the pictures, one for each segmentation and of the same shape.",
        optional=True,
    )
    pixel_size: typing.Optional[float] = tomogram_pixel_size_field("that of each file's header")


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluateSegmentationOutputs(Outputs):
    """What `evaluate-segmentation` found."""

    evaluation: str = output("evaluation.json.", path="file")
    folder: str = output("Output folder.", path="folder")
    features: typing.Dict[str, Details] = output("Metrics of each feature, over all tomograms.")
    pictures: Texts = output("Pictures by name.", path="file")


COMMANDS = (
    Command(
        "evaluate-segmentation",
        EvaluateSegmentationConfig,
        EvaluateSegmentationOutputs,
        threads=False,
        example="cryodl evaluate-segmentation --segmentations 'merged/*.mrc' --labels 'labels/*.mrc' --output "
        "evaluated/",
    ),
)
