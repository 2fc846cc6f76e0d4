# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that use latent coordinates of particles."""

import dataclasses
import typing

from ..fields import (
    output_file_field,
    output_folder_field,
    particle_contrast_field,
    particles_field,
    seed_field,
    threads_field,
)
from ..outputs import Outputs, output
from ..params import param
from ..search_fields import mask_diameter_field


@dataclasses.dataclass(frozen=True)
class SelectLatentConfig:
    """Take the particles of a region or of clusters of a latent space."""

    particles: str = particles_field("Particles of fit-heterogeneity (with cryodlLatent1 ...).")
    output: str = output_file_field("STAR file to write: the chosen particles, all of their columns.")
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
        """Sentences about fields that contradict each other, or belong together and are not; empty if all is well."""
        if self.region or self.clusters:
            return []
        return ["Neither a region (--region) nor clusters (--clusters) are given; give one or both."]


@dataclasses.dataclass(frozen=True)
class LatentVolumesConfig:
    """Reconstruct maps at points of a latent space, or along its dense regions, from the particles near to them."""

    particles: str = particles_field("Particles of fit-heterogeneity (with cryodlLatent1 ...).")
    output: str = output_folder_field("Folder for map_01.mrc ... with half-maps, and volumes.json. It must not exist.")
    axes: str = param(
        "Latent coordinates by which the distance between particles is measured, separated by commas.",
        default="1",
        label="Axes",
    )
    maps: int = param(
        "Number of maps along a path through the dense regions, from one end of the first axis to the other.",
        default=10,
        label="Maps",
        minimum=2,
        maximum=100,
    )
    points: typing.Optional[str] = param(
        "Points where maps are wanted, with commas, their coordinates with colons: -1.5:0,0:0.2. Instead of the path "
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
    mask_diameter: typing.Optional[float] = mask_diameter_field(
        "Diameter of the sphere in which the half-maps are compared.", maximum=5000
    )
    domain: typing.Optional[str] = param(
        "Mask of a domain that moves as a rigid body, as it lies in the middle map. Particles are written whose "
        "orientations and shifts are those of the domain, for a refinement of it, and a map of the molecule in its "
        "middle state: the domain is reconstructed at these, the rest at its own orientations.",
        default=None,
        label="Domain's mask",
        path="file",
        none_means="none",
    )
    contrast: str = particle_contrast_field()
    seed: int = seed_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True, eq=False)
class SelectLatentOutputs(Outputs):
    """What `select-latent` chose."""

    particles: str = output("STAR file of the chosen particles.", path="file")
    count: int = output("Chosen particles.")
    of: int = output("Particles to choose from.")
    pixel_size: typing.Optional[float] = output("Of the particle images.", unit="Å/px", default=None)


@dataclasses.dataclass(frozen=True, eq=False)
class LatentVolumesOutputs(Outputs):
    """What `latent-volumes` reconstructed."""

    volumes: typing.List[str] = output(
        "Maps; their half-maps end in _half1.mrc and _half2.mrc.",
        path="file",
        becomes="outputVolumes: SetOfVolumes, outputFlexVolumes: SetOfVolumesFlex",
    )
    record: str = output("volumes.json: coordinates, particles, resolution and FSC of each map.", path="file")
    coordinates: typing.List[typing.List[float]] = output("Of each map, in the latent space.")
    resolutions: typing.List[float] = output("Of each map, 0 where the halves never agree.", unit="Å")
    count: int = output("Particles.")
    pixel_size: float = output("Of the maps.", unit="Å/px")
    box: int = output("Side of the maps.", unit="px")
    particles: typing.Optional[str] = output(
        "STAR file of the particles with the orientations of the domain, if one is given.",
        path="file",
        default=None,
        becomes="outputParticles: SetOfParticles",
    )
    domain: typing.Optional[str] = output(
        "Map of the molecule in its middle state, the domain at these orientations.",
        path="file",
        default=None,
        becomes="outputDomain: Volume",
    )
