# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that simulates micrographs."""

import typing

from .. import fields
from ..command import Command, Config, Outputs, Paths, found, output, param


class SimulateMicrographsConfig(Config):
    """Simulate micrographs of a structure or map, with exact coordinates, orientations and CTF."""

    structure: str = param("Map (.mrc, protein positive) or atomic model (.pdb, .cif, also .gz).", path="file")
    pixel_size: float = fields.new_pixel_size("Pixel size of the simulated micrographs.")
    count: int = param("Number of micrographs to simulate.", label="Number of micrographs", limits=(1, 100000))
    output: str = fields.output_folder(
        "Folder for micrographs/*.mrc, coordinates/*.star and ctf/*.txt (CTFFIND's text output). It must not exist."
    )
    size: int = param("Width and height of the square micrographs.", 1024, "px", expert=True, limits=(128, 16384))
    particles: int = param(
        "Number of particles per micrograph; fewer if they do not fit.",
        60,
        label="Particles per micrograph",
        limits=(0, 100000),
    )
    minimum_distance: float = param(
        "Minimum distance between the centres of two particles, in particle diameters; below 1 they overlap.",
        1.15,
        "diameters",
        expert=True,
        limits=(0.2, 100),
    )
    orientations: typing.Optional[str] = fields.orientations()
    snr: float = fields.snr(
        "Signal-to-noise ratio: mean square of the noise-free particles, within their diameter, over the variance of "
        "the noise. It refers to a dose of 40 e/Å².",
        default=0.05,
        limits=(1e-6, 1000),
    )
    snr_max: typing.Optional[float] = param(
        "Maximum SNR. The SNR of each micrograph is drawn log-uniformly between SNR and Maximum SNR.",
        None,
        expert=True,
        label="Maximum SNR",
        limits=(1e-6, 1000),
        none_means="all micrographs have the same SNR",
    )
    dose: float = param(
        "Total dose of the exposure. The SNR is proportional to it.", 40.0, "e/Å²", expert=True, limits=(0.1, 1000)
    )
    frames: int = param(
        "Also write a movie of each micrograph, movies/*.mrcs, with this many frames of equal dose; the true drift of "
        "each frame stands beside it in .csv. The coordinates are those in the first frame. 0: none.",
        0,
        expert=True,
        limits=(0, 1000),
    )
    drift: float = param(
        "With frames: how far the specimen moves while a movie is taken.", 20.0, "Å", expert=True, limits=(0, 1000)
    )
    noise_from: Paths = param(
        "Real micrographs whose noise spectrum is used (glob, files or list file). They must have the pixel size of "
        "the simulated micrographs. Without them, the noise is white detector noise and smooth solvent noise.",
        (),
        label="Noise from micrographs",
        path="file",
    )
    ice: float = param(
        "Mean number of ice crystals and other contaminants per micrograph.",
        0.0,
        expert=True,
        label="Ice contamination",
        limits=(0, 1000),
    )
    aggregates: float = param(
        "Mean number of aggregates per micrograph. The coordinates do not contain their particles.",
        0.0,
        expert=True,
        limits=(0, 1000),
    )
    carbon: float = param(
        "Fraction of the micrographs that show a carbon edge.", 0.0, expert=True, label="Carbon edges", limits=(0, 1)
    )
    gradient: float = param(
        "Range of a smooth ice gradient over the micrograph, in standard deviations of the noise.",
        0.0,
        expert=True,
        label="Ice gradient",
        limits=(0, 100),
    )
    contrast: str = fields.protein_contrast(default="dark")
    box_size: typing.Optional[int] = param(
        "Also extract the particles with this box size, into particles.star (RELION 3.1, with angles and CTF) and "
        "particles/*.mrcs.",
        None,
        "px",
        limits=(8, 4096),
        none_means="particles are not extracted",
    )
    minimum_defocus: float = fields.minimum_defocus()
    maximum_defocus: float = fields.maximum_defocus()
    astigmatism: float = fields.astigmatism()
    voltage: float = fields.voltage()
    spherical_aberration: float = fields.cs()
    amplitude_contrast: float = fields.amplitude_contrast()

    def check_together(self) -> typing.List[str]:
        top = self.snr if self.snr_max is None else self.snr_max
        low = (top < self.snr, f"Maximum SNR (--snr-max) is {top:g}, below the SNR (--snr) of {self.snr:g}.")
        return fields.defocus_problems(self) or found(low)


class SimulateMicrographsOutputs(Outputs):
    folder: str = output("Output folder.", path="folder")
    micrographs: str = output(
        "Folder of the micrographs.", path="folder", becomes="outputMicrographs: SetOfMicrographs"
    )
    coordinates: str = output(
        "Folder of the coordinates with angles and CTF.", path="folder", becomes="outputCoordinates: SetOfCoordinates"
    )
    ctf: str = output(
        "Folder of the CTF parameters, in CTFFIND's format.", path="folder", becomes="outputCTF: SetOfCTF"
    )
    masks: typing.Optional[str] = output(
        "Folder of masks of the area covered by ice, carbon and aggregates.", path="folder"
    )
    particles: int = output("Total number of particles.")
    particle_diameter: float = output("Diameter of the particle.", "Å")
    particle_stack: typing.Optional[str] = output(
        "RELION's particles.star of the extracted particles.", path="file", becomes="outputParticles: SetOfParticles"
    )
    movies: typing.Optional[str] = output("Folder of the movies.", path="folder", default=None)
    pixel_size: typing.Optional[float] = output(
        "Pixel size of the micrographs and the extracted particles.", "Å/px", default=None
    )


COMMANDS = (
    Command(
        "simulate-micrographs",
        SimulateMicrographsConfig,
        SimulateMicrographsOutputs,
        fresh="Output folder",
        seeded=True,
        gpu=True,
        example="cryodl simulate-micrographs --structure map.mrc --pixel-size 1.77 --count 10 --output simulated/",
        kept="micrograph",
    ),
)
