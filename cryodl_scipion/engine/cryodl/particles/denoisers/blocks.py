# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks that the denoisers' networks are made of. All keep the shape (b, c, h, w) of what they are given."""

import torch
import torch.nn.functional as F
from torch import nn

WINDOW = 8  # side of the largest attention window


def window_side(grid):
    """The largest side of windows, at most WINDOW, that tile a grid of this side."""
    return max(side for side in range(1, WINDOW + 1) if grid % side == 0)


class ConvBlock(nn.Module):
    """Residual block of two 3x3 convolutions, normalised over channels and positions."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.second(F.relu(self.first(self.norm(x))))


class WindowAttention(nn.Module):
    """Self-attention within windows of a (b, h, w, c) tensor, with a learnt bias for each relative position.

    shifted: windows are moved by half their side, around the border, unless one window holds all (Liu et al. 2021).
    """

    def __init__(self, channels, shifted, head_channels=16):
        super().__init__()
        self.heads, self.shifted = max(1, channels // head_channels), shifted
        self.norm = nn.LayerNorm(channels)
        self.queries_keys_values = nn.Linear(channels, 3 * channels)
        self.mixed = nn.Linear(channels, channels)
        self.bias = nn.Parameter(torch.zeros(self.heads, 2 * WINDOW - 1, 2 * WINDOW - 1))

    def forward(self, x):
        b, h, w, c = x.shape
        side = window_side(h)
        shift = side // 2 if self.shifted and h > side else 0
        moved = torch.roll(x, (-shift, -shift), (1, 2)) if shift else x
        tokens = moved.reshape(b, h // side, side, w // side, side, c).transpose(2, 3).reshape(-1, side**2, c)
        parts = self.queries_keys_values(self.norm(tokens)).reshape(len(tokens), side**2, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        answer = F.scaled_dot_product_attention(query, key, value, attn_mask=self._bias(side).to(query.dtype))
        answer = self.mixed(answer.transpose(1, 2).reshape(len(tokens), side**2, c))
        answer = answer.reshape(b, h // side, w // side, side, side, c).transpose(2, 3).reshape(b, h, w, c)
        return x + (torch.roll(answer, (shift, shift), (1, 2)) if shift else answer)

    def _bias(self, side):
        """(heads, side^2, side^2) from the relative positions of any window that is not larger than WINDOW."""
        place = torch.arange(side, device=self.bias.device)
        offset = place[:, None] - place[None] + WINDOW - 1
        y, x = offset[:, None, :, None].expand(-1, side, -1, side), offset[None, :, None, :].expand(side, -1, side, -1)
        return self.bias[:, y, x].reshape(self.heads, side**2, side**2)


class SwinConvBlock(nn.Module):
    """Half of the channels through a residual convolution, half through window attention, joined by a 1x1 convolution
    (Zhang et al. 2022; methods.md has its 3-D form)."""

    def __init__(self, channels, shifted):
        super().__init__()
        half = channels // 2
        self.split = nn.Conv2d(channels, channels, 1)
        self.convolution = ConvBlock(half)
        self.attention = WindowAttention(half, shifted)
        self.norm = nn.LayerNorm(half)
        self.feed = nn.Sequential(nn.Linear(half, 2 * half), nn.GELU(), nn.Linear(2 * half, half))
        self.join = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        near, far = self.split(x).chunk(2, dim=1)
        far = self.attention(far.permute(0, 2, 3, 1))
        far = (far + self.feed(self.norm(far))).permute(0, 3, 1, 2)
        return x + self.join(torch.cat([self.convolution(near), far], dim=1))


class Perceptron(nn.Module):
    """Residual block of two connected layers on (b, c) vectors. It hardly changes anything before training."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.first, self.second = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        nn.init.normal_(self.second.weight, std=1e-3)

    def forward(self, x):
        return x + self.second(F.gelu(self.first(self.norm(x))))


class Bottleneck(nn.Module):
    """Bottleneck residual block of the published GAN: 1x1, 3x3 and 1x1 convolutions at a quarter of the width, each
    with batch normalisation, and ELU."""

    def __init__(self, channels):
        super().__init__()
        narrow = channels // 4
        self.layers = nn.Sequential(
            nn.Conv2d(channels, narrow, 1, bias=False),
            nn.BatchNorm2d(narrow),
            nn.ELU(),
            nn.Conv2d(narrow, narrow, 3, padding=1, bias=False),
            nn.BatchNorm2d(narrow),
            nn.ELU(),
            nn.Conv2d(narrow, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x):
        return F.elu(x + self.layers(x))
