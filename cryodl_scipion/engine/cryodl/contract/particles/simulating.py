# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that simulate."""

import dataclasses
import typing

from ..fields import device_field, seed_field, structure_field, threads_field
from ..optics import _defocus_problems, optics_field
from ..outputs import Outputs, output
from ..params import param


@dataclasses.dataclass(frozen=True)
class SimulateParticlesConfig:
    """Simulate particle images of a structure, with exact orientations, shifts and CTF, and their clean projections."""

    structure: str = structure_field()
    pixel_size: float = param(
        "Pixel size of the images to make.", label="Pixel size", unit="Å/px", minimum=0.05, maximum=100
    )
    box: int = param("Side of the square images; even.", label="Box size", unit="px", minimum=16, maximum=2048)
    count: int = param("Number of particles.", label="Number of particles", minimum=1, maximum=10000000)
    snr: float = param(
        "Signal-to-noise ratio: variance of the clean particles with their CTF, inside their diameter, "
        "over the variance of the noise.",
        label="SNR",
        minimum=1e-6,
        maximum=1000000,
    )
    output: str = param(
        "STAR file to write (RELION 3.1: true angles, shifts, CTF, half sets). Beside it NAME.mrcs, "
        "NAME_clean.mrcs (projections without CTF and noise) and NAME_map.mrc.",
        label="Output",
        path="file",
    )
    max_shift: float = param(
        "Largest shift of a particle from its box's centre, in x and in y.",
        default=5.0,
        label="Largest shift",
        unit="Å",
        minimum=0,
        maximum=1000,
    )
    orientations: typing.Optional[str] = param(
        "STAR file with rlnAngleRot, rlnAngleTilt and rlnAnglePsi to draw the particles' orientations from.",
        default=None,
        label="Orientations",
        path="file",
        none_means="uniform over all orientations",
    )
    per_micrograph: int = param(
        "Particles that share a micrograph, and so a defocus.",
        default=50,
        label="Particles per micrograph",
        minimum=1,
        maximum=1000000,
    )
    contrast: str = param(
        "Whether protein is brighter or darker than its surroundings.",
        default="bright",
        label="Contrast",
        choices=("dark", "bright"),
    )
    defocus_min: float = optics_field("defocus_min")
    defocus_max: float = optics_field("defocus_max")
    astigmatism: float = optics_field("astigmatism")
    voltage: float = optics_field("voltage")
    spherical_aberration: float = optics_field("spherical_aberration")
    amplitude_contrast: float = optics_field("amplitude_contrast")
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        problems = []
        if self.box % 2:
            problems.append(f"Box size (--box) is {self.box} px; it must be even. Choose {self.box + 1}.")
        return problems + _defocus_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class SimulateParticlesOutputs(Outputs):
    """What `simulate-particles` wrote."""

    particles: str = output("STAR file with the true angles, shifts and CTF.", path="file")
    stack: str = output("Stack of the images.", path="file")
    clean: str = output("Stack of the projections without CTF and noise.", path="file")
    map: str = output("Map of the structure.", path="file")
    count: int = output("Particles.")
    particle_diameter: float = output("Diameter of the particle.", unit="Å")
    pixel_size: float = output("Of the images and the map.", unit="Å/px")
    box: int = output("Side of the images.", unit="px")
