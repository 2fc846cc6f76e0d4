# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks that the denoisers' networks are made of. All keep the shape (b, c, h, w) of what they are given."""

import torch
import torch.nn.functional as F
from torch import nn

from ...learning.networks import SwinConvBlock, WindowAttention

WINDOW = 8  # side of the largest attention window
HEAD_CHANNELS = 16


class ResidualConvBlock(nn.Module):
    """Residual block of two 3x3 convolutions, normalised over channels and positions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(F.relu(self.first(self.norm(x))))


class ImageAttention(WindowAttention):
    """Residual, normalised window attention on a (b, h, w, c) tensor; shifted windows go around the border."""

    def __init__(self, channels: int, shifted: bool) -> None:
        heads = max(1, channels // HEAD_CHANNELS)
        bias = nn.Parameter(torch.zeros(heads, 2 * WINDOW - 1, 2 * WINDOW - 1))
        super().__init__(channels, heads, WINDOW, bias, shifted, wraps=True)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.attend(self.norm(x))


class ImageSwinConvBlock(SwinConvBlock):
    """Half of the channels through a residual convolution, half through window attention; of (b, c, h, w) tensors."""

    def __init__(self, channels: int, shifted: bool) -> None:
        super().__init__()
        half = channels // 2
        self.near_channels = half
        self.split = nn.Conv2d(channels, channels, 1)
        self.convolution = ResidualConvBlock(half)
        self.attention = ImageAttention(half, shifted)
        self.norm = nn.LayerNorm(half)
        self.feed = nn.Sequential(nn.Linear(half, 2 * half), nn.GELU(), nn.Linear(2 * half, half))
        self.join = nn.Conv2d(channels, channels, 1)

    def near(self, x: torch.Tensor) -> torch.Tensor:
        return self.convolution(x)

    def far(self, x: torch.Tensor) -> torch.Tensor:
        x = self.attention(x)
        return x + self.feed(self.norm(x))


class Perceptron(nn.Module):
    """Residual block of two connected layers on (b, c) vectors. It hardly changes anything before training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.first, self.second = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        nn.init.normal_(self.second.weight, std=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(F.gelu(self.first(self.norm(x))))
