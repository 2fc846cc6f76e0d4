# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that orient and reconstruct particles."""

import dataclasses
import typing

from ..fields import (
    device_field,
    model_field,
    output_file_field,
    particle_contrast_field,
    particles_field,
    seed_field,
    structure_field,
    threads_field,
)
from ..outputs import Outputs, output
from ..params import param
from ..search_fields import (
    angular_step_field,
    correct_ctf_field,
    mask_diameter_field,
    max_shift_field,
    resolution_field,
    symmetry_field,
)


@dataclasses.dataclass(frozen=True)
class AssignOrientationsConfig:
    """Give every particle Euler angles and shifts by comparing it with projections of a structure."""

    particles: str = particles_field("Particles to orient; the CTF is needed, angles are not.")
    structure: str = structure_field()
    output: str = output_file_field("STAR file to write: the raw particles with angles, shifts, score and margin.")
    model: typing.Optional[str] = model_field(
        "Denoiser whose output is compared with the projections.",
        default=None,
        label="Denoiser",
        none_means="the raw images are compared, with their CTF and noise taken into account",
    )
    angular_step: float = angular_step_field(
        "Angle between neighbouring directions of the first search. The best few are refined."
    )
    refine: bool = param(
        "Search the neighbourhood of the best orientations with finer steps.",
        default=True,
        label="Refine locally",
        expert=True,
    )
    max_shift: typing.Optional[float] = max_shift_field(
        "Maximum distance of a particle from its box's centre.", none_means="a tenth of the box"
    )
    resolution: typing.Optional[float] = resolution_field(
        "Resolution limit of the comparison.", "the finest that the angular step resolves"
    )
    symmetry: str = symmetry_field()
    contrast: str = particle_contrast_field()
    noise_substitution: typing.Optional[float] = resolution_field(
        "Also orient the same images with noise in place of detail finer than this, into NAME_substituted.star: "
        "`reconstruct` then tells how much of the FSC there is the structure's.",
        "it is not done",
        label="Noise substitution beyond",
        expert=True,
    )
    device: str = device_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True, eq=False)
class AssignOrientationsOutputs(Outputs):
    """What `assign-orientations` found."""

    particles: str = output(
        "STAR file of the particles with angles and shifts.", path="file", becomes="outputParticles: SetOfParticles"
    )
    count: int = output("Particles.")
    mean_score: float = output("Mean of the scores.")
    mean_probability: float = output("Mean probability of the assigned direction.")
    directions: int = output("Directions that were searched.")
    symmetry: str = output("Point group.")
    contrast: str = output("'dark' or 'bright' protein of the images.")
    resolution: float = output("Finest detail of the search.", unit="Å")
    reference: str = output("The structure that the angles come from.", default="")
    noise_control: typing.Optional[str] = output("STAR file of oriented noise, a control.", path="file", default=None)
    substituted: typing.Optional[str] = output(
        "STAR file of the particles with noise in place of fine detail, a control.", path="file", default=None
    )
    pixel_size: typing.Optional[float] = output("Of the particle images.", unit="Å/px", default=None)


@dataclasses.dataclass(frozen=True)
class ReconstructConfig:
    """Back-project oriented particles into a map and its two half-maps."""

    particles: str = particles_field(
        "Particles with angles and shifts. rlnRandomSubset gives the halves, if it is there."
    )
    output: str = param(
        "Map to write (.mrc). The half-maps lie beside it: NAME_half1.mrc, NAME_half2.mrc.", label="Map", path="file"
    )
    symmetry: str = symmetry_field()
    correct_ctf: bool = correct_ctf_field(
        "Weight by the CTF. It is not used for denoised particles, which have no CTF."
    )
    mask_diameter: typing.Optional[float] = mask_diameter_field(
        "Diameter of the sphere that the FSC is measured in.", minimum=1
    )
    noise_control: typing.Optional[str] = param(
        "Oriented noise, NAME_noise.star of assign-orientations: its FSC is shown beside the map's.",
        default=None,
        label="Noise control",
        path="file",
        expert=True,
        none_means="the one beside the particles, if it is there",
    )
    substituted: typing.Optional[str] = param(
        "The particles with noise in place of fine detail, NAME_substituted.star of assign-orientations "
        "--noise-substitution: what FSC their map has there is the reference's.",
        default=None,
        label="Substituted particles",
        path="file",
        expert=True,
        none_means="those beside the particles, if they are there",
    )
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True, eq=False)
class ReconstructOutputs(Outputs):
    """What `reconstruct` wrote."""

    map: str = output("The map.", path="file", becomes="outputVolume: Volume")
    half1: str = output("First half-map.", path="file")
    half2: str = output("Second half-map.", path="file")
    resolution: typing.Optional[float] = output("Where the half-maps' FSC falls below 0.143.", unit="Å")
    fsc: typing.List[float] = output("FSC of the half-maps, shell 0 first.", becomes="outputFSC: FSC")
    count: int = output("Particles.")
    pixel_size: float = output("Of the maps.", unit="Å/px")
    box: int = output("Side of the maps.", unit="px")
    reference: str = output("The structure that the angles come from; empty if none is known.", default="")
    compared: typing.Optional[float] = output("Finest detail that gave the angles.", unit="Å", default=None)
    noise_fsc: typing.Optional[typing.List[float]] = output("FSC of maps of as many images of noise.", default=None)
    noise_resolution: typing.Optional[float] = output(
        "Where the FSC of the noise's maps falls below 0.143.", unit="Å", default=None
    )
    own_resolution: typing.Optional[float] = output(
        "Where the FSC without the part that noise has as well falls below 0.143.", unit="Å", default=None
    )
    fsc_beyond: typing.Optional[float] = output("Mean FSC finer than the detail that gave the angles.", default=None)
    substituted_from: typing.Optional[float] = output(
        "Finer detail was replaced by noise in a control.", unit="Å", default=None
    )
    substituted_fsc: typing.Optional[typing.List[float]] = output("FSC of that control's half-maps.", default=None)
    substituted_resolution: typing.Optional[float] = output(
        "Where the FSC without what the control has beyond that detail falls below 0.143.", unit="Å", default=None
    )
