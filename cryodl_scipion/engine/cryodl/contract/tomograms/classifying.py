# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that classify subtomograms."""

import dataclasses
import typing

from ..fields import batch_field, device_field, model_field, network_field, output_file_field, seed_field, threads_field
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
    """Train a classifier of subtomograms on labelled ones (rlnClassNumber)."""

    subtomograms: str = subtomograms_field(
        "Subtomograms to learn from, with their class in rlnClassNumber (from 1 on). Angles are used if there are any; "
        "they are not needed."
    )
    output: str = model_folder_field()
    network: str = network_field(
        "likelihood: this project's; learns an average of each class, corrected for the missing wedge, and compares a "
        "subtomogram with all of them in all orientations, at the Fourier coefficients that were measured. The others "
        "are published 3-D networks, with the layers of their paper. dsrf3d: deep, small kernels (DSRF3D-v2). rb3d: "
        "residual blocks. cb3d: wide, with fewer layers.",
        "likelihood",
        choices=CLASSIFIER_NETWORKS,
    )
    class_names: typing.Tuple[str, ...] = param(
        "Names of the classes 1, 2, ... in this order.", default=(), label="Names of the classes"
    )
    particle_diameter: typing.Optional[float] = diameter_field()
    resolution: typing.Optional[float] = resolution_field(
        "Resolution limit of the input. With a lower resolution the published networks process fewer voxels and are "
        "faster.",
        "likelihood: three pixels, or a twelfth of the box if that is more; the others: all detail",
        minimum=4,
        maximum=500,
    )
    tilt_min: float = tilt_field("Minimum", -60.0)
    tilt_max: float = tilt_field("Maximum", 60.0)
    contrast: str = subtomogram_contrast_field()
    steps: typing.Optional[int] = steps_field()
    patience: int = patience_field(6, ", but not before step 600: the published networks improve late")
    validation_fraction: float = validation_fraction_field(
        "Fraction of the subtomograms kept for validation; of several tomograms whole ones, if every class stays in "
        "both parts."
    )
    batch_size: typing.Optional[int] = batch_size_field("Subtomograms")
    learning_rate: typing.Optional[float] = learning_rate_field()
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        """Sentences about fields that contradict each other, or belong together and are not; empty if all is well."""
        return tilt_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class TrainClassifierOutputs(TrainingOutputs):
    """What `train-classifier` made."""

    classes: typing.List[str] = output("Names of the classes.")
    validation: Details = output(
        "Accuracy, standard_error, number, confusion (rows true, columns found) and calibration_error."
    )
    contrast: str = output("'bright' or 'dark' protein of the subtomograms.")


@dataclasses.dataclass(frozen=True)
class ClassifySubtomogramsConfig:
    """Assign a class to each subtomogram; class 0 where it is of no known class."""

    subtomograms: str = subtomograms_field("Subtomograms to classify.")
    model: str = model_field("Folder of a classifier.")
    output: str = output_file_field(
        "STAR file to write: all columns of the input, with rlnClassNumber, the probability of every class, and angles "
        "and shifts where the network finds them. Averages of the classes lie beside it: NAME_class001.mrc ..."
    )
    rejected_fraction: typing.Optional[float] = param(
        "Rejection threshold, as the fraction of subtomograms of the trained classes that may be called unknown: those "
        "with the highest out-of-distribution score. 0: none is rejected.",
        default=None,
        label="Rejected fraction",
        none_means="0.02; what the validation subtomograms can tell where they are too few for it, at most 0.05",
        minimum=0,
        maximum=0.9,
        former=("unknown",),
    )
    ground_truth: bool = param(
        "The input's rlnClassNumber is the ground truth: accuracy and confusion matrix are computed.",
        default=False,
        label="Compare with the input's classes",
        former=("truth",),
    )
    tilt_min: float = tilt_field("Minimum", -60.0)
    tilt_max: float = tilt_field("Maximum", 60.0)
    contrast: str = subtomogram_contrast_field()
    averages: bool = param("Average each class, corrected for the missing wedge.", default=True, label="Averages")
    batch_size: int = batch_field("Subtomograms at a time.", 32)
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        """Sentences about fields that contradict each other, or belong together and are not; empty if all is well."""
        return tilt_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class ClassifySubtomogramsOutputs(Outputs):
    """What `classify-subtomograms` wrote."""

    subtomograms: str = output(
        "STAR file with classes and probabilities.",
        path="file",
        becomes="outputClasses: SetOfClassesSubTomograms, outputUnknown: SetOfSubTomograms",
    )
    counts: Counts = output("Subtomograms of each class, and unknown.")
    averages: Texts = output("Average of each class.", path="file", becomes="outputAverages: SetOfAverageSubTomograms")
    accuracy: typing.Optional[float] = output("Fraction with the class of the input; null if it was not asked for.")
    confusion: typing.Optional[Details] = output(
        "rows, columns, matrix, table, picture and accuracy; null if it was not asked for."
    )
    contrast: str = output("'bright' or 'dark' protein of the subtomograms.")
    model: str = output("Name of the model.")
    pixel_size: typing.Optional[float] = output("Of the subtomograms and the averages.", unit="Å/px", default=None)
