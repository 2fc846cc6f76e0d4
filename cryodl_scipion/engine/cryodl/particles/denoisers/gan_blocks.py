# SPDX-License-Identifier: GPL-3.0-or-later
"""Building blocks of the published GAN's generator and discriminator, as in its authors' public code."""

import torch
import torch.nn.functional as F
from torch import nn

FIRST_SPREAD = 0.02  # standard deviation of weights before training


class Bottleneck(nn.Module):
    """Residual block: 1x1, 4x4 and 1x1 convolutions at a quarter of the width, each normalised, and ELU; (b, c, h, w)
    in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // 4
        self.layers = nn.Sequential(
            nn.Conv2d(channels, narrow, 1, bias=False),
            image_norm(narrow),
            nn.ELU(),
            same_padding(),
            nn.Conv2d(narrow, narrow, 4, bias=False),
            image_norm(narrow),
            nn.ELU(),
            nn.Conv2d(narrow, channels, 1, bias=False),
            image_norm(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.elu(x + self.layers(x))


def bottlenecks(channels: int, count: int) -> nn.Sequential:
    """So many residual blocks, one after the other."""
    return nn.Sequential(*(Bottleneck(channels) for _ in range(count)))


def image_norm(channels: int) -> nn.Module:
    """Batch normalisation of a batch of one: each channel of each image gets mean 0 and variance 1, then a learnt scale
    and offset. It is the same in training and denoising."""
    return nn.InstanceNorm2d(channels, eps=1e-5, affine=True)


def same_padding() -> nn.Module:
    """Zeros with which a 4x4 convolution of stride 1 keeps the image's size: one before, two after."""
    return nn.ZeroPad2d((1, 2, 1, 2))


def initialise(network: nn.Module) -> None:
    """Draw the weights of all convolutions anew, with standard deviation 0.02; offsets become 0."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.trunc_normal_(layer.weight, std=FIRST_SPREAD, a=-2 * FIRST_SPREAD, b=2 * FIRST_SPREAD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
