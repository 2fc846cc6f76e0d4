# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that classify subtomograms."""

import typing

from .. import fields, networks
from ..command import Command, Config, Counts, Details, Outputs, Texts, TrainingOutputs, found, output, param
from . import tomogram_fields


class TrainClassifierConfig(Config):
    """Train a classifier of subtomograms on labelled subtomograms (rlnClassNumber)."""

    subtomograms: str = tomogram_fields.subtomograms(
        "Training subtomograms, with their class in rlnClassNumber (starting from 1). Angles are used if the file has "
        "them, but are not needed."
    )
    output: str = fields.model_folder()
    network: str = fields.network(
        "likelihood: method of this project; computes an average of each class, corrected for the missing wedge, and "
        "compares a subtomogram with all averages in all orientations, at the measured Fourier coefficients. The "
        "others are published 3-D networks, with the layers of their papers. dsrf3d: deep, small kernels (DSRF3D-v2). "
        "rb3d: residual blocks. cb3d: wide, with fewer layers.",
        default="likelihood",
        choices=networks.CLASSIFIER_NETWORKS,
    )
    class_names: typing.Tuple[str, ...] = param(
        "Names of the classes 1, 2, ..., in this order.", (), label="Names of the classes"
    )
    particle_diameter: typing.Optional[float] = tomogram_fields.diameter()
    resolution: typing.Optional[float] = fields.resolution(
        "Resolution limit of the input. At lower resolution the published networks process fewer voxels and are "
        "faster.",
        none_means="likelihood: three pixels, or a twelfth of the box size if that is more; the others: no limit",
        limits=(4, 500),
    )
    tilt_min: float = tomogram_fields.tilt("Minimum", -60.0)
    tilt_max: float = tomogram_fields.tilt("Maximum", 60.0)
    contrast: str = tomogram_fields.subtomogram_contrast()
    steps: typing.Optional[int] = fields.steps()
    batch_size: typing.Optional[int] = fields.batch_size("Subtomograms per training step.")
    seed: int = fields.seed()

    def check_together(self) -> typing.List[str]:
        return tomogram_fields.tilt_problems(self)


class TrainClassifierOutputs(TrainingOutputs):
    classes: typing.List[str] = output("Names of the classes.")
    validation: Details = output(
        "Validation metrics: accuracy, interval (95 %), balanced_accuracy (mean of the classes' own), number, "
        "confusion (rows: true class, columns: assigned class) and calibration_error."
    )
    contrast: str = output("Contrast of protein in the subtomograms, 'bright' or 'dark'.")


class ClassifySubtomogramsConfig(Config):
    """Assign a class to each subtomogram: by a classifier, or as clusters of those that show the same, without
    labels. With a classifier, class 0 is of no class of its training."""

    subtomograms: str = tomogram_fields.subtomograms("Subtomograms to classify.")
    output: str = fields.output_file(
        "STAR file to write: all columns of the input, with rlnClassNumber; with a classifier the probability of "
        "every class (unknown: 0), cryodlConfidence (no probability, no q-value), and angles and shifts if it finds "
        "them. Beside it: averages, NAME_class001.mrc ..., and the table of an embedding, NAME_embedding.csv."
    )
    model: typing.Optional[str] = fields.model(
        "Model folder of a classifier.", default=None, none_means="subtomograms are clustered without labels"
    )
    rejected_fraction: typing.Optional[float] = param(
        "Rejection threshold of a classifier, given as the fraction of subtomograms of the trained classes that may "
        "be called unknown, those with the highest out-of-distribution scores. 0: none is rejected.",
        None,
        none_means="0.02; with few validation subtomograms, the smallest fraction that they resolve, at most 0.05",
        limits=(0, 0.9),
    )
    ground_truth: bool = param(
        "Use the input's rlnClassNumber as ground truth of a classifier, and compute accuracy and confusion matrix.",
        False,
        label="Compare with the input's classes",
    )
    classes: int = param("Number of clusters, without a classifier.", 3, limits=(1, 100))
    embedding: str = param(
        "How subtomograms are embedded before they are clustered. similarity: from the correlations of all pairs. "
        "pca: principal components of the differences from the mean. autoencoder: a small 3-D network, with a loss on "
        "only the measured Fourier coefficients.",
        "pca",
        choices=("pca", "similarity", "autoencoder"),
    )
    align: str = param(
        "How subtomograms are aligned before they are clustered. given: by the angles of the STAR file. search: to a "
        "common average. none: not aligned. auto: given, or search if the file has no angles or all are zero.",
        "auto",
        label="Alignment",
        choices=("auto", "given", "search", "none"),
    )
    particle_diameter: typing.Optional[float] = tomogram_fields.diameter()
    resolution: typing.Optional[float] = fields.resolution(
        "Resolution limit of the comparison of those to cluster.", none_means="four pixels", limits=(4, 500)
    )
    tilt_min: float = tomogram_fields.tilt("Minimum", -60.0)
    tilt_max: float = tomogram_fields.tilt("Maximum", 60.0)
    contrast: str = tomogram_fields.subtomogram_contrast()
    seed: int = fields.seed()

    def check_together(self) -> typing.List[str]:
        of_classifier = self.ground_truth or self.rejected_fraction is not None
        needs = "Rejected fraction (--rejected-fraction) and --ground-truth need a classifier (--model)."
        return found((self.model is None and of_classifier, needs)) or tomogram_fields.tilt_problems(self)


class ClassifySubtomogramsOutputs(Outputs):
    subtomograms: str = output(
        "STAR file with classes, and probabilities of a classifier.",
        path="file",
        becomes="outputClasses: SetOfClassesSubTomograms, outputUnknown: SetOfSubTomograms",
    )
    counts: Counts = output("Number of subtomograms of each class, and of unknown ones of a classifier.")
    averages: Texts = output("Average of each class.", path="file", becomes="outputAverages: SetOfAverageSubTomograms")
    contrast: str = output("Contrast of protein in the subtomograms, 'bright' or 'dark'.")
    pixel_size: typing.Optional[float] = output("Pixel size of the subtomograms and averages.", "Å/px", default=None)
    resolutions: typing.Optional[typing.Dict[str, typing.Optional[float]]] = output(
        "Resolution at which the FSC of the class's half-maps falls below 0.5.", "Å", default=None
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
        "Fraction of random data sets without clusters, of the embedding's spread, that split into clusters as tight "
        "as these. Above 0.05, no clusters were found.",
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
