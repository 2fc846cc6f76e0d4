# SPDX-License-Identifier: GPL-3.0-or-later
"""A small U-net with 3-D convolutions (Çiçek et al. 2016): the largest context, and the slowest."""

import typing

import torch
import torch.nn.functional as F

from ...learning.networks import UNetLevels
from .method import SegmenterMethod

# Its row in contract/networks.py, which reads this text.
NETWORKS = (("segmenter", 2, "unet3d", "UNet3D", "a small 3-D U-Net", ("Cicek2016",)),)

WIDTHS = (16, 32, 48)
FOLD = 2  # in y and x; along z every slice stays, since there is less of it


class VolumeUNet(UNetLevels):
    """(b, slices_in, h, w) -> (b, features * slices_out, h, w) log odds, those of the slices in the middle, one feature
    after the other. h and w are multiples of FOLD * 2 ** (levels - 1), slices_in of 2 ** (levels - 1)."""

    def __init__(self, slices_out: int, widths: typing.Sequence[int] = WIDTHS, features: int = 1) -> None:
        super().__init__(FOLD**2, widths, FOLD**2 * features, 3, bias=-2.0)
        self.slices_out, self.features = slices_out, features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, z, h, w = x.shape
        x = F.pixel_unshuffle(x.reshape(b * z, 1, h, w), FOLD)
        x = self.levels(x.reshape(b, z, FOLD**2, h // FOLD, w // FOLD).transpose(1, 2))
        context = (z - self.slices_out) // 2
        x = self.head(x[:, :, context : context + self.slices_out])
        x = x.unflatten(1, (self.features, FOLD**2)).transpose(2, 3)
        x = F.pixel_shuffle(x.reshape(-1, FOLD**2, h // FOLD, w // FOLD), FOLD)
        return x.reshape(b, self.features * self.slices_out, h, w)


class UNet3D(SegmenterMethod):
    """Small U-net with 3-D convolutions on sixteen slices, of which it answers for the eight in the middle."""

    name = "unet3d"
    weak = "It is slow on CPUs."
    slices_in, slices_out = 16, 8
    bytes_per_voxel = 65
    granularity = FOLD * 2 ** (len(WIDTHS) - 1)
    overlap, crop, batch_size = 48, 64, 4
    learning_rate = 0.002
    memory_format = torch.channels_last_3d

    def build(self, features: int = 1) -> VolumeUNet:
        return VolumeUNet(self.slices_out, features=features)
