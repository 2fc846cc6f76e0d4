# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the commands that denoise particles and evaluate denoisers.

Parameters of the command that trains particle denoisers."""

import typing

from .. import fields, networks
from ..command import Command, Config, ImagesOutputs, Outputs, Paths, Texts, TrainingOutputs, found, output, param


class TrainDenoiserConfig(Config):
    """Train a network that denoises particle images, with projections of a known structure as targets."""

    particles: Paths = fields.particles(
        "Training particles with angles and shifts (3-D refined, or simulated). Give several files to train on "
        "several molecules."
    )
    structure: Paths = param(
        "Map (.mrc, protein positive) or atomic model (.pdb, .cif, also .gz) whose projections are the targets: one "
        "for all particle files, or one for each in the same order. A map of the wrong hand is not detected.",
        path="file",
    )
    output: str = fields.model_folder()
    network: str = fields.network(
        "posterior: no network, but the mean of the structure's projections, each weighted by its probability given "
        "the image. Nothing is learnt, and it cannot show what is not in the structure. swinconv: small 2-D "
        "Swin-Conv-UNet of this project, fast on CPUs. cgan: the published conditional GAN, a residual U-Net with a "
        "patch discriminator; large, meant for GPUs, trained for natural-looking images, so it invents more detail.",
        default="posterior",
        choices=networks.DENOISER_NETWORKS,
    )
    loss: str = param(
        "Loss between output and target. l1: absolute difference. exponential: larger differences have exponentially "
        "larger weights.",
        "l1",
        choices=fields.RECONSTRUCTION_LOSSES,
        expert=True,
    )
    simulated_fraction: float = param(
        "Fraction of the training pairs that are simulated from the structure, with the CTFs and the noise spectrum "
        "of these particles. The rest are the real particles.",
        0.5,
        limits=(0, 1),
    )
    resolution: typing.Optional[float] = fields.resolution(
        "Resolution limit of the targets. Single images contain no finer detail.",
        none_means="twice the pixel size",
        limits=(1, 100),
        label="Resolution of targets",
        expert=True,
    )
    contrast: str = fields.particle_contrast()
    start_from: typing.Optional[str] = fields.start_from()
    steps: typing.Optional[int] = fields.steps()
    batch_size: typing.Optional[int] = fields.batch_size(
        "Particles per training step.", none_means="the network's own: 1 for cgan, 16 for the others"
    )

    def check_together(self) -> typing.List[str]:
        return found(
            (
                len(self.structure) not in (1, len(self.particles)),
                f"There are {len(self.particles)} particle files (--particles) and {len(self.structure)} structures "
                "(--structure). Give one structure for all, or one for each in the same order.",
            )
        )


class TrainDenoiserOutputs(TrainingOutputs):
    pixel_size: float = output("Working pixel size of the model.", "Å/px")
    box: int = output("Box size of its images.", "px")


class DenoiseConfig(Config):
    """Denoise particle images: with a network trained on their structure, or blindly, without a known structure."""

    particles: str = fields.particles("Raw particles to denoise; no angles are needed.")
    output: str = fields.output_file(
        "STAR file to write. The denoised images are written beside it, into a stack of the same name (.mrcs)."
    )
    model: str = fields.model(
        "Model folder of a denoiser. general_denoiser is shipped, and knows no structure.", "general_denoiser"
    )
    contrast: str = fields.particle_contrast()


class DenoiseOutputs(ImagesOutputs):
    particles: str = output(
        "STAR file of the denoised particles.", path="file", becomes="outputParticles: SetOfParticles"
    )
    stack: str = output("Stack of the denoised images.", path="file")
    contrast: str = output("Contrast of protein in the raw images, 'dark' or 'bright'.")
    model: str = output("Name of the model.")
    empty: int = output("Number of particles in which the model found almost no signal.")
    explained: typing.Optional[float] = output(
        "Evidence of the particles for the model's structure, as a fraction of the evidence of genuine particles; of "
        "each of them, see cryodlExplained.",
        default=None,
    )
    blind: bool = output("Whether the model knows no structure.", default=False)


class EvaluateDenoiserConfig(Config):
    """Measure what a denoiser recovers and what it invents, by comparison with ground truth and controls."""

    particles: str = fields.particles(
        "Raw particles with angles, shifts and CTF that were not in the denoiser's training."
    )
    model: str = fields.model("Model folder of a denoiser.")
    structure: str = fields.structure()
    output: str = fields.output_folder("Folder for evaluation.json and pictures. It must not exist.")
    unseen: typing.Optional[str] = fields.particles(
        "Particles of a molecule that was not in the denoiser's training, for the control.",
        label="Other particles",
        default=None,
        none_means="simulated: random blobs of the same size, with the same CTF and noise",
    )
    unseen_structure: typing.Optional[str] = param(
        "Structure of the unseen particles, to measure how much of their denoised images is correct.",
        None,
        path="file",
        none_means="only the similarity to the training targets is measured",
    )
    count: int = param(
        "Maximum number of particles to use; as many images of pure noise are made.",
        500,
        label="Maximum number of particles",
        limits=(2, 1000000),
    )
    symmetry: str = fields.symmetry()
    contrast: str = fields.particle_contrast()


class EvaluateDenoiserOutputs(Outputs):
    evaluation: str = output(
        "evaluation.json: curves, controls and conclusions.", path="file", becomes="outputFSCs: SetOfFSCs"
    )
    folder: str = output("Output folder.", path="folder")
    table: str = output("frc.csv, with a line for each particle.", path="file")
    mean_frc: typing.Dict[str, typing.Any] = output(
        "Mean Fourier ring correlation with the ground truth, of the raw, Wiener-filtered (wiener) and denoised images."
    )
    resolution: typing.Dict[str, typing.Any] = output(
        "Resolution of each kind of image at the FRC thresholds 0.5 and 0.143.", "Å"
    )
    verdict: str = output("Verdict of the controls: 'ok' or 'warning'.")
    pictures: Texts = output("Pictures by name.", path="file")


COMMANDS = (
    Command(
        "train-denoiser",
        TrainDenoiserConfig,
        TrainDenoiserOutputs,
        seeded=True,
        gpu=True,
        several=True,
        example="cryodl train-denoiser --particles refined.star --structure map.mrc --output denoiser\n"
        "Two molecules: --particles one.star other.star --structure one.mrc other.mrc",
    ),
    Command(
        "denoise",
        DenoiseConfig,
        DenoiseOutputs,
        gpu=True,
        example="cryodl denoise --particles raw.star --output blind.star\n"
        "With a known structure: --model denoiser (of train-denoiser)",
    ),
    Command(
        "evaluate-denoiser",
        EvaluateDenoiserConfig,
        EvaluateDenoiserOutputs,
        fresh="Output folder",
        seeded=True,
        gpu=True,
        example="cryodl evaluate-denoiser --particles held_out.star --model denoiser --structure map.mrc --output "
        "evaluation/",
    ),
)
