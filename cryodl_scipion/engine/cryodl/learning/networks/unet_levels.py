# SPDX-License-Identifier: GPL-3.0-or-later
"""The levels of a small U-net with additive skips, which pickers, segmenters and detectors share."""

from __future__ import annotations

import typing

import torch.nn.functional as F
from torch import nn

from .conv_block import ConvBlock

if typing.TYPE_CHECKING:
    import torch


class UNetLevels(nn.Module):
    """Base of U-nets (Ronneberger et al. 2015): a ConvBlock on each level of the way down and up, and a last layer.

    A subclass calls `levels` in its forward, and `head` on what that returns. Untrained, the answer is about `bias`.

    Parameters
    ----------
    c_in : int
        Channels of the input.
    widths : sequence of int
        Channels of the levels, the finest first.
    c_out : int
        Channels of the answer.
    dimensions : int
        2 for images, 3 for volumes.
    bias : float
        Of the last layer, no unit.
    """

    def __init__(
        self, c_in: int, widths: typing.Sequence[int], c_out: int, dimensions: int = 2, bias: float = 0.0
    ) -> None:
        super().__init__()
        conv = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.down = nn.ModuleList(ConvBlock(a, b, dimensions) for a, b in zip((c_in, *widths), widths))
        pairs = list(zip(widths[:0:-1], widths[-2::-1]))
        self.reduce = nn.ModuleList(conv(a, b, 1, bias=False) for a, b in pairs)
        self.up = nn.ModuleList(ConvBlock(b, b, dimensions) for _, b in pairs)
        self.head = conv(widths[0], c_out, 1)
        self._pool = {2: F.max_pool2d, 3: F.max_pool3d}[dimensions]
        nn.init.constant_(typing.cast("torch.Tensor", self.head.bias), bias)

    def levels(self, x: torch.Tensor) -> torch.Tensor:
        """Down through all levels and up again.

        Parameters
        ----------
        x : Tensor, (b, c_in, h, w) or (b, c_in, z, h, w)
            Sides are multiples of 2 ** (levels - 1).

        Returns
        -------
        Tensor, (b, widths[0], h, w) or (b, widths[0], z, h, w)
        """
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else self._pool(x, 2))
            skips.append(x)
        for reduce, block, skip in zip(self.reduce, self.up, skips[-2::-1]):
            x = block(skip + F.interpolate(reduce(x), scale_factor=2.0, mode="nearest"))
        return x
