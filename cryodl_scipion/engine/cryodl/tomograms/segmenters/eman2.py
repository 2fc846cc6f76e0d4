# SPDX-License-Identifier: GPL-3.0-or-later
"""The published segmenter (Chen et al. 2017): a shallow network with large kernels on single slices, as EMAN2's
program trains it.

From the authors' program: three convolutions of 40, 40 and 1 kernels of 15x15; max-pooling by 2 after the first, so
that the answer has half the size; ReLU after the pooling, none after the last layer while it learns; slices divided
by 3; weights drawn from +-sqrt(6 / (inputs + outputs / pooling)); target: the drawing shrunk by 2; loss: the
logarithm of the mean squared error, scores above 1 counted as 1, plus 1e-6 times the sum of all weights' sizes; plain
gradient descent with a rate of 0.01, times 0.9 after each of 20 epochs, 20 tiles at a time; ten rotated copies of each
tile with the feature. Ours: rotated copies are made anew for every batch; a logistic curve turns its scores into
probabilities, as for all networks here, so that they compare (the authors set negative answers to 0 and divide all by
their mean over the labelled pixels)."""

import math
import typing

import torch
from torch import nn

from .method import SegmenterMethod

# Its row in contract/networks.py, which reads this text.
NETWORKS = (("segmenter", 3, "eman2", "EMAN2Segmenter", "the network of EMAN2", ("Chen2017", "Tang2007")),)

KERNELS, SIDE, POOL = (40, 40, 1), 15, 2
EPOCHS, EPOCH_DECAY = 20, 0.9
WEIGHT_DECAY = 1e-6
VALIDATIONS = 16  # learning.recipe.MAX_VALIDATIONS; the rate falls at each of them as much as in all epochs together


class ShallowNetwork(nn.Module):
    """(b, 1, h, w) -> (b, 1, h / 2, w / 2) scores of any range. h and w are even."""

    def __init__(self) -> None:
        super().__init__()
        half, inputs = SIDE // 2, (1,) + KERNELS[:-1]
        layers = [nn.Conv2d(a, b, SIDE, padding=half) for a, b in zip(inputs, KERNELS)]
        self.layers = nn.ModuleList(layers)
        for layer, pool in zip(layers, (POOL, 1, 1)):
            bound = math.sqrt(6 / (SIDE**2 * (layer.in_channels + layer.out_channels / pool**2)))
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(typing.cast("torch.Tensor", layer.bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second, last = self.layers
        return last(second(nn.functional.max_pool2d(first(x / 3), POOL).relu()).relu())


class EMAN2Segmenter(SegmenterMethod):
    """The published network: kernels 40, 40, 1 of 15x15, pooling by 2 after the first."""

    name = "eman2"
    weak = (
        "Kernels of 15 x 15 are slow on CPUs, single slices are noisy, and the receptive field of three layers is "
        "only 35 px."
    )
    stride = granularity = POOL
    overlap, learning_rate = 36, 0.01
    decay = EPOCH_DECAY ** (EPOCHS / VALIDATIONS)
    bytes_per_voxel = 230
    ema = 0.0  # the last weights, no mean
    batch_size = 20
    crop = 64  # the authors' tiles

    def build(self) -> ShallowNetwork:
        return ShallowNetwork()

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(network.parameters(), lr=self.learning_rate)

    def default_steps(self, tiles: int) -> int:
        """20 epochs; tiles with the feature come in ten copies, so that they are about as many as those without."""
        return EPOCHS * max(10, -(-2 * tiles // self.batch_size))

    def loss(self, output: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Logarithm of the mean squared error, where scores above 1 count as 1: the loss of EMAN2's program."""
        return torch.log((weight * (output.clamp(max=1.0) - target) ** 2).sum() / weight.sum().clamp(min=1.0) + 1e-8)

    def penalty(self, network: nn.Module) -> typing.Any:
        layers = typing.cast("ShallowNetwork", network).layers
        return WEIGHT_DECAY * sum(typing.cast("nn.Conv2d", layer).weight.abs().sum() for layer in layers)
