# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that classify subtomograms."""

import dataclasses
import typing

from ..command import Command
from ..fields import batch_field, model_field, network_field, output_file_field, seed_field
from ..networks import CLASSIFIER_NETWORKS
from ..outputs import Counts, Details, Outputs, Texts, output
from ..params import param
from ..search_fields import resolution_field
from ..training_fields import (
    TrainingOutputs,
    batch_size_field,
    learning_rate_field,
    model_folder_field,
    patience_field,
    steps_field,
    validation_fraction_field,
)
from .subtomogram_fields import diameter_field, subtomogram_contrast_field, subtomograms_field, tilt_field
from .tilt_fields import tilt_problems


@dataclasses.dataclass(frozen=True)
class TrainClassifierConfig:
    """Train a classifier of subtomograms on labelled subtomograms (rlnClassNumber)."""

    subtomograms: str = subtomograms_field(
        "Training subtomograms, with their class in rlnClassNumber (starting from 1). Angles are used if the file "
        "has them, but are not needed."
    )
    output: str = model_folder_field()
    network: str = network_field(
        "likelihood: method of this project; computes an average of each class, corrected for the missing wedge, "
        "and compares a subtomogram with all averages in all orientations, at the measured Fourier coefficients. "
        "The others are published 3-D networks, with the layers of their papers. dsrf3d: deep, small kernels "
        "(DSRF3D-v2). rb3d: residual blocks. cb3d: wide, with fewer layers.",
        "likelihood",
        choices=CLASSIFIER_NETWORKS,
    )
    class_names: typing.Tuple[str, ...] = param(
        "Names of the classes 1, 2, ..., in this order.", default=(), label="Names of the classes"
    )
    particle_diameter: typing.Optional[float] = diameter_field()
    resolution: typing.Optional[float] = resolution_field(
        "Resolution limit of the input. At lower resolution the published networks process fewer voxels and are "
        "faster.",
        "likelihood: three pixels, or a twelfth of the box size if that is more; the others: no limit",
        minimum=4,
        maximum=500,
    )
    tilt_min: float = tilt_field("Minimum", -60.0)
    tilt_max: float = tilt_field("Maximum", 60.0)
    contrast: str = subtomogram_contrast_field()
    steps: typing.Optional[int] = steps_field()
    patience: int = patience_field(6, ", but not before step 600, because the published networks improve late")
    validation_fraction: float = validation_fraction_field(
        "Fraction of the subtomograms held out for validation. Whole tomograms are held out if there are several "
        "and every class occurs in both parts."
    )
    batch_size: typing.Optional[int] = batch_size_field("Subtomograms")
    learning_rate: typing.Optional[float] = learning_rate_field()
    seed: int = seed_field()

    def check_together(self) -> typing.List[str]:
        """Problems between fields: values that contradict each other, or fields that must be given together; else
        empty."""
        return tilt_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class TrainClassifierOutputs(TrainingOutputs):
    """What `train-classifier` made."""

    classes: typing.List[str] = output("Names of the classes.")
    validation: Details = output(
        "Validation metrics: accuracy, standard_error, number, confusion (rows: true class, columns: assigned "
        "class) and calibration_error."
    )
    contrast: str = output("Contrast of protein in the subtomograms, 'bright' or 'dark'.")


@dataclasses.dataclass(frozen=True)
class ClassifySubtomogramsConfig:
    """Assign a class to each subtomogram; class 0 if it belongs to no class of the training."""

    subtomograms: str = subtomograms_field("Subtomograms to classify.")
    model: str = model_field("Model folder of a classifier.")
    output: str = output_file_field(
        "STAR file to write: all columns of the input, with rlnClassNumber, the probability of every class, and "
        "angles and shifts if the model determines them. Averages of the classes are written beside it: "
        "NAME_class001.mrc ..."
    )
    rejected_fraction: typing.Optional[float] = param(
        "Rejection threshold, given as the fraction of subtomograms of the trained classes that may be called "
        "unknown, those with the highest out-of-distribution scores. 0: none is rejected.",
        default=None,
        label="Rejected fraction",
        none_means="0.02; with few validation subtomograms, the smallest fraction that they resolve, at most 0.05",
        minimum=0,
        maximum=0.9,
    )
    ground_truth: bool = param(
        "Use the input's rlnClassNumber as ground truth, and compute accuracy and confusion matrix.",
        default=False,
        label="Compare with the input's classes",
    )
    tilt_min: float = tilt_field("Minimum", -60.0)
    tilt_max: float = tilt_field("Maximum", 60.0)
    contrast: str = subtomogram_contrast_field()
    averages: bool = param("Average each class, corrected for the missing wedge.", default=True, label="Averages")
    batch_size: int = batch_field("Number of subtomograms processed at a time.", 32)

    def check_together(self) -> typing.List[str]:
        """Problems between fields: values that contradict each other, or fields that must be given together; else
        empty."""
        return tilt_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class ClassifySubtomogramsOutputs(Outputs):
    """What `classify-subtomograms` wrote."""

    subtomograms: str = output(
        "STAR file with classes and probabilities.",
        path="file",
        becomes="outputClasses: SetOfClassesSubTomograms, outputUnknown: SetOfSubTomograms",
    )
    counts: Counts = output("Number of subtomograms of each class, and of unknown ones.")
    averages: Texts = output("Average of each class.", path="file", becomes="outputAverages: SetOfAverageSubTomograms")
    accuracy: typing.Optional[float] = output(
        "Fraction of the subtomograms with the class of the input; null if the comparison was not requested."
    )
    confusion: typing.Optional[Details] = output(
        "Confusion matrix: rows, columns, matrix, table, picture and accuracy; null if the comparison was not "
        "requested."
    )
    contrast: str = output("Contrast of protein in the subtomograms, 'bright' or 'dark'.")
    model: str = output("Name of the model.")
    pixel_size: typing.Optional[float] = output(
        "Pixel size of the subtomograms and averages.", unit="Å/px", default=None
    )


COMMANDS = (
    Command(
        "train-classifier",
        TrainClassifierConfig,
        TrainClassifierOutputs,
        gpu=True,
        example="cryodl train-classifier --subtomograms labelled.star --output models/classes",
    ),
    Command(
        "classify-subtomograms",
        ClassifySubtomogramsConfig,
        ClassifySubtomogramsOutputs,
        gpu=True,
        example="cryodl classify-subtomograms --subtomograms all.star --model models/classes --output classified.star",
        kept="chunk",
    ),
)
