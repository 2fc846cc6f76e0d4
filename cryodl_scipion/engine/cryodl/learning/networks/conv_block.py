# SPDX-License-Identifier: GPL-3.0-or-later
"""The block of convolutions that U-nets of several wings are made of."""

from __future__ import annotations

import typing

import torch.nn.functional as F
from torch import nn

if typing.TYPE_CHECKING:
    import torch


class ConvBlock(nn.Module):
    """Two convolutions of 3 px with batch norm and ReLU, and a shortcut. (b, c_in, h, w) -> (b, c_out, h, w), or (b,
    c_in, z, h, w) -> (b, c_out, z, h, w) with three dimensions."""

    def __init__(self, c_in: int, c_out: int, dimensions: int = 2) -> None:
        super().__init__()
        conv, norm = {2: (nn.Conv2d, nn.BatchNorm2d), 3: (nn.Conv3d, nn.BatchNorm3d)}[dimensions]
        self.first = nn.Sequential(conv(c_in, c_out, 3, padding=1, bias=False), norm(c_out), nn.ReLU(inplace=True))
        self.second = nn.Sequential(conv(c_out, c_out, 3, padding=1, bias=False), norm(c_out))
        self.shortcut = nn.Identity() if c_in == c_out else conv(c_in, c_out, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.second(self.first(x)) + self.shortcut(x), inplace=True)
