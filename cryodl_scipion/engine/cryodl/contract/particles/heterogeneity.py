# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands on continuous heterogeneity."""

import dataclasses
import typing

from ..command import Command
from ..fields import output_folder_field, particle_contrast_field, particles_field, seed_field
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

# Append at the end.
LATENT_METHODS = ("linear", "gaussian", "auto")
# Number of particles needed for each dimension of a latent space.
PARTICLES_PER_DIMENSION = 100


@dataclasses.dataclass(frozen=True)
class FitHeterogeneityConfig:
    """Fit a latent space to oriented particles: how the molecule moves, what it lacks, or that neither is found."""

    particles: str = particles_field("Particles with angles, shifts and CTF.")
    reference: str = param(
        "Map of the consensus refinement (.mrc), or an atomic model. It is compared with the map reconstructed from "
        "the particles, and shows where the molecule is.",
        label="Reference",
        path="file",
    )
    output: str = output_folder_field(
        "Folder for particles.star (with cryodlLatent1 ...), heterogeneity.json and maps. It must not exist."
    )
    method: str = param(
        "linear: principal components of the volumes. gaussian: the molecule is a set of Gaussians moved by a few "
        "anchors, with latent coordinates from a neural network; for motions, and for few or noisy particles. auto: "
        "linear; if its test finds no motion, gaussian is tested as well, and the p-value is corrected for two tests.",
        default="auto",
        label="Method",
        choices=LATENT_METHODS,
    )
    latent: int = latent_field()
    mask: typing.Optional[str] = param(
        "Map that is 1 where the molecule may change and 0 elsewhere.",
        default=None,
        label="Mask",
        path="file",
        none_means="determined from the particles",
    )
    resolution: typing.Optional[float] = resolution_field(
        "Resolution limit of the particle images that are fitted.", "1/24 of the box size"
    )
    maps: int = maps_field("maps")
    axes: int = axes_field("maps")
    clusters: int = latent_clusters_field("particles")
    classes: typing.Optional[int] = param(
        "Number of discrete classes, for mixtures of compositions. They are fitted as a mixture of normal "
        "distributions in the latent space; each has a map, half-maps and rlnClassNumber. 0: the number is "
        "determined (Bayesian information criterion).",
        default=None,
        label="Discrete classes",
        minimum=0,
        maximum=100,
        none_means="none",
    )
    umap: bool = umap_field()
    tolerance: float = variability_field("CTF and orientations", "images", 0.1)
    contrast: str = particle_contrast_field()
    gaussians: int = param(
        "Number of Gaussians that represent the molecule (method gaussian).",
        default=400,
        label="Gaussians",
        minimum=50,
        maximum=4000,
        expert=True,
    )
    anchors: int = param(
        "Number of anchors that move the Gaussians (method gaussian). With fewer anchors, larger parts move rigidly.",
        default=32,
        label="Anchors",
        minimum=2,
        maximum=100,
        expert=True,
    )
    seed: int = seed_field()

    def check_together(self) -> typing.List[str]:
        """Problems between fields: values that contradict each other, or fields that must be given together; else
        empty."""
        problems = latent_problems(self)
        if self.classes is not None and self.method == "gaussian":
            problems.append(
                f"Discrete classes (--classes) need Method (--method) linear, but it is {self.method}. Change the "
                "method, or leave the classes out."
            )
        return problems


@dataclasses.dataclass(frozen=True, eq=False)
class FitHeterogeneityOutputs(Outputs):
    """What `fit-heterogeneity` found."""

    particles: str = output(
        "STAR file of the particles with latent coordinates and clusters.",
        path="file",
        becomes="outputParticles: SetOfParticles, outputFlexParticles: SetOfParticlesFlex",
    )
    heterogeneity: str = output("heterogeneity.json.", path="file")
    verdict: str = output("Verdict: 'motion' or 'no motion'.")
    p_value: float = output("Probability of this much variability without motion.")
    variability: float = output("Variability as a fraction of the molecule's power in the images.")
    mean: str = output("Mean map.", path="file", becomes="outputMean: Volume")
    components: typing.List[str] = output("Maps of the principal components.", path="file")
    paths: typing.List[typing.List[str]] = output("Maps along each axis.", becomes="outputVolumes: SetOfVolumes")
    picture: str = output("Picture of the latent space.", path="file")
    count: int = output("Particles.")
    latent: int = output("Number of latent dimensions.")
    pixel_size: float = output("Pixel size of the maps.", unit="Å/px")
    box: int = output("Box size of the maps.", unit="px")
    classes: typing.List[str] = output(
        "Maps of the discrete classes, class 1 first.", path="file", default=(), becomes="outputClasses: SetOfClasses3D"
    )
    umap: bool = output("Whether the particles have coordinates of UMAP.", default=False)
    method: str = output("Method that the latent coordinates are from: 'linear' or 'gaussian'.", default="")


COMMANDS = (
    Command(
        "fit-heterogeneity",
        FitHeterogeneityConfig,
        FitHeterogeneityOutputs,
        gpu=True,
        example="cryodl fit-heterogeneity --particles refined.star --reference map.mrc --output latent/",
        kept="the same command continues the method gaussian after its last round; the method linear begins anew.",
    ),
)
