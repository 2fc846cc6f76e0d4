# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that trains particle denoisers."""

import dataclasses
import typing

from ..command import Command
from ..fields import RECONSTRUCTION_LOSSES, Paths, network_field, particle_contrast_field, particles_field
from ..networks import DENOISER_NETWORKS
from ..outputs import output
from ..params import param
from ..search_fields import resolution_field
from ..training_fields import TrainingOutputs, batch_size_field, model_folder_field, start_from_field, steps_field


@dataclasses.dataclass(frozen=True)
class TrainDenoiserConfig:
    """Train a network that denoises particle images, with projections of a known structure as targets."""

    particles: Paths = particles_field(
        "Training particles with angles and shifts (3-D refined, or simulated). Give several files to train on "
        "several molecules.",
        many=True,
    )
    structure: Paths = param(
        "Map (.mrc, protein positive) or atomic model (.pdb, .cif, also .gz) whose projections are the targets: one "
        "for all particle files, or one for each in the same order. A map of the wrong hand is not detected.",
        label="Structure",
        path="file",
    )
    output: str = model_folder_field()
    network: str = network_field(
        "posterior: no network, but the mean of the structure's projections, each weighted by its probability given "
        "the image. Nothing is learnt, and it cannot show what is not in the structure. swinconv: small 2-D "
        "Swin-Conv-UNet of this project, fast on CPUs. cgan: the published conditional GAN, a residual U-Net with a "
        "patch discriminator; large, meant for GPUs, trained for natural-looking images, so it invents more detail.",
        "posterior",
        choices=DENOISER_NETWORKS,
    )
    loss: str = param(
        "Loss between output and target. l1: absolute difference. exponential: larger differences have "
        "exponentially larger weights.",
        default="l1",
        label="Loss",
        choices=RECONSTRUCTION_LOSSES,
        expert=True,
    )
    simulated_fraction: float = param(
        "Fraction of the training pairs that are simulated from the structure, with the CTFs and the noise spectrum "
        "of these particles. The rest are the real particles.",
        default=0.5,
        label="Simulated fraction",
        minimum=0,
        maximum=1,
    )
    resolution: typing.Optional[float] = resolution_field(
        "Resolution limit of the targets. Single images contain no finer detail.",
        "twice the pixel size",
        minimum=1,
        maximum=100,
        label="Resolution of targets",
        expert=True,
    )
    contrast: str = particle_contrast_field()
    start_from: typing.Optional[str] = start_from_field("Denoiser")
    steps: typing.Optional[int] = steps_field()
    batch_size: typing.Optional[int] = batch_size_field(
        "Particles", none_means="the network's own: 1 for cgan, 16 for the others"
    )

    def check_together(self) -> typing.List[str]:
        """Problems between fields: values that contradict each other, or fields that must be given together; else
        empty."""
        if len(self.structure) in (1, len(self.particles)):
            return []
        return [
            f"There are {len(self.particles)} particle files (--particles) and {len(self.structure)} structures "
            "(--structure). Give one structure for all, or one for each in the same order."
        ]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainDenoiserOutputs(TrainingOutputs):
    """What `train-denoiser` made."""

    pixel_size: float = output("Working pixel size of the model.", unit="Å/px")
    box: int = output("Box size of its images.", unit="px")


COMMANDS = (
    Command(
        "train-denoiser",
        TrainDenoiserConfig,
        TrainDenoiserOutputs,
        seeded=True,
        gpu=True,
        example="cryodl train-denoiser --particles refined.star --structure map.mrc --output denoiser\n"
        "Two molecules: --particles one.star other.star --structure one.mrc other.mrc",
    ),
)
