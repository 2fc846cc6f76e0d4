# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that assign orientations and reconstruct maps."""

import dataclasses
import typing

from ..command import Command
from ..fields import model_field, output_file_field, particle_contrast_field, particles_field, structure_field
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
    """Assign Euler angles and shifts to particles by comparison with projections of a structure."""

    particles: str = particles_field("Particles to orient; the CTF is needed, angles are not.")
    structure: str = structure_field()
    output: str = output_file_field("STAR file to write: the raw particles with angles, shifts, score and margin.")
    model: typing.Optional[str] = model_field(
        "Denoiser whose output is compared with the projections instead of the raw images.",
        default=None,
        label="Denoiser",
        none_means="the raw images are compared, taking their CTF and noise into account",
    )
    angular_step: float = angular_step_field(
        "Angle between neighbouring directions of the first search. The best few directions are refined."
    )
    max_shift: typing.Optional[float] = max_shift_field(
        "Maximum distance of a particle from the centre of its box.", none_means="a tenth of the box size"
    )
    resolution: typing.Optional[float] = resolution_field(
        "Resolution limit of the comparison.", "the finest resolution that the angular step allows"
    )
    symmetry: str = symmetry_field()
    contrast: str = particle_contrast_field()
    noise_substitution: typing.Optional[float] = resolution_field(
        "Also orient the images with detail finer than this resolution replaced by noise, into "
        "NAME_substituted.star. `reconstruct` then reports how much of the FSC beyond this resolution is due to "
        "reference bias.",
        "no noise substitution",
        label="Noise substitution beyond",
        expert=True,
    )


@dataclasses.dataclass(frozen=True, eq=False)
class AssignOrientationsOutputs(Outputs):
    """What `assign-orientations` found."""

    particles: str = output(
        "STAR file of the particles with angles and shifts.", path="file", becomes="outputParticles: SetOfParticles"
    )
    count: int = output("Number of particles.")
    mean_score: float = output("Mean score of the particles.")
    mean_probability: float = output("Mean probability of the assigned direction.")
    directions: int = output("Number of directions searched.")
    symmetry: str = output("Point group.")
    contrast: str = output("Contrast of protein in the images, 'dark' or 'bright'.")
    resolution: float = output("Resolution limit of the search.", unit="Å")
    reference: str = output("Structure that the angles were assigned with.", default="")
    noise_control: typing.Optional[str] = output(
        "STAR file of oriented noise images, as a control.", path="file", default=None
    )
    substituted: typing.Optional[str] = output(
        "STAR file of the particles with fine detail replaced by noise, as a control.", path="file", default=None
    )
    pixel_size: typing.Optional[float] = output("Of the particle images.", unit="Å/px", default=None)


@dataclasses.dataclass(frozen=True)
class ReconstructConfig:
    """Back-project oriented particles into a map and its two half-maps."""

    particles: str = particles_field(
        "Particles with angles and shifts. rlnRandomSubset defines the half sets, if the file has it."
    )
    output: str = param(
        "Map to write (.mrc). The half-maps are written beside it: NAME_half1.mrc, NAME_half2.mrc.",
        label="Map",
        path="file",
    )
    symmetry: str = symmetry_field()
    correct_ctf: bool = correct_ctf_field("Correct for the CTF. Denoised particles have no CTF and are not corrected.")
    mask_diameter: typing.Optional[float] = mask_diameter_field(
        "Diameter of the sphere within which the FSC is measured.", minimum=1
    )
    noise_control: typing.Optional[str] = param(
        "Oriented noise images, NAME_noise.star of assign-orientations. Their FSC is reported beside that of the map.",
        default=None,
        label="Noise control",
        path="file",
        expert=True,
        none_means="the one in the particles' folder, if there is one",
    )


@dataclasses.dataclass(frozen=True, eq=False)
class ReconstructOutputs(Outputs):
    """What `reconstruct` wrote."""

    map: str = output("The reconstructed map.", path="file", becomes="outputVolume: Volume")
    half1: str = output("First half-map.", path="file")
    half2: str = output("Second half-map.", path="file")
    resolution: typing.Optional[float] = output("Resolution at which the half-maps' FSC falls below 0.143.", unit="Å")
    fsc: typing.List[float] = output("FSC of the half-maps, shell 0 first.", becomes="outputFSC: FSC")
    count: int = output("Number of particles.")
    pixel_size: float = output("Pixel size of the maps.", unit="Å/px")
    box: int = output("Box size of the maps.", unit="px")
    reference: str = output("Structure that the angles were assigned with; empty if unknown.", default="")
    search_resolution: typing.Optional[float] = output(
        "Resolution limit of the search that gave the angles.", unit="Å", default=None
    )
    noise_fsc: typing.Optional[typing.List[float]] = output(
        "FSC of the half-maps reconstructed from as many images of noise.", default=None
    )
    noise_resolution: typing.Optional[float] = output(
        "Resolution at which the FSC of the noise half-maps falls below 0.143.", unit="Å", default=None
    )
    corrected_resolution: typing.Optional[float] = output(
        "Resolution at which the FSC, corrected for the FSC of noise, falls below 0.143.", unit="Å", default=None
    )
    fsc_beyond: typing.Optional[float] = output(
        "Mean FSC beyond the resolution limit of the search that gave the angles.", default=None
    )
    substituted_from: typing.Optional[float] = output(
        "Resolution beyond which detail was replaced by noise in the noise-substitution control.",
        unit="Å",
        default=None,
    )
    substituted_fsc: typing.Optional[typing.List[float]] = output(
        "FSC of the half-maps of the noise-substitution control.", default=None
    )
    substituted_resolution: typing.Optional[float] = output(
        "Resolution at which the FSC, corrected by the noise-substitution control, falls below 0.143.",
        unit="Å",
        default=None,
    )


COMMANDS = (
    Command(
        "assign-orientations",
        AssignOrientationsConfig,
        AssignOrientationsOutputs,
        gpu=True,
        example="cryodl assign-orientations --particles raw.star --structure map.mrc --symmetry D2 --output "
        "oriented.star",
        kept="chunk",
    ),
    Command(
        "reconstruct",
        ReconstructConfig,
        ReconstructOutputs,
        seeded=True,
        gpu=True,
        example="cryodl reconstruct --particles oriented.star --output map.mrc",
    ),
)
