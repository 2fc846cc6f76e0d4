# SPDX-License-Identifier: GPL-3.0-or-later
"""A small U-net on folded images, which the picker and the denoiser of images share."""

from __future__ import annotations

import typing

import torch.nn.functional as F

from .unet_levels import UNetLevels

if typing.TYPE_CHECKING:
    import torch

WIDTHS = (32, 48, 64, 64)
GENERAL_WIDTHS = (32, 56, 80, 96)  # of the general models, which have more to tell apart


class FoldedUNet(UNetLevels):
    """(b, 1, h, w) image -> (b, outputs, h/2, w/2). h and w are multiples of `multiple`.

    The input is folded by 2 (pixel unshuffle) before the first convolution, so that the widest layers work on a quarter
    of the pixels.

    Parameters
    ----------
    widths : tuple of int
        Channels of the levels, the finest first.
    outputs : int
        Channels of the answer.
    """

    stride = 2
    receptive_radius = 103  # px; each output looks no further (a test measures it)

    def __init__(self, widths: tuple[int, ...] = WIDTHS, outputs: int = 1) -> None:
        super().__init__(self.stride**2, widths, outputs)
        self.multiple = self.stride * 2 ** (len(widths) - 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.head(self.levels(F.pixel_unshuffle(x, self.stride)))
        return answer
