# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that evaluates segmentations."""

import dataclasses
import typing

from ..fields import Paths, labels_field, tomogram_pixel_size_field, tomograms_field
from ..outputs import Details, Outputs, Texts, output
from ..params import param


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
    threshold: float = param("Minimum score, for score volumes.", default=0.5, label="Threshold", minimum=0, maximum=1)
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
