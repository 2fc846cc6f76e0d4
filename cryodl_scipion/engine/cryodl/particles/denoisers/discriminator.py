# SPDX-License-Identifier: GPL-3.0-or-later
"""The published GAN's discriminator: is this image, beside what was measured, a projection or the network's?"""

import torch
from torch import nn

from .blocks import Bottleneck

WIDTHS = (64, 128, 256, 512, 512)
HALVING = 3  # the first layers, which may halve the image
RESIDUAL = 2  # blocks after each convolution


class PatchDiscriminator(nn.Module):
    """Residual patch discriminator. Given are the condition and an image, (b, 1, h, w) each; it answers with a map of
    logits, one for each patch: 26 x 26 for a box of 256 px.

    Published are: condition and image concatenated, widths 64-128-256-512-512, residual blocks, a map of 26 x 26
    decisions. Ours where that leaves a choice: 4x4 convolutions; stride 2 and padding 1 for the first three, stride 1
    and none for the other two, which makes 26 of 256 (256 - 128 - 64 - 32 - 29 - 26); the generator's bottleneck
    blocks, two after each convolution; ELU and batch normalisation as in the generator, none after the first
    convolution; a 1x1 convolution to the logits. In boxes too small for three halvings (under 64 px) fewer of the first
    three layers halve.
    """

    def __init__(self, box: int = 256) -> None:
        super().__init__()
        halved = max(n for n in range(HALVING + 1) if n == 0 or map_side(box, n) > 1)
        layers, before = list[nn.Module](), 2
        for index, width in enumerate(WIDTHS):
            stride, padding = _geometry(index, halved)
            layers += [nn.Conv2d(before, width, 4, stride, padding, bias=index == 0)]
            layers += [nn.BatchNorm2d(width)] * (index > 0) + [nn.ELU()] + [Bottleneck(width) for _ in range(RESIDUAL)]
            before = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, 1, 1))

    def forward(self, condition: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.cat([condition, image], dim=1))


def map_side(box: int, halved: int = HALVING) -> int:
    """Decisions along an axis when this many layers halve the image."""
    for index in range(len(WIDTHS)):
        stride, padding = _geometry(index, halved)
        box = (box + 2 * padding - 4) // stride + 1
    return box


def _geometry(index: int, halved: int) -> tuple[int, int]:
    """Stride and padding of a layer."""
    return (2 if index < halved else 1), (1 if index < HALVING else 0)
