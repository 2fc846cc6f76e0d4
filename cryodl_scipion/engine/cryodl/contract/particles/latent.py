# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that use latent coordinates of particles."""

import typing

from .. import fields
from ..command import Command, Config, MapsOutputs, Outputs, found, output, param


class SelectLatentConfig(Config):
    """Select the particles, or the subtomograms, in a region or in clusters of a latent space."""

    particles: str = fields.particles("Particles or subtomograms of fit-heterogeneity (with cryodlLatent1 ...).")
    output: str = fields.output_file("STAR file to write: the selected particles with all their columns.")
    region: typing.Optional[str] = param(
        "Ranges AXIS:LOW:HIGH of latent coordinates, separated by commas, such as 1:-2:0.5,2:0:3. Particles within "
        "all ranges are selected.",
        None,
        none_means="everywhere",
    )
    clusters: typing.Optional[str] = param(
        "Numbers of clusters (cryodlCluster), separated by commas. Particles of any of them are selected.",
        None,
        none_means="all",
    )

    def check_together(self) -> typing.List[str]:
        nothing = "Neither a region (--region) nor clusters (--clusters) are given. Give one or both."
        return found((not self.region and not self.clusters, nothing))


class LatentVolumesConfig(Config):
    """Reconstruct maps at points of a latent space, or along its dense regions, from the particles nearby."""

    particles: str = fields.particles("Particles of fit-heterogeneity (with cryodlLatent1 ...).")
    output: str = fields.output_folder("Folder for map_01.mrc ... with half-maps, and volumes.json. It must not exist.")
    axes: str = param("Latent coordinates (axes) that define the distance between particles, separated by commas.", "1")
    maps: int = param(
        "Number of maps along a path through the dense regions, from one end of the first axis to the other.",
        10,
        limits=(2, 100),
    )
    points: typing.Optional[str] = param(
        "Points at which maps are reconstructed, instead of the path through the dense regions. Separate points by "
        "commas and coordinates by colons: -1.5:0,0:0.2.",
        None,
        none_means="a path through the dense regions",
    )
    per_map: typing.Optional[int] = param(
        "Number of particles within one standard deviation of a map's Gaussian weights.",
        None,
        label="Particles per map",
        limits=(2, 10**7),
        none_means="number of particles over twice the number of maps",
    )
    domain: typing.Optional[str] = param(
        "Mask of a domain that moves as a rigid body, at its position in the middle map. Particles with the "
        "orientations and shifts of the domain are written, for a focused refinement, and a map of the molecule in "
        "its middle state, in which the domain is reconstructed at these orientations and the rest at the original "
        "ones.",
        None,
        label="Domain mask",
        path="file",
        none_means="none",
    )
    contrast: str = fields.particle_contrast()


class SelectLatentOutputs(Outputs):
    particles: str = output("STAR file of the selected particles.", path="file")
    count: int = output("Number of selected particles.")
    input_count: int = output("Number of input particles.")
    pixel_size: typing.Optional[float] = output("Pixel size of the particle images.", "Å/px", default=None)


class LatentVolumesOutputs(MapsOutputs):
    volumes: typing.List[str] = output(
        "Maps; their half-maps end in _half1.mrc and _half2.mrc.",
        path="file",
        becomes="outputVolumes: SetOfVolumes, outputFlexVolumes: SetOfVolumesFlex",
    )
    record: str = output("volumes.json: coordinates, particles, resolution and FSC of each map.", path="file")
    coordinates: typing.List[typing.List[float]] = output("Latent coordinates of each map.")
    resolutions: typing.List[float] = output(
        "Resolution of each map; 0 if the half-maps do not agree at any resolution.", "Å"
    )
    count: int = output("Particles.")
    particles: typing.Optional[str] = output(
        "STAR file of the particles with the orientations of the domain, if one is given.",
        path="file",
        default=None,
        becomes="outputParticles: SetOfParticles",
    )
    domain: typing.Optional[str] = output(
        "Map of the molecule in its middle state, with the domain at these orientations.",
        path="file",
        default=None,
        becomes="outputDomain: Volume",
    )


COMMANDS = (
    Command(
        "select-latent",
        SelectLatentConfig,
        SelectLatentOutputs,
        threads=False,
        example="cryodl select-latent --particles latent/particles.star --region 1:-2:0.5 --output open.star",
        form=False,
    ),
    Command(
        "latent-volumes",
        LatentVolumesConfig,
        LatentVolumesOutputs,
        fresh="Output folder",
        seeded=True,
        example="cryodl latent-volumes --particles latent/particles.star --maps 10 --output movie/",
    ),
)
