# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that classify subtomograms."""

import dataclasses
import typing

from ..command import Command, Counts, Details, Outputs, Texts, TrainingOutputs, output
from ..fields import (
    batch_size_field,
    model_field,
    model_folder_field,
    network_field,
    output_file_field,
    resolution_field,
    seed_field,
    steps_field,
)
from ..networks import CLASSIFIER_NETWORKS
from ..params import Config, found, param
from .tomogram_fields import diameter_field, subtomogram_contrast_field, subtomograms_field, tilt_field, tilt_problems


@dataclasses.dataclass(frozen=True)
class TrainClassifierConfig(Config):
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
        default="likelihood",
        choices=CLASSIFIER_NETWORKS,
    )
    class_names: typing.Tuple[str, ...] = param(
        "Names of the classes 1, 2, ..., in this order.", default=(), label="Names of the classes"
    )
    particle_diameter: typing.Optional[float] = diameter_field()
    resolution: typing.Optional[float] = resolution_field(
        "Resolution limit of the input. At lower resolution the published networks process fewer voxels and are "
        "faster.",
        none_means="likelihood: three pixels, or a twelfth of the box size if that is more; the others: no limit",
        minimum=4,
        maximum=500,
    )
    tilt_min: float = tilt_field("Minimum", -60.0)
    tilt_max: float = tilt_field("Maximum", 60.0)
    contrast: str = subtomogram_contrast_field()
    steps: typing.Optional[int] = steps_field()
    batch_size: typing.Optional[int] = batch_size_field("Subtomograms per training step.")
    seed: int = seed_field()

    def check_together(self) -> typing.List[str]:
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
class ClassifySubtomogramsConfig(Config):
    """Assign a class to each subtomogram: by a classifier, or as clusters of those that show the same, without
    labels. With a classifier, class 0 is of no class of its training."""

    subtomograms: str = subtomograms_field("Subtomograms to classify.")
    output: str = output_file_field(
        "STAR file to write: all columns of the input, with rlnClassNumber; with a classifier the probability of every "
        "class, and angles and shifts if it determines them. Averages of the classes are written beside it, "
        "NAME_class001.mrc ..., and the table of an embedding, NAME_embedding.csv."
    )
    model: typing.Optional[str] = model_field(
        "Model folder of a classifier.", default=None, none_means="subtomograms are clustered without labels"
    )
    rejected_fraction: typing.Optional[float] = param(
        "Rejection threshold of a classifier, given as the fraction of subtomograms of the trained classes that may be "
        "called unknown, those with the highest out-of-distribution scores. 0: none is rejected.",
        default=None,
        label="Rejected fraction",
        none_means="0.02; with few validation subtomograms, the smallest fraction that they resolve, at most 0.05",
        minimum=0,
        maximum=0.9,
    )
    ground_truth: bool = param(
        "Use the input's rlnClassNumber as ground truth of a classifier, and compute accuracy and confusion matrix.",
        default=False,
        label="Compare with the input's classes",
    )
    classes: int = param(
        "Number of clusters, without a classifier.", default=3, label="Classes", minimum=1, maximum=100
    )
    embedding: str = param(
        "How subtomograms are embedded before they are clustered. similarity: from the correlations of all pairs. pca: "
        "principal components of the differences from the mean. autoencoder: a small 3-D network, with a loss on only "
        "the measured Fourier coefficients.",
        default="pca",
        label="Embedding",
        choices=("pca", "similarity", "autoencoder"),
    )
    align: str = param(
        "How subtomograms are aligned before they are clustered. given: by the angles of the STAR file. search: to a "
        "common average. none: not aligned. auto: given, or search if the file has no angles or all are zero.",
        default="auto",
        label="Alignment",
        choices=("auto", "given", "search", "none"),
    )
    particle_diameter: typing.Optional[float] = diameter_field()
    resolution: typing.Optional[float] = resolution_field(
        "Resolution limit of the comparison of those to cluster.", none_means="four pixels", minimum=4, maximum=500
    )
    tilt_min: float = tilt_field("Minimum", -60.0)
    tilt_max: float = tilt_field("Maximum", 60.0)
    contrast: str = subtomogram_contrast_field()
    seed: int = seed_field()

    def check_together(self) -> typing.List[str]:
        of_classifier = self.ground_truth or self.rejected_fraction is not None
        needs = "Rejected fraction (--rejected-fraction) and --ground-truth need a classifier (--model)."
        return found((self.model is None and of_classifier, needs)) or tilt_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class ClassifySubtomogramsOutputs(Outputs):
    """What `classify-subtomograms` wrote."""

    subtomograms: str = output(
        "STAR file with classes, and probabilities of a classifier.",
        path="file",
        becomes="outputClasses: SetOfClassesSubTomograms, outputUnknown: SetOfSubTomograms",
    )
    counts: Counts = output("Number of subtomograms of each class, and of unknown ones of a classifier.")
    averages: Texts = output("Average of each class.", path="file", becomes="outputAverages: SetOfAverageSubTomograms")
    contrast: str = output("Contrast of protein in the subtomograms, 'bright' or 'dark'.")
    pixel_size: typing.Optional[float] = output(
        "Pixel size of the subtomograms and averages.", unit="Å/px", default=None
    )
    resolutions: typing.Optional[typing.Dict[str, typing.Optional[float]]] = output(
        "Resolution at which the FSC of the class's half-maps falls below 0.5.", unit="Å", default=None
    )
    model: typing.Optional[str] = output("Name of the model.", default=None)
    accuracy: typing.Optional[float] = output(
        "Fraction of the subtomograms with the class of the input; null if the comparison was not requested.",
        default=None,
    )
    confusion: typing.Optional[Details] = output(
        "Confusion matrix: rows, columns, matrix, table and picture; null if the comparison was not requested.",
        default=None,
    )
    p_value: typing.Optional[float] = output(
        "Fraction of random data sets without clusters, of the embedding's spread, that split into "
        "clusters as tight as these. Above 0.05, no clusters were found.",
        default=None,
    )
    embedding: typing.Optional[str] = output(
        "Table of the embedding: name, class and components of each subtomogram.", path="file", default=None
    )
    pictures: typing.Optional[typing.List[str]] = output("Pictures.", path="file", default=None)
    aligned: typing.Optional[str] = output(
        "How the subtomograms were aligned to be clustered: 'given', 'search' or 'none'.", default=None
    )


COMMANDS = (
    Command(
        "train-classifier",
        TrainClassifierConfig,
        TrainClassifierOutputs,
        gpu=True,
        several=True,
        example="cryodl train-classifier --subtomograms labelled.star --output models/classes",
    ),
    Command(
        "classify-subtomograms",
        ClassifySubtomogramsConfig,
        ClassifySubtomogramsOutputs,
        gpu=True,
        example="cryodl classify-subtomograms --subtomograms all.star --model models/classes --output classified.star\n"
        "cryodl classify-subtomograms --subtomograms aligned.star --classes 4 --output grouped.star",
        kept="chunk",
    ),
)
