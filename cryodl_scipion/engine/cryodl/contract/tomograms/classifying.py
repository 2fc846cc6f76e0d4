# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that classify subtomograms."""

import dataclasses
import typing

from ..fields import device_field, seed_field, threads_field, tilt_problems
from ..networks import CLASSIFIER_NETWORKS
from ..outputs import Counts, Details, Outputs, Texts, output
from ..params import param
from ..training_fields import batch_size_field, learning_rate_field, model_folder_field, patience_field, steps_field
from .subtomogram_fields import contrast_field, diameter_field, subtomograms_field, tilt_field


@dataclasses.dataclass(frozen=True)
class TrainClassifierConfig:
    """Train a classifier of subtomograms on labelled ones (rlnClassNumber)."""

    subtomograms: str = subtomograms_field(
        "Subtomograms to learn from, with their class in rlnClassNumber (from 1 "
        "on). Angles are used if they are there, and not needed."
    )
    output: str = model_folder_field()
    network: str = param(
        "likelihood: this project's; learns an average of each class with the missing wedge made up for, and "
        "compares a subtomogram with all of them, in all orientations, where it was measured. The others are published "
        "3-D networks, with the layers of their paper. dsrf3d: deep, small kernels (DSRF3D-v2). rb3d: residual blocks. "
        "cb3d: wide, with fewer layers.",
        default="likelihood",
        label="Network",
        choices=CLASSIFIER_NETWORKS,
    )
    class_names: typing.Tuple[str, ...] = param(
        "Names of the classes 1, 2, ... in this order.", default=(), label="Names of the classes"
    )
    particle_diameter: typing.Optional[float] = diameter_field()
    resolution: typing.Optional[float] = param(
        "Resolution limit of the input. The published networks see fewer voxels, then, and are as much quicker.",
        default=None,
        label="Resolution",
        unit="Å",
        minimum=4,
        maximum=500,
        none_means="likelihood: three pixels, or a twelfth of the box if that is more; the others: all detail",
    )
    tilt_min: float = tilt_field("Least", -60.0)
    tilt_max: float = tilt_field("Largest", 60.0)
    contrast: str = contrast_field()
    steps: typing.Optional[int] = steps_field()
    patience: int = patience_field(6, ", but not before step 600: the published networks need long to begin")
    validation_fraction: float = param(
        "Part of the subtomograms kept for validation; of several tomograms whole ones, "
        "if every class stays in both parts.",
        default=0.2,
        label="Validation fraction",
        minimum=0.05,
        maximum=0.5,
        expert=True,
    )
    batch_size: typing.Optional[int] = batch_size_field("Subtomograms")
    learning_rate: typing.Optional[float] = learning_rate_field()
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        return tilt_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class TrainClassifierOutputs(Outputs):
    """What `train-classifier` made."""

    model: str = output("Model folder.", path="folder")
    classes: typing.List[str] = output("Names of the classes.")
    validation: Details = output(
        "Accuracy, standard_error, number, confusion (rows true, columns found) and calibration_error."
    )
    stop_reason: str = output("Why the training ended.")
    contrast: str = output("'bright' or 'dark' protein of the subtomograms.")


@dataclasses.dataclass(frozen=True)
class ClassifySubtomogramsConfig:
    """Tell which class each subtomogram belongs to, or that it is unknown (class 0)."""

    subtomograms: str = subtomograms_field("Subtomograms to classify.")
    model: str = param("Folder of a classifier.", label="Model", path="model")
    output: str = param(
        "STAR file to write: all columns of the input, with rlnClassNumber, the probability of every "
        "class, and angles and shifts where the network finds them. Averages of the classes lie "
        "beside it: NAME_class001.mrc ...",
        label="Output",
        path="file",
    )
    unknown: float = param(
        "Rejection threshold, as the fraction of validation subtomograms of the trained classes that may "
        "be called unknown: those with the highest out-of-distribution score. 0: none is rejected.",
        default=0.05,
        label="Rejected fraction",
        minimum=0,
        maximum=0.9,
    )
    truth: bool = param(
        "rlnClassNumber of the input is the truth: accuracy and confusion matrix are computed.",
        default=False,
        label="Compare with the input's classes",
    )
    tilt_min: float = tilt_field("Least", -60.0)
    tilt_max: float = tilt_field("Largest", 60.0)
    contrast: str = contrast_field()
    averages: bool = param("Average each class, with the missing wedge made up for.", default=True, label="Averages")
    batch_size: int = param(
        "Subtomograms at a time.", default=32, label="Batch size", minimum=1, maximum=4096, expert=True
    )
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        return tilt_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class ClassifySubtomogramsOutputs(Outputs):
    """What `classify-subtomograms` wrote."""

    subtomograms: str = output("STAR file with classes and probabilities.", path="file")
    counts: Counts = output("Subtomograms of each class, and unknown.")
    averages: Texts = output("Average of each class.", path="file")
    accuracy: typing.Optional[float] = output("Part that has the class of the file; null if it was not asked for.")
    confusion: typing.Optional[Details] = output("rows, columns, matrix, table, picture and accuracy; null likewise.")
    contrast: str = output("'bright' or 'dark' protein of the subtomograms.")
    model: str = output("Name of the model.")
