# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the command that trains particle denoisers."""

import dataclasses
import typing

from ..fields import (
    RECONSTRUCTION_LOSSES,
    Paths,
    device_field,
    network_field,
    particle_contrast_field,
    particles_field,
    seed_field,
    threads_field,
)
from ..networks import DENOISER_NETWORKS
from ..outputs import output
from ..params import param
from ..search_fields import resolution_field
from ..training_fields import (
    TrainingOutputs,
    batch_size_field,
    learning_rate_field,
    model_folder_field,
    patience_field,
    start_from_field,
    steps_field,
    validation_fraction_field,
)


@dataclasses.dataclass(frozen=True)
class TrainDenoiserConfig:
    """Train a network that turns noisy particle images into projections of a known structure."""

    particles: Paths = particles_field(
        "Particles to learn from, with angles and shifts (3-D refined, or simulated). "
        "Several files: several molecules learnt together.",
        many=True,
    )
    structure: Paths = param(
        "Map (.mrc, protein positive) or atomic model (.pdb, .cif, also .gz) whose projections "
        "are the targets: one for all particle files, or one for each in the same order. A map of "
        "the other hand cannot be noticed here.",
        label="Structure",
        path="file",
    )
    output: str = model_folder_field()
    network: str = network_field(
        "posterior: no network, but a projection of the template: the mean of the structure's own projections, weighed "
        "by how probable each is given the image. Nothing is learnt; it shows the structure that it was given, and "
        "cannot show what is not in it. swinconv: this project's small 2-D Swin-Conv-UNet, fast on CPUs. cgan: the "
        "published conditional GAN, a residual U-net judged by a patch discriminator; large, meant for a GPU, trained "
        "for natural-looking images: it invents more detail.",
        "posterior",
        choices=DENOISER_NETWORKS,
    )
    loss: str = param(
        "Distance of output and target. l1: absolute difference. exponential: the weight of a difference grows "
        "exponentially with it.",
        default="l1",
        label="Loss",
        choices=RECONSTRUCTION_LOSSES,
        expert=True,
    )
    adversarial_weight: typing.Optional[float] = param(
        "Weight of the discriminator's verdict, where the loss itself weighs 100. 0: no discriminator.",
        default=None,
        label="Adversarial weight",
        minimum=0,
        maximum=1000,
        none_means="1 for cgan, 0 for the others",
        expert=True,
        former=("adversarial",),
    )
    simulated_fraction: float = param(
        "Fraction of the training pairs that are simulated from the structure, with the CTFs of these particles and "
        "noise of the spectrum that is measured on them. The rest are the real particles.",
        default=0.5,
        label="Simulated fraction",
        minimum=0,
        maximum=1,
        former=("simulated",),
    )
    resolution: typing.Optional[float] = resolution_field(
        "Resolution limit of the targets; finer detail is not in a single image.",
        "that of the pixels (twice the pixel size)",
        minimum=1,
        maximum=100,
        label="Resolution of targets",
        expert=True,
    )
    split_by: str = param(
        "How validation particles are separated from training particles. auto: micrographs if they are known, else "
        "half sets, else at random.",
        default="auto",
        label="Validation by",
        choices=("auto", "micrograph", "half", "random"),
        expert=True,
    )
    validation_fraction: float = validation_fraction_field(
        "Fraction of the particles kept for validation (half sets: half 2).", default=0.1, minimum=0.01
    )
    contrast: str = particle_contrast_field()
    start_from: typing.Optional[str] = start_from_field("Denoiser")
    steps: typing.Optional[int] = steps_field()
    patience: int = patience_field(6)
    batch_size: typing.Optional[int] = batch_size_field(
        "Particles", none_means="the network's own: 1 for cgan, 16 for the others"
    )
    learning_rate: typing.Optional[float] = learning_rate_field()
    seed: int = seed_field()
    device: str = device_field()
    threads: int = threads_field()

    def check_together(self) -> typing.List[str]:
        """Sentences about fields that contradict each other, or belong together and are not; empty if all is well."""
        if len(self.structure) in (1, len(self.particles)):
            return []
        return [
            f"There are {len(self.particles)} particle files (--particles) and {len(self.structure)} structures "
            "(--structure). Give one structure for all, or one for each in the same order."
        ]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainDenoiserOutputs(TrainingOutputs):
    """What `train-denoiser` made."""

    pixel_size: float = output("Pixel size that the model works at.", unit="Å/px")
    box: int = output("Side of its images.", unit="px")
