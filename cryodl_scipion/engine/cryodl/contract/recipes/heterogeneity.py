# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command on continuous heterogeneity, of particles and of subtomograms."""

import typing

from .. import fields
from ..command import Command, Config, MapsOutputs, found, output, param
from ..tomograms import tomogram_fields

# Append at the end.
LATENT_METHODS = ("linear", "gaussian", "auto")
# Number of particles, and of subtomograms, needed for each dimension of a latent space.
PARTICLES_PER_DIMENSION, SUBTOMOGRAMS_PER_DIMENSION = 100, 25
# Fewest dimensions that UMAP draws in two.
UMAP_DIMENSIONS = 3


class FitHeterogeneityConfig(Config):
    """Fit a latent space to oriented particles or aligned subtomograms: how the molecule moves, what it lacks, or that
    neither is found."""

    particles: str = param(
        "Particles with angles, shifts and CTF (STAR file of RELION 3.1 or later, with its image stacks), or aligned "
        "subtomograms with a volume or a stack of tilt images for each and, if available, its 3-D CTF or weights "
        "(rlnCtfImage).",
        path="file",
    )
    output: str = fields.output_folder(
        "Folder for particles.star or subtomograms.star (with cryodlLatent1 ...), heterogeneity.json and maps. It "
        "must not exist."
    )
    reference: typing.Optional[str] = param(
        "Map of the consensus refinement (.mrc), or an atomic model; particles need it, subtomograms do not. It is "
        "compared with the map reconstructed from the particles, and shows where the molecule is.",
        None,
        path="file",
        none_means="the average of the subtomograms",
    )
    method: str = param(
        "linear: principal components of the volumes. gaussian, for particles: the molecule is a set of Gaussians "
        "moved by a few anchors, with latent coordinates from a neural network; for motions, and for few or noisy "
        "particles. auto: linear; of particles, if its test finds no motion, gaussian is tested as well, and the "
        "p-value is corrected for two tests.",
        "auto",
        choices=LATENT_METHODS,
    )
    latent: int = param("Number of dimensions of the latent space.", 4, label="Latent dimensions", limits=(1, 20))
    mask: typing.Optional[str] = param(
        "Map that is 1 where the molecule may change and 0 elsewhere, in the frame of the reference or of the aligned "
        "subtomograms.",
        None,
        path="file",
        none_means="determined from the particles",
    )
    resolution: typing.Optional[float] = fields.resolution(
        "Resolution limit of the images or subtomograms that are fitted.",
        none_means="1/24 of the box size; of subtomograms four pixels",
    )
    maps: int = param(
        "Number of maps along each axis of the latent space.", 5, label="Maps along an axis", limits=(2, 50)
    )
    axes: int = param(
        "Number of axes of the latent space along which maps are reconstructed.",
        1,
        label="Axes with maps",
        limits=(0, 20),
    )
    clusters: int = param("Number of clusters of the particles in the latent space (k-means).", 4, limits=(1, 100))
    classes: typing.Optional[int] = param(
        "Number of discrete classes of particles, for mixtures of compositions. They are fitted as a mixture of "
        "normal distributions in the latent space; each has a map, half-maps and rlnClassNumber. 0: the number is "
        "determined (Bayesian information criterion).",
        None,
        label="Discrete classes",
        limits=(0, 100),
        none_means="none",
    )
    umap: bool = param(
        "Also draw the latent space in two dimensions that keep neighbours together (UMAP): cryodlUmap1, cryodlUmap2. "
        "For three latent dimensions or more. The engine's environment needs umap-learn, which is not installed by "
        "default.",
        False,
        label="UMAP",
        expert=True,
    )
    particle_diameter: typing.Optional[float] = tomogram_fields.diameter()
    tilt_min: float = tomogram_fields.tilt("Minimum", -60.0)
    tilt_max: float = tomogram_fields.tilt("Maximum", 60.0)
    contrast: str = fields.particle_contrast()

    def check_together(self) -> typing.List[str]:
        return tomogram_fields.tilt_problems(self) + found(
            (
                self.axes > self.latent,
                f"Axes with maps (--axes) is {self.axes}, but the latent space has {self.latent} (--latent). Give "
                f"{self.latent} or fewer, or more dimensions.",
            ),
            (
                self.umap and self.latent < UMAP_DIMENSIONS,
                f"UMAP (--umap) draws latent spaces of {UMAP_DIMENSIONS} dimensions or more, but the latent space has "
                f"{self.latent} (--latent). Leave UMAP out, or give more dimensions.",
            ),
            (
                self.classes is not None and self.method == "gaussian",
                f"Discrete classes (--classes) need Method (--method) linear, but it is {self.method}. Change the "
                "method, or leave the classes out.",
            ),
        )


class FitHeterogeneityOutputs(MapsOutputs):
    particles: str = output(
        "STAR file of the particles or subtomograms with latent coordinates and clusters, without those set apart.",
        path="file",
        becomes="outputParticles: SetOfParticles, outputFlexParticles: SetOfParticlesFlex, outputSubtomograms: "
        "SetOfSubTomograms",
    )
    heterogeneity: str = output("heterogeneity.json.", path="file")
    verdict: str = output("Verdict: 'motion' (the particles differ, see heterogeneity.json) or 'no motion'.")
    p_value: float = output("Probability of this much variability without motion.")
    variability: float = output("Variability as a fraction of the molecule's power in the images or subtomograms.")
    mean: str = output("Mean map.", path="file", becomes="outputMean: Volume")
    components: typing.List[str] = output("Maps of the principal components.", path="file")
    paths: typing.List[typing.List[str]] = output(
        "Maps along each axis; their half-maps end in _half1.mrc and _half2.mrc.",
        becomes="outputVolumes: SetOfVolumes, outputAverages: SetOfAverageSubTomograms",
    )
    picture: str = output("Picture of the latent space.", path="file")
    count: int = output("Particles or subtomograms.")
    latent: int = output("Number of latent dimensions.")
    classes: typing.List[str] = output(
        "Maps of the discrete classes, class 1 first.", path="file", default=(), becomes="outputClasses: SetOfClasses3D"
    )
    umap: bool = output("Whether the particles have coordinates of UMAP.", default=False)
    method: str = output("Method that the latent coordinates are from: 'linear' or 'gaussian'.", default="")
    contrast: str = output("Contrast of protein, 'bright' or 'dark'.", default="")
    apart: typing.Optional[str] = output(
        "STAR file of the particles that are something else, if there are any.",
        path="file",
        default=None,
        becomes="outputApart: SetOfParticles",
    )
    apart_count: int = output("Particles in it.", default=0)


COMMANDS = (
    Command(
        "fit-heterogeneity",
        FitHeterogeneityConfig,
        FitHeterogeneityOutputs,
        fresh="Output folder",
        gpu=True,
        seeded=True,
        example="cryodl fit-heterogeneity --particles refined.star --reference map.mrc --output latent/\n"
        "Of subtomograms: cryodl fit-heterogeneity --particles aligned.star --latent 2 --output latent/",
        kept="the same command continues the method gaussian after its last round; the method linear begins anew.",
    ),
)
