# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that clusters subtomograms."""

import dataclasses
import typing

from ..fields import device_field, output_file_field, seed_field, threads_field
from ..outputs import Counts, Outputs, Texts, output
from ..params import param
from ..search_fields import resolution_field
from .subtomogram_fields import diameter_field, subtomogram_contrast_field, subtomograms_field, tilt_field
from .tilt_fields import tilt_problems


@dataclasses.dataclass(frozen=True)
class ClusterSubtomogramsConfig:
    """Group subtomograms without labels. Pairs are compared where the missing wedge of neither hides the signal."""

    subtomograms: str = subtomograms_field("Subtomograms to group.")
    output: str = output_file_field(
        "STAR file to write, with rlnClassNumber; beside it averages NAME_class001.mrc ..., the embedding "
        "NAME_embedding.csv and pictures."
    )
    classes: int = param("Number of groups.", default=3, label="Classes", minimum=1, maximum=100)
    embedding: str = param(
        "How subtomograms are embedded. similarity: by the correlations of all pairs. pca: principal components of the "
        "differences from the mean. autoencoder: a small 3-D network, with a loss on the measured Fourier coefficients "
        "alone.",
        default="pca",
        label="Embedding",
        choices=("pca", "similarity", "autoencoder"),
    )
    align: str = param(
        "auto: angles of the STAR file, or alignment to a common average if it has none or all are zero. given: those "
        "of the file. search: always aligned anew. none: taken as they are.",
        default="auto",
        label="Alignment",
        choices=("auto", "given", "search", "none"),
    )
    components: int = param("Dimensions of the embedding.", default=8, label="Components", minimum=1, maximum=200)
    compensate: bool = param(
        "Compare only Fourier coefficients that were measured in both subtomograms. Off: for comparison.",
        default=True,
        label="Compensate the missing wedge",
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
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        """Sentences about fields that contradict each other, or belong together and are not; empty if all is well."""
        return tilt_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class ClusterSubtomogramsOutputs(Outputs):
    """What `cluster-subtomograms` wrote."""

    subtomograms: str = output(
        "STAR file with the classes.", path="file", becomes="outputClasses: SetOfClassesSubTomograms"
    )
    counts: Counts = output("Subtomograms of each class.")
    averages: Texts = output("Average of each class.", path="file", becomes="outputAverages: SetOfAverageSubTomograms")
    resolutions: typing.Dict[str, typing.Optional[float]] = output(
        "Where the FSC of the class's halves falls below 0.5.", unit="Å"
    )
    chance: float = output(
        "Part of single clouds without groups, of the embedding's spread, that fall into groups as tight. Above 0.05 "
        "nothing was found."
    )
    embedding: str = output("Table of name, class and components.", path="file")
    pictures: typing.List[str] = output("Pictures.", path="file")
    aligned: str = output("How they were aligned: 'given', 'search' or 'none'.")
    contrast: str = output("'bright' or 'dark' protein of the subtomograms.")
    pixel_size: typing.Optional[float] = output("Of the subtomograms and the averages.", unit="Å/px", default=None)
