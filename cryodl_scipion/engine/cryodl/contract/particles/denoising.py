# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that denoise particles and evaluate denoisers."""

import dataclasses
import typing

from ..command import Command
from ..fields import (
    model_field,
    output_file_field,
    output_folder_field,
    particle_contrast_field,
    particles_field,
    structure_field,
)
from ..outputs import Outputs, Texts, output
from ..params import param
from ..search_fields import symmetry_field


@dataclasses.dataclass(frozen=True)
class DenoiseConfig:
    """Denoise particle images: with a network trained on their structure, or blindly, without a known structure."""

    particles: str = particles_field("Raw particles to denoise; no angles are needed.")
    model: str = model_field(
        "Model folder of a denoiser, or general_denoiser, which is shipped, needs no training and knows no structure."
    )
    output: str = output_file_field(
        "STAR file to write. The denoised images are written beside it, into a stack of the same name (.mrcs)."
    )
    contrast: str = particle_contrast_field()


@dataclasses.dataclass(frozen=True, eq=False)
class DenoiseOutputs(Outputs):
    """What `denoise` wrote."""

    particles: str = output(
        "STAR file of the denoised particles.", path="file", becomes="outputParticles: SetOfParticles"
    )
    stack: str = output("Stack of the denoised images.", path="file")
    count: int = output("Particles.")
    pixel_size: float = output("Pixel size of the images.", unit="Å/px")
    box: int = output("Box size of the images.", unit="px")
    contrast: str = output("Contrast of protein in the raw images, 'dark' or 'bright'.")
    model: str = output("Name of the model.")
    empty: int = output("Number of particles in which the model found almost no signal.")
    explained: typing.Optional[float] = output(
        "Evidence of a sample of the particles for the model's structure, as a fraction of the evidence of genuine "
        "particles.",
        default=None,
    )
    blind: bool = output("Whether the model knows no structure.", default=False)


@dataclasses.dataclass(frozen=True)
class EvaluateDenoiserConfig:
    """Measure what a denoiser recovers and what it invents, by comparison with ground truth and controls."""

    particles: str = particles_field(
        "Raw particles with angles, shifts and CTF that were not in the denoiser's training."
    )
    model: str = model_field("Model folder of a denoiser.")
    structure: str = structure_field()
    output: str = output_folder_field("Folder for evaluation.json and pictures. It must not exist.")
    unseen: typing.Optional[str] = particles_field(
        "Particles of a molecule that was not in the denoiser's training, for the control.",
        optional="simulated: random blobs of the same size, with the same CTF and noise",
    )
    unseen_structure: typing.Optional[str] = param(
        "Structure of the unseen particles, to measure how much of their denoised images is correct.",
        default=None,
        label="Unseen structure",
        path="file",
        none_means="only the similarity to the training targets is measured",
    )
    count: int = param(
        "Maximum number of particles to use; as many images of pure noise are made.",
        default=500,
        label="Maximum number of particles",
        minimum=2,
        maximum=1000000,
    )
    symmetry: str = symmetry_field()
    contrast: str = particle_contrast_field()


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluateDenoiserOutputs(Outputs):
    """What `evaluate-denoiser` found."""

    evaluation: str = output(
        "evaluation.json: curves, controls and conclusions.", path="file", becomes="outputFSCs: SetOfFSCs"
    )
    folder: str = output("Output folder.", path="folder")
    table: str = output("frc.csv, with a line for each particle.", path="file")
    mean_frc: typing.Dict[str, typing.Any] = output(
        "Mean Fourier ring correlation with the ground truth, of the raw, Wiener-filtered (wiener) and denoised images."
    )
    resolution: typing.Dict[str, typing.Any] = output(
        "Resolution of each kind of image at the FRC thresholds 0.5 and 0.143.", unit="Å"
    )
    verdict: str = output("Verdict of the controls: 'ok' or 'warning'.")
    pictures: Texts = output("Pictures by name.", path="file")


COMMANDS = (
    Command(
        "denoise",
        DenoiseConfig,
        DenoiseOutputs,
        gpu=True,
        example="cryodl denoise --particles raw.star --model denoiser --output denoised.star\n"
        "Without a known structure: --model general_denoiser",
    ),
    Command(
        "evaluate-denoiser",
        EvaluateDenoiserConfig,
        EvaluateDenoiserOutputs,
        seeded=True,
        gpu=True,
        example="cryodl evaluate-denoiser --particles held_out.star --model denoiser --structure map.mrc --output "
        "evaluation/",
    ),
)
