# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that clusters subtomograms."""

import dataclasses
import typing

from ..command import Command
from ..fields import output_file_field, seed_field
from ..outputs import Counts, Outputs, Texts, output
from ..params import param
from ..search_fields import resolution_field
from .subtomogram_fields import diameter_field, subtomogram_contrast_field, subtomograms_field, tilt_field
from .tilt_fields import tilt_problems


@dataclasses.dataclass(frozen=True)
class ClusterSubtomogramsConfig:
    """Cluster subtomograms without labels. Pairs are compared at the Fourier coefficients that were measured in
    both."""

    subtomograms: str = subtomograms_field("Subtomograms to cluster.")
    output: str = output_file_field(
        "STAR file to write, with rlnClassNumber. Averages NAME_class001.mrc ..., the embedding NAME_embedding.csv "
        "and pictures are written beside it."
    )
    classes: int = param("Number of clusters.", default=3, label="Classes", minimum=1, maximum=100)
    embedding: str = param(
        "How subtomograms are embedded. similarity: from the correlations of all pairs. pca: principal components "
        "of the differences from the mean. autoencoder: a small 3-D network, with a loss on only the measured "
        "Fourier coefficients.",
        default="pca",
        label="Embedding",
        choices=("pca", "similarity", "autoencoder"),
    )
    align: str = param(
        "How subtomograms are aligned. given: by the angles of the STAR file. search: to a common average. none: "
        "not aligned. auto: given, or search if the file has no angles or all are zero.",
        default="auto",
        label="Alignment",
        choices=("auto", "given", "search", "none"),
    )
    components: int = param(
        "Number of dimensions of the embedding.", default=8, label="Components", minimum=1, maximum=200
    )
    compensate: bool = param(
        "Compare only Fourier coefficients that were measured in both subtomograms. Turn it off only for comparison.",
        default=True,
        label="Compensate for the missing wedge",
        expert=True,
    )
    particle_diameter: typing.Optional[float] = diameter_field()
    resolution: typing.Optional[float] = resolution_field(
        "Resolution limit of the comparison.", "four pixels", minimum=4, maximum=500
    )
    tilt_min: float = tilt_field("Minimum", -60.0)
    tilt_max: float = tilt_field("Maximum", 60.0)
    contrast: str = subtomogram_contrast_field()
    seed: int = seed_field()

    def check_together(self) -> typing.List[str]:
        """Problems between fields: values that contradict each other, or fields that must be given together; else
        empty."""
        return tilt_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class ClusterSubtomogramsOutputs(Outputs):
    """What `cluster-subtomograms` wrote."""

    subtomograms: str = output(
        "STAR file with the classes.", path="file", becomes="outputClasses: SetOfClassesSubTomograms"
    )
    counts: Counts = output("Number of subtomograms of each class.")
    averages: Texts = output("Average of each class.", path="file", becomes="outputAverages: SetOfAverageSubTomograms")
    resolutions: typing.Dict[str, typing.Optional[float]] = output(
        "Resolution at which the FSC of the class's half-maps falls below 0.5.", unit="Å"
    )
    p_value: float = output(
        "Fraction of random data sets without clusters, of the embedding's spread, that split into "
        "clusters as tight as these. Above 0.05, no clusters were found."
    )
    embedding: str = output("Table of the embedding: name, class and components of each subtomogram.", path="file")
    pictures: typing.List[str] = output("Pictures.", path="file")
    aligned: str = output("How the subtomograms were aligned: 'given', 'search' or 'none'.")
    contrast: str = output("Contrast of protein in the subtomograms, 'bright' or 'dark'.")
    pixel_size: typing.Optional[float] = output(
        "Pixel size of the subtomograms and averages.", unit="Å/px", default=None
    )


COMMANDS = (
    Command(
        "cluster-subtomograms",
        ClusterSubtomogramsConfig,
        ClusterSubtomogramsOutputs,
        gpu=True,
        example="cryodl cluster-subtomograms --subtomograms aligned.star --classes 4 --output grouped.star",
        kept="round",
    ),
)
