# SPDX-License-Identifier: GPL-3.0-or-later
"""Interface of a denoiser: network, training settings, and the preparation of its input."""

import abc
import os
import typing

import torch

from ...learning.task import with_weights
from .pairs import Pairs
from .scales import ROTATIONS, Statistics


class DenoiserNetwork(torch.nn.Module, abc.ABC):
    """A network for (b, 1, box, box) images. forward is given what `prepare` gives."""

    @abc.abstractmethod
    def prepare(self, noisy: torch.Tensor, ctf: torch.Tensor) -> typing.Any:
        """What forward is given, from prepared images (b, 1, box, box) and their CTFs (b, 1, box, box // 2 + 1)."""

    def working(self, target: torch.Tensor) -> torch.Tensor:
        """A target (b, 1, box, box) as forward should give it."""
        return target

    def finished(self, output: torch.Tensor) -> torch.Tensor:
        """The opposite of `working`: (b, 1, box, box) denoised images on the targets' scale."""
        return output

    def learn_scale(self, statistics: Statistics) -> None:
        """Take what is measured on the pairs, if it is of use; called once before training."""


class DenoiserMethod(abc.ABC):
    """A denoiser's network, and how it is trained. A subclass gives at least name and build.

    name: word on the command line. weak: a sentence about a known weakness, or "". learning_rate: peak. decay: as
    schedule.Schedule's. ema: decay of the running mean of the weights. batch_size: particles per step. adversarial:
    weight of the discriminator's verdict, where the distance to the target weighs 100; 0: no discriminator.
    discriminator_rate: its learning rate over the network's. learns: whether there is anything to learn by gradients;
    if not, what the network measures on the pairs is all. uses_ctf: whether the network is given the CTF. blanks: part
    of the training images that is noise alone, with an empty target: a network that never saw any makes a particle of
    everything. boost: factor by which the signal of training images is stronger, at most, at the beginning; boosted:
    part of the training until it is what it is. A network that first sees how the particle lies finds it in the noise
    sooner. rotations: those of rotations.rotated_images that training pairs get at random."""

    name: str
    weak = ""
    learning_rate = 1e-3
    decay: float | None = None
    ema, batch_size = 0.99, 16
    adversarial, discriminator_rate = 0.0, 0.375
    learns, uses_ctf = True, True
    blanks, boost, boosted = 0.0, 1.0, 0.0
    rotations = ROTATIONS

    def learn(self, network: DenoiserNetwork, pairs: Pairs, statistics: Statistics) -> None:
        """What the network takes from Pairs and their scales.Statistics before training."""
        network.learn_scale(statistics)

    @abc.abstractmethod
    def build(self, box: int, molecules: int = 1) -> DenoiserNetwork:
        """The network for (b, 1, box, box) images of so many structures, untrained."""

    @abc.abstractmethod
    def default_steps(self, particles: int) -> int:
        """Training steps where the user asks for none. particles: training ones."""

    def optimizer(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        """AdamW at the method's learning rate."""
        return torch.optim.AdamW(network.parameters(), lr=self.learning_rate, betas=(0.9, 0.99), fused=True)

    def discriminator_optimizer(self, discriminator: torch.nn.Module) -> torch.optim.Optimizer:
        """As published: Adam with beta1 0.5."""
        groups = [dict(params=list(discriminator.parameters()), factor=self.discriminator_rate)]
        return torch.optim.Adam(groups, lr=self.learning_rate, betas=(0.5, 0.999), fused=True)


def load_network(
    method: DenoiserMethod,
    box: int,
    weights: typing.Mapping[str, torch.Tensor],
    source: str | os.PathLike[str],
    molecules: int = 1,
) -> DenoiserNetwork:
    """A method's network with the weights of a model. weights: {name: tensor}. source: the model's folder, for the
    message. Raises ValueError if they are of another network."""
    return with_weights(method.build(box, molecules), weights, source, f"{method.name} for a box of {box} px")
