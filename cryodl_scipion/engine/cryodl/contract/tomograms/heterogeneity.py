# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command on continuous heterogeneity of subtomograms."""

import dataclasses
import typing

from ..command import Command
from ..fields import output_folder_field, seed_field
from ..latent_fields import (
    axes_field,
    latent_clusters_field,
    latent_field,
    latent_problems,
    maps_field,
    umap_field,
    variability_field,
)
from ..outputs import Outputs, output
from ..params import param
from ..search_fields import resolution_field
from .subtomogram_fields import diameter_field, subtomogram_contrast_field, subtomograms_field, tilt_field
from .tilt_fields import tilt_problems

# Number of subtomograms needed for each dimension of a latent space.
SUBTOMOGRAMS_PER_DIMENSION = 25


@dataclasses.dataclass(frozen=True)
class FitSubtomogramHeterogeneityConfig:
    """Fit a latent space to aligned subtomograms: how the molecule moves, what it lacks, or that neither is found."""

    subtomograms: str = subtomograms_field("Aligned subtomograms, with angles and shifts.")
    output: str = output_folder_field(
        "Folder for subtomograms.star (with cryodlLatent1 ...), heterogeneity.json and averages. It must not exist."
    )
    latent: int = latent_field()
    mask: typing.Optional[str] = param(
        "Map that is 1 where the molecule may change and 0 elsewhere, in the frame of the aligned subtomograms.",
        default=None,
        label="Mask",
        path="file",
        none_means="determined from the subtomograms",
    )
    particle_diameter: typing.Optional[float] = diameter_field()
    resolution: typing.Optional[float] = resolution_field(
        "Resolution limit of the subtomograms that are fitted.", "four pixels", minimum=4, maximum=500
    )
    maps: int = maps_field("averages")
    axes: int = axes_field("averages")
    clusters: int = latent_clusters_field("subtomograms")
    umap: bool = umap_field()
    tilt_min: float = tilt_field("Minimum", -60.0)
    tilt_max: float = tilt_field("Maximum", 60.0)
    tolerance: float = variability_field("the missing wedge, CTF and alignment", "subtomograms", 0.02)
    contrast: str = subtomogram_contrast_field()
    seed: int = seed_field()

    def check_together(self) -> typing.List[str]:
        """Problems between fields: values that contradict each other, or fields that must be given together; else
        empty."""
        return latent_problems(self) + tilt_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class FitSubtomogramHeterogeneityOutputs(Outputs):
    """What `fit-subtomogram-heterogeneity` found."""

    subtomograms: str = output(
        "STAR file of the subtomograms with latent coordinates and clusters.",
        path="file",
        becomes="outputSubtomograms: SetOfSubTomograms",
    )
    heterogeneity: str = output("heterogeneity.json.", path="file")
    verdict: str = output("Verdict: 'motion' or 'no motion'.")
    p_value: float = output("Probability of this much variability without motion.")
    variability: float = output("Variability as a fraction of the molecule's power in the subtomograms.")
    mean: str = output("Mean map.", path="file", becomes="outputMean: AverageSubTomogram")
    components: typing.List[str] = output("Maps of the principal components.", path="file")
    paths: typing.List[typing.List[str]] = output(
        "Averages along each axis; their half-maps end in _half1.mrc and _half2.mrc.",
        becomes="outputAverages: SetOfAverageSubTomograms",
    )
    picture: str = output("Picture of the latent space.", path="file")
    count: int = output("Subtomograms.")
    latent: int = output("Number of latent dimensions.")
    contrast: str = output("Contrast of protein in the subtomograms, 'bright' or 'dark'.")
    pixel_size: float = output("Pixel size of the maps.", unit="Å/px")
    box: int = output("Box size of the maps.", unit="px")
    umap: bool = output("Whether the subtomograms have coordinates of UMAP.", default=False)


COMMANDS = (
    Command(
        "fit-subtomogram-heterogeneity",
        FitSubtomogramHeterogeneityConfig,
        FitSubtomogramHeterogeneityOutputs,
        example="cryodl fit-subtomogram-heterogeneity --subtomograms aligned.star --latent 2 --output latent/",
    ),
)
