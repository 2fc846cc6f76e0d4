# SPDX-License-Identifier: GPL-3.0-or-later
"""The published GAN's discriminator: is this image, beside what was measured, a projection or the network's?"""

import torch
from torch import nn

from .gan_blocks import Convolution, bottlenecks, image_norm, initialise, same_padding

WIDTHS = (64, 128, 256, 512, 512)
RESIDUAL = (2, 2, 3, 2, 0)  # blocks after each convolution
HALVING = 3  # the first layers, which may halve the image


class PatchDiscriminator(nn.Module):
    """Residual patch discriminator. Given are the condition and an image, (b, 1, h, w) each; it answers with a map of
    logits, one for each patch: 26 x 26 for a box of 256 px.

    As in its authors' public code: condition and image concatenated; 4x4 convolutions to 64-128-256-512-512 channels
    with 2, 2, 3, 2, 0 bottleneck residual blocks, and one to the logits; the first three of stride 2, the fourth of
    stride 1 padded to the same size, the last two of stride 1 without padding (256 - 128 - 64 - 32 - 32 - 29 - 26); all
    but the last normalised, each image by itself (batches of one there), then ELU. Ours: in boxes too small for three
    halvings (under 64 px) fewer of the first three layers halve.
    """

    def __init__(self, box: int = 256) -> None:
        super().__init__()
        halved = max(n for n in range(HALVING + 1) if n == 0 or map_side(box, n) > 1)
        layers, before = list[nn.Module](), 2
        for index, (width, blocks) in enumerate(zip(WIDTHS, RESIDUAL)):
            layers += [*_convolution(index, halved, before, width), image_norm(width), nn.ELU()]
            layers += bottlenecks(width, blocks)
            before = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, 1, 4))
        initialise(self)

    def forward(self, condition: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.cat([image, condition], dim=1))


def _convolution(index: int, halved: int, before: int, width: int) -> list[nn.Module]:
    """One of the five, without what follows it."""
    if index < halved:
        return [Convolution(before, width, 4, 2, 1, bias=False)]
    padding = [same_padding()] if index <= HALVING else []
    return [*padding, Convolution(before, width, 4, bias=False)]


def map_side(box: int, halved: int = HALVING) -> int:
    """Decisions along an axis when this many layers halve the image."""
    return box // 2**halved - 6
