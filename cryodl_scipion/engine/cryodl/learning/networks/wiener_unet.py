# SPDX-License-Identifier: GPL-3.0-or-later
"""The network that denoises images whose structure it does not know: a small U-net (Ronneberger et al. 2015) that
corrects a Wiener filter's output."""

from __future__ import annotations

import typing

import torch.nn.functional as F
from torch import nn

from .conv_block import ConvBlock
from .folded_unet import WIDTHS, FoldedUNet

if typing.TYPE_CHECKING:
    import torch


class WienerUNet(FoldedUNet):
    """(b, 2, h, w): an image with white noise, and the image after its Wiener filter -> (b, 1, h, w) signal, in the
    filter's units.

    h and w are multiples of `multiple`. It begins as the filter alone, so that training can only gain. stride is that
    of its first layer; the answer has the input's size.

    Parameters
    ----------
    widths : tuple of int
        As FoldedUNet's.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__(widths)
        self.down[0] = ConvBlock(2 * self.stride**2, widths[0])
        self.head = nn.Conv2d(self.head.in_channels, self.stride**2, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(typing.cast("torch.Tensor", self.head.bias))

    @classmethod
    def like(cls, weights: typing.Mapping[str, torch.Tensor]) -> WienerUNet:
        """The network that has such weights, with new ones of its own.

        Parameters
        ----------
        weights : mapping
            {name: Tensor}, each of any shape.
        """
        return cls(tuple(weights[f"down.{i}.first.0.weight"].shape[0] for i in range(len(WIDTHS))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 1:] + F.pixel_shuffle(super().forward(x), self.stride)
