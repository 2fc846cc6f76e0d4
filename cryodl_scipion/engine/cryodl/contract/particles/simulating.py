# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that simulate."""

import dataclasses
import typing

from ..command import Command, Outputs, output
from ..fields import (
    Paths,
    box_size_field,
    defocus_problems,
    max_shift_field,
    new_pixel_size_field,
    optics_field,
    orientations_field,
    output_file_field,
    protein_contrast_field,
    snr_field,
    structure_field,
)
from ..params import Config, even_problems, found, param

STATES = ("structures", "missing_chains", "domain")  # fields that make several states, one at a time


@dataclasses.dataclass(frozen=True)
class SimulateParticlesConfig(Config):
    """Simulate particle images of a structure, with known orientations, shifts and CTF, and their noise-free
    projections."""

    structure: str = structure_field()
    pixel_size: float = new_pixel_size_field("Pixel size of the simulated images.")
    box: int = box_size_field("Box size of the images; an even number.", maximum=2048)
    count: int = param("Number of particles to simulate.", label="Number of particles", minimum=1, maximum=10000000)
    snr: float = snr_field(
        "Signal-to-noise ratio: variance of the noise-free images with their CTF over the variance of the noise. "
        "SNR area defines where the variance of the signal is measured."
    )
    output: str = output_file_field(
        "STAR file to write (RELION 3.1: true angles, shifts, CTF, half sets). NAME.mrcs, NAME_clean.mrcs "
        "(projections without CTF and noise) and NAME_map.mrc are written beside it."
    )
    max_shift: float = max_shift_field(
        "Maximum shift of a particle from the centre of its box, in x and in y.", default=5.0
    )
    orientations: typing.Optional[str] = orientations_field()
    per_micrograph: int = param(
        "Number of particles per micrograph; they share its defocus.",
        default=50,
        label="Particles per micrograph",
        minimum=1,
        maximum=1000000,
    )
    contrast: str = protein_contrast_field(default="bright")
    structures: Paths = param(
        "Further structures of a mixture, in the coordinate frame of the first.",
        default=(),
        label="Further structures",
        path="file",
    )
    missing_chains: typing.Optional[str] = param(
        "Chains (B) or residues (A:100-250) of the atomic model that are missing in a second state, separated by "
        "commas.",
        default=None,
        label="Missing chains",
        none_means="nothing",
    )
    domain: typing.Optional[str] = param(
        "Chains or residues of the atomic model that rotate about a hinge, separated by commas.",
        default=None,
        label="Domain",
        none_means="nothing moves",
    )
    hinge_axis: typing.Optional[str] = param(
        "Direction x,y,z of the hinge axis, in the model's coordinate frame. The axis passes through the contact "
        "between the domain and the rest.",
        default=None,
        label="Hinge axis",
        none_means="perpendicular to the domain",
    )
    hinge_range: float = param(
        "Total range of the rotation, half of it to each side, uniformly distributed.",
        default=45.0,
        label="Hinge range",
        unit="°",
        minimum=0,
        maximum=360,
    )
    hinge_states: int = param(
        "Number of steps of the rotation.", default=31, label="Hinge states", minimum=2, maximum=1000
    )
    weights: typing.Optional[str] = param(
        "Relative numbers of particles of the states, in their order, separated by commas: 3,1.",
        default=None,
        label="Weights",
        none_means="equal",
    )
    ctf_from: typing.Optional[str] = param(
        "STAR file of particles whose CTFs are used instead of the ranges; one is drawn at random for each micrograph.",
        default=None,
        label="CTFs from",
        path="file",
        none_means="CTFs are drawn from the ranges",
    )
    minimum_defocus: float = optics_field("minimum_defocus")
    maximum_defocus: float = optics_field("maximum_defocus")
    astigmatism: float = optics_field("astigmatism")
    voltage: float = optics_field("voltage")
    spherical_aberration: float = optics_field("spherical_aberration")
    amplitude_contrast: float = optics_field("amplitude_contrast")
    snr_area: str = param(
        "Area over which the variance of the noise-free images is measured. box: the whole box, as in most "
        "publications. particle: a circle of the particle's diameter, as in versions before this option; the same "
        "SNR then means a weaker signal.",
        default="box",
        label="SNR area",
        choices=("box", "particle"),
        expert=True,
    )

    def check_together(self) -> typing.List[str]:
        flags = [f"--{name.replace('_', '-')}" for name in STATES if getattr(self, name)]
        several = (len(flags) > 1, f"{' and '.join(flags)} are given; give only one of them.")
        return even_problems(self, box="Box size") + found(several) + defocus_problems(self)


@dataclasses.dataclass(frozen=True, eq=False)
class SimulateParticlesOutputs(Outputs):
    """What `simulate-particles` wrote."""

    particles: str = output(
        "STAR file with the true angles, shifts and CTF.", path="file", becomes="outputParticles: SetOfParticles"
    )
    stack: str = output("Stack of the images.", path="file")
    clean: str = output(
        "Stack of the projections without CTF and noise.", path="file", becomes="outputClean: SetOfParticles"
    )
    map: str = output("Map of the structure.", path="file", becomes="outputVolume: Volume")
    count: int = output("Particles.")
    particle_diameter: float = output("Diameter of the particle.", unit="Å")
    pixel_size: float = output("Pixel size of the images and the map.", unit="Å/px")
    box: int = output("Box size of the images.", unit="px")
    states: typing.List[str] = output(
        "Maps of the true states of a mixture, in the order of cryodlTrueState.", path="file", default=()
    )


COMMANDS = (
    Command(
        "simulate-particles",
        SimulateParticlesConfig,
        SimulateParticlesOutputs,
        seeded=True,
        gpu=True,
        example="cryodl dev simulate-particles --structure map.mrc --pixel-size 3.5 --box 64 --count 1000 --snr 0.05 "
        "--output particles.star",
        kept="chunk",
        dev=True,
    ),
)
