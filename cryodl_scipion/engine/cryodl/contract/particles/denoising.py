# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that denoise particles and evaluate denoisers."""

import dataclasses
import typing

from ..fields import (
    batch_field,
    device_field,
    model_field,
    output_file_field,
    output_folder_field,
    particle_contrast_field,
    particles_field,
    seed_field,
    structure_field,
    threads_field,
)
from ..outputs import Outputs, Texts, output
from ..params import param
from ..search_fields import symmetry_field


@dataclasses.dataclass(frozen=True)
class DenoiseConfig:
    """Denoise particle images with a trained network."""

    particles: str = particles_field("Raw particles to denoise; no angles are needed.")
    model: str = model_field("Folder of a denoiser.")
    output: str = output_file_field(
        "STAR file to write; the denoised images lie beside it, in a stack of the same name (.mrcs)."
    )
    contrast: str = particle_contrast_field()
    batch_size: int = batch_field("Particles that go through the network at a time.", 16)
    device: str = device_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True, eq=False)
class DenoiseOutputs(Outputs):
    """What `denoise` wrote."""

    particles: str = output(
        "STAR file of the denoised particles.", path="file", becomes="outputParticles: SetOfParticles"
    )
    stack: str = output("Stack of the denoised images.", path="file")
    count: int = output("Particles.")
    pixel_size: float = output("Of the images.", unit="Å/px")
    box: int = output("Side of the images.", unit="px")
    contrast: str = output("'dark' or 'bright' protein of the raw images.")
    model: str = output("Name of the model.")
    empty: int = output("Particles in which the model found almost no signal.")
    explained: typing.Optional[float] = output(
        "Evidence of a sample of the particles for the model's structure, as a fraction of what genuine ones give.",
        default=None,
    )


@dataclasses.dataclass(frozen=True)
class EvaluateDenoiserConfig:
    """Measure what a denoiser gains and what it invents, against the ground truth and against controls."""

    particles: str = particles_field("Raw particles with angles, shifts and CTF that the denoiser did not learn from.")
    model: str = model_field("Folder of a denoiser.")
    structure: str = structure_field()
    output: str = output_folder_field("Folder for evaluation.json and pictures. It must not exist.")
    unseen: typing.Optional[str] = particles_field(
        "Particles of a molecule that the denoiser never saw, for the control.",
        optional="one is simulated: random blobs of the same size, CTF and noise",
    )
    unseen_structure: typing.Optional[str] = param(
        "Structure of the unseen particles, to measure what is true in their denoised images.",
        default=None,
        label="Unseen structure",
        path="file",
        none_means="only the similarity to the training targets is measured",
    )
    count: int = param(
        "Maximum number of particles that are used, and images of pure noise that are made.",
        default=500,
        label="Maximum number of particles",
        minimum=2,
        maximum=1000000,
    )
    symmetry: str = symmetry_field()
    contrast: str = particle_contrast_field()
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluateDenoiserOutputs(Outputs):
    """What `evaluate-denoiser` found."""

    evaluation: str = output(
        "evaluation.json: curves, controls and sentences.", path="file", becomes="outputFSCs: SetOfFSCs"
    )
    folder: str = output("Folder of all files.", path="folder")
    table: str = output("frc.csv, a line for each particle.", path="file")
    mean_frc: typing.Dict[str, typing.Any] = output(
        "Mean Fourier ring correlation with the ground truth: raw, wiener, denoised."
    )
    resolution: typing.Dict[str, typing.Any] = output("Resolution of each at the thresholds 0.5 and 0.143.", unit="Å")
    verdict: str = output("'ok' or 'warning': of the controls.")
    pictures: Texts = output("Pictures by name.", path="file")
