# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that simulate."""

import typing

from .. import fields
from ..command import Command, Config, ImagesOutputs, Paths, even_problems, found, output, param

STATES = ("structures", "missing_chains", "domain")  # fields that make several states, one at a time


class SimulateParticlesConfig(Config):
    """Simulate particle images of a structure, with known orientations, shifts and CTF, and their noise-free
    projections."""

    structure: str = fields.structure()
    pixel_size: float = fields.new_pixel_size("Pixel size of the simulated images.")
    box: int = fields.box_size("Box size of the images; an even number.", limits=(16, 2048))
    count: int = param("Number of particles to simulate.", label="Number of particles", limits=(1, 10000000))
    snr: float = fields.snr(
        "Signal-to-noise ratio: variance of the noise-free images with their CTF over the variance of the noise. SNR "
        "area defines where the variance of the signal is measured."
    )
    output: str = fields.output_file(
        "STAR file to write (RELION 3.1: true angles, shifts, CTF, half sets). NAME.mrcs, NAME_clean.mrcs "
        "(projections without CTF and noise) and NAME_map.mrc are written beside it."
    )
    max_shift: float = fields.max_shift(
        "Maximum shift of a particle from the centre of its box, in x and in y.", default=5.0
    )
    orientations: typing.Optional[str] = fields.orientations()
    per_micrograph: int = param(
        "Number of particles per micrograph; they share its defocus.",
        50,
        label="Particles per micrograph",
        limits=(1, 1000000),
    )
    contrast: str = fields.protein_contrast(default="bright")
    structures: Paths = param(
        "Further structures of a mixture. The middle of a map's box, or a model's centre of mass, is that of the "
        "images; models that lie within the first one keep their place beside it.",
        (),
        label="Further structures",
        path="file",
    )
    missing_chains: typing.Optional[str] = param(
        "Chains (B) or residues (A:100-250) of the atomic model that are missing in a second state, separated by "
        "commas.",
        None,
        none_means="nothing",
    )
    domain: typing.Optional[str] = param(
        "Chains or residues of the atomic model that rotate about a hinge, separated by commas.",
        None,
        none_means="nothing moves",
    )
    hinge_axis: typing.Optional[str] = param(
        "Direction x,y,z of the hinge axis, in the model's coordinate frame. The axis passes through the contact "
        "between the domain and the rest.",
        None,
        none_means="perpendicular to the domain",
    )
    hinge_range: float = param(
        "Total range of the rotation, half of it to each side, uniformly distributed.", 45.0, "°", limits=(0, 360)
    )
    hinge_states: int = param("Number of steps of the rotation.", 31, limits=(2, 1000))
    weights: typing.Optional[str] = param(
        "Relative numbers of particles of the states, in their order, separated by commas: 3,1.",
        None,
        none_means="equal",
    )
    ctf_from: typing.Optional[str] = param(
        "STAR file of particles whose CTFs are used instead of the ranges; one is drawn at random for each micrograph.",
        None,
        label="CTFs from",
        path="file",
        none_means="CTFs are drawn from the ranges",
    )
    minimum_defocus: float = fields.minimum_defocus()
    maximum_defocus: float = fields.maximum_defocus()
    astigmatism: float = fields.astigmatism()
    voltage: float = fields.voltage()
    spherical_aberration: float = fields.cs()
    amplitude_contrast: float = fields.amplitude_contrast()
    snr_area: str = param(
        "Area over which the variance of the noise-free images is measured. box: the whole box, as in most "
        "publications. particle: a circle of the particle's diameter, as in versions before this option; the same SNR "
        "then means a weaker signal.",
        "box",
        label="SNR area",
        choices=("box", "particle"),
        expert=True,
    )

    def check_together(self) -> typing.List[str]:
        flags = [f"--{name.replace('_', '-')}" for name in STATES if getattr(self, name)]
        several = (len(flags) > 1, f"{' and '.join(flags)} are given; give only one of them.")
        return even_problems(self, box="Box size") + found(several) + fields.defocus_problems(self)


class SimulateParticlesOutputs(ImagesOutputs):
    particles: str = output(
        "STAR file with the true angles, shifts and CTF.", path="file", becomes="outputParticles: SetOfParticles"
    )
    stack: str = output("Stack of the images.", path="file")
    clean: str = output(
        "Stack of the projections without CTF and noise.", path="file", becomes="outputClean: SetOfParticles"
    )
    map: str = output("Map of the structure.", path="file", becomes="outputVolume: Volume")
    particle_diameter: float = output("Diameter of the particle.", "Å")
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
