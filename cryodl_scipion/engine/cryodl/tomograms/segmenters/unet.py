# SPDX-License-Identifier: GPL-3.0-or-later
"""This project's segmenters: a small U-net (Ronneberger et al. 2015) on several neighbouring slices at once, or on
single ones.

Ours: the slices are channels, and one pass answers for several of them, so that the cost per voxel is that of a
fraction of a 2-D network; the input is folded by 2 (pixel unshuffle) before the first convolution, and the answer
unfolded after the last, so that the widest layers work on a quarter of the pixels; additive skips; batch norm, which
costs nothing when it segments."""

import torch
import torch.nn.functional as F

from ...learning.networks import UNetLevels
from .method import SegmenterMethod

# Its row in contract/networks.py, which reads this text.
NETWORKS = (
    ("segmenter", 0, "unet", "UNet", "a small 2.5-D U-Net", ("Ronneberger2015",)),
    ("segmenter", 1, "unet2d", "UNet2D", "a small U-Net", ("Ronneberger2015",)),
    ("segmenter", 4, "unet16", "UNet16", "a 2.5-D U-Net of sixteen slices", ("Ronneberger2015",)),
    ("segmenter", 5, "unet32", "UNet32", "a 2.5-D U-Net of thirty-two slices", ("Ronneberger2015",)),
)

WIDTHS = (32, 48, 64)
FOLD = 2


class SliceUNet(UNetLevels):
    """(b, slices_in, h, w) -> (b, features * slices_out, h, w) log odds, those of one feature after the other's. h and
    w are multiples of FOLD * 2 ** (levels - 1)."""

    def __init__(self, slices_in: int, slices_out: int, widths: tuple[int, ...] = WIDTHS, features: int = 1) -> None:
        # most voxels are without the feature
        super().__init__(FOLD**2 * slices_in, widths, FOLD**2 * slices_out * features, bias=-2.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pixel_shuffle(self.head(self.levels(F.pixel_unshuffle(x, FOLD))), FOLD)


class UNet(SegmenterMethod):
    """Small U-net that sees eight slices and answers for the four in their middle (2.5-D)."""

    name = "unet"
    slices_in, slices_out = 8, 4
    bytes_per_voxel = 30
    granularity = FOLD * 2 ** (len(WIDTHS) - 1)

    widths: tuple[int, ...] = WIDTHS

    def build(self, features: int = 1) -> SliceUNet:
        return SliceUNet(self.slices_in, self.slices_out, self.widths, features)


class UNet2D(UNet):
    """The same on single slices, for stacks of tiles without their tomogram."""

    name = "unet2d"
    weak = "It does not use neighbouring slices, which help much in noisy tomograms."
    slices_in = slices_out = 1
    bytes_per_voxel = 130


class UNet16(UNet):
    """The same with sixteen slices, of which it answers for eight, and wider layers below the first."""

    name = "unet16"
    weak = "It has too many weights to learn from few tiles without a model to start from."
    slices_in, slices_out = 16, 8
    widths = (32, 64, 96)
    bytes_per_voxel, batch_size = 30, 8


class UNet32(UNet):
    """The same with thirty-two slices, of which it answers for the eight in their middle, and wider layers. Thirty-two
    slices of 14 Å hold a ribosome, and so much of a vesicle that its ends, that no tilt shows, follow from the rest."""

    name = "unet32"
    weak = UNet16.weak
    slices_in, slices_out = 32, 8
    widths = (48, 96, 128)
    bytes_per_voxel, batch_size, ema = 30, 8, 0.995
