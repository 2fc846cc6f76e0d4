# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands on continuous heterogeneity."""

import dataclasses
import typing

from ..fields import contrast_field, device_field, particles_field, seed_field, threads_field
from ..outputs import Outputs, output
from ..params import param

# Append at the end.
LATENT_METHODS = ("linear", "gaussian")
# Particles that each dimension of a latent space needs.
PARTICLES_PER_DIMENSION = 100


@dataclasses.dataclass(frozen=True)
class FitHeterogeneityConfig:
    """Fit a latent space to oriented particles: how the molecule moves or what it lacks, or that it does neither."""

    particles: str = particles_field("Particles with angles, shifts and CTF.")
    reference: str = param(
        "Map of the consensus refinement (.mrc), or an atomic model. It is compared with the "
        "particles' own map, and says where the molecule is.",
        label="Reference",
        path="file",
    )
    output: str = param(
        "Folder for particles.star (with cryodlLatent1 ...), heterogeneity.json and maps. It must not exist.",
        label="Output folder",
        path="folder",
    )
    method: str = param(
        "linear: principal components of the volumes. gaussian: the molecule as Gaussians that a few anchors move, "
        "with a deep latent coordinate; for motions and few or noisy particles.",
        default="linear",
        label="Method",
        choices=LATENT_METHODS,
    )
    latent: int = param("Dimensions of the latent space.", default=4, label="Latent dimensions", minimum=1, maximum=20)
    mask: typing.Optional[str] = param(
        "Map that is 1 where the molecule may change and 0 elsewhere.",
        default=None,
        label="Mask",
        path="file",
        none_means="found from the particles",
    )
    resolution: typing.Optional[float] = param(
        "Resolution limit of the particle images that are fitted.",
        default=None,
        label="Resolution",
        unit="Å",
        minimum=2,
        maximum=200,
        none_means="the box's width over 24",
    )
    maps: int = param(
        "Maps along each axis of the latent space.", default=5, label="Maps along an axis", minimum=2, maximum=50
    )
    axes: int = param(
        "Axes of the latent space along which maps are reconstructed.",
        default=1,
        label="Axes with maps",
        minimum=0,
        maximum=20,
    )
    clusters: int = param(
        "Clusters of the particles in the latent space (k-means).", default=4, label="Clusters", minimum=1, maximum=100
    )
    tolerance: float = param(
        "Variability, in percent of the molecule's power in the images, that does not count as "
        "motion: errors of CTF and orientation leave some.",
        default=0.1,
        label="Tolerance",
        unit="%",
        minimum=0,
        maximum=100,
        expert=True,
    )
    contrast: str = contrast_field()
    gaussians: int = param(
        "Gaussians that the molecule is made of (method gaussian).",
        default=400,
        label="Gaussians",
        minimum=50,
        maximum=4000,
        expert=True,
    )
    anchors: int = param(
        "Anchors that carry the Gaussians along (method gaussian): the fewer, the more the molecule moves in large "
        "pieces.",
        default=32,
        label="Anchors",
        minimum=2,
        maximum=100,
        expert=True,
    )
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        if self.axes <= self.latent:
            return []
        return [
            f"Axes with maps (--axes) is {self.axes}, but the latent space has {self.latent} (--latent). Give "
            f"{self.latent} or fewer, or more dimensions."
        ]


@dataclasses.dataclass(frozen=True)
class SelectLatentConfig:
    """Take the particles of a region or of clusters of a latent space."""

    particles: str = particles_field("Particles of fit-heterogeneity (with cryodlLatent1 ...).")
    output: str = param("STAR file to write: the chosen particles, all of their columns.", label="Output", path="file")
    region: typing.Optional[str] = param(
        "Ranges AXIS:LOW:HIGH of latent coordinates, with commas; particles within "
        "all of them are taken: 1:-2:0.5,2:0:3.",
        default=None,
        label="Region",
        none_means="everywhere",
    )
    clusters: typing.Optional[str] = param(
        "Numbers of clusters (cryodlCluster), with commas; particles of any of them are taken.",
        default=None,
        label="Clusters",
        none_means="all",
    )

    def check_together(self) -> typing.List[str]:
        if self.region or self.clusters:
            return []
        return ["Neither a region (--region) nor clusters (--clusters) are given; give one or both."]


@dataclasses.dataclass(frozen=True)
class LatentVolumesConfig:
    """Reconstruct maps at points of a latent space, or along its dense regions, from the particles near to them."""

    particles: str = particles_field("Particles of fit-heterogeneity (with cryodlLatent1 ...).")
    output: str = param(
        "Folder for map_01.mrc ... with half-maps, and volumes.json. It must not exist.",
        label="Output folder",
        path="folder",
    )
    axes: str = param("Latent coordinates in which particles are near, with commas.", default="1", label="Axes")
    maps: int = param(
        "Maps along the way from one end of the first axis to the other, through the dense regions.",
        default=10,
        label="Maps",
        minimum=2,
        maximum=100,
    )
    points: typing.Optional[str] = param(
        "Points where maps are wanted, with commas, their coordinates with colons: -1.5:0,0:0.2. In place of the way "
        "through the dense regions.",
        default=None,
        label="Points",
        none_means="along the dense regions",
    )
    per_map: typing.Optional[int] = param(
        "Particles within one standard deviation of a map's Gaussian weights.",
        default=None,
        label="Particles per map",
        minimum=2,
        maximum=10**7,
        none_means="all over twice the number of maps",
    )
    mask_diameter: typing.Optional[float] = param(
        "Diameter of the sphere in which the half-maps are compared.",
        default=None,
        label="Mask diameter",
        unit="Å",
        minimum=10,
        maximum=5000,
        none_means="0.9 of the box",
    )
    contrast: str = contrast_field()
    seed: int = seed_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True, eq=False)
class FitHeterogeneityOutputs(Outputs):
    """What `fit-heterogeneity` found."""

    particles: str = output("STAR file of the particles with latent coordinates and clusters.", path="file")
    heterogeneity: str = output("heterogeneity.json.", path="file")
    verdict: str = output("'motion' or 'no motion'.")
    p_value: float = output("Probability of such an answer without motion.")
    variability: float = output("Fraction of the molecule's power in the images.")
    mean: str = output("Mean map.", path="file")
    components: typing.List[str] = output("Maps of the principal components.", path="file")
    paths: typing.List[typing.List[str]] = output("Maps along each axis.")
    picture: str = output("Picture of the latent space.", path="file")
    count: int = output("Particles.")
    latent: int = output("Latent dimensions.")
    pixel_size: float = output("Of the maps.", unit="Å/px")
    box: int = output("Side of the maps.", unit="px")


@dataclasses.dataclass(frozen=True, eq=False)
class SelectLatentOutputs(Outputs):
    """What `select-latent` chose."""

    particles: str = output("STAR file of the chosen particles.", path="file")
    count: int = output("Chosen particles.")
    of: int = output("Particles to choose from.")


@dataclasses.dataclass(frozen=True, eq=False)
class LatentVolumesOutputs(Outputs):
    """What `latent-volumes` reconstructed."""

    volumes: typing.List[str] = output("Maps; their half-maps end in _half1.mrc and _half2.mrc.", path="file")
    record: str = output("volumes.json: coordinates, particles, resolution and FSC of each map.", path="file")
    coordinates: typing.List[typing.List[float]] = output("Of each map, in the latent space.")
    resolutions: typing.List[float] = output("Of each map, 0 where the halves never agree.", unit="Å")
    count: int = output("Particles.")
    pixel_size: float = output("Of the maps.", unit="Å/px")
    box: int = output("Side of the maps.", unit="px")
