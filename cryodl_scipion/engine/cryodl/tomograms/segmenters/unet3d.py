# SPDX-License-Identifier: GPL-3.0-or-later
"""A small U-net with three-dimensional convolutions (Çiçek et al. 2016): it sees most, and costs most."""

from __future__ import annotations

import typing

import torch
import torch.nn.functional as F
from torch import nn

from ...learning.networks.conv_block import ConvBlock
from .method import SegmenterMethod

WIDTHS = (16, 32, 48)
FOLD = 2  # in y and x; along z every slice stays, since there is less of it


class VolumeUNet(nn.Module):
    """(b, slices_in, h, w) -> (b, features * slices_out, h, w) log odds, those of the slices in the middle, one feature
    after the other.

    h and w are multiples of FOLD * 2 ** (levels - 1), slices_in of 2 ** (levels - 1).
    """

    def __init__(self, slices_out: int, widths: typing.Sequence[int] = WIDTHS, features: int = 1) -> None:
        super().__init__()
        self.slices_out, self.features = slices_out, features
        self.down = nn.ModuleList(ConvBlock(a, b, 3) for a, b in zip((FOLD**2,) + tuple(widths), widths))
        pairs = list(zip(widths[:0:-1], widths[-2::-1]))
        self.reduce = nn.ModuleList(nn.Conv3d(a, b, 1, bias=False) for a, b in pairs)
        self.up = nn.ModuleList(ConvBlock(b, b, 3) for _, b in pairs)
        self.head = nn.Conv3d(widths[0], FOLD**2 * features, 1)
        nn.init.constant_(typing.cast("torch.Tensor", self.head.bias), -2.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, z, h, w = x.shape
        x = F.pixel_unshuffle(x.reshape(b * z, 1, h, w), FOLD)
        x = x.reshape(b, z, FOLD**2, h // FOLD, w // FOLD).transpose(1, 2)
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool3d(x, 2))
            skips.append(x)
        for reduce, block, skip in zip(self.reduce, self.up, skips[-2::-1]):
            x = block(skip + F.interpolate(reduce(x), scale_factor=2.0, mode="nearest"))
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
    overlap = 48
    batch_size = 4
    crop = 64
    learning_rate = 0.002
    memory_format = torch.channels_last_3d

    def build(self, features: int = 1) -> VolumeUNet:
        return VolumeUNet(self.slices_out, features=features)

    def default_steps(self, tiles: int) -> int:
        return int(min(1200, max(300, 2 * tiles)))
