# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts that the Swin-Conv networks for images and volumes share: window attention, and the two-part block."""

from __future__ import annotations

import typing

import torch
import torch.nn.functional as F
from torch import nn


def window_side(grid: int, largest: int) -> int:
    """The largest side of windows, at most `largest`, that tile a grid of this side."""
    return max(side for side in range(1, largest + 1) if grid % side == 0)


def to_windows(x: torch.Tensor, n: int) -> torch.Tensor:
    """Cut a grid into square or cubic windows.

    Parameters
    ----------
    x : Tensor, (b, *sides, c)
        Sides are multiples of n.
    n : int
        Side of a window.

    Returns
    -------
    Tensor, (b * number of windows, n^d, c)
    """
    b, *sides, c = x.shape
    d = len(sides)
    cut = x.reshape(b, *[length for side in sides for length in (side // n, n)], c)
    order = (0, *range(1, 2 * d, 2), *range(2, 2 * d + 1, 2), 2 * d + 1)
    return cut.permute(order).reshape(-1, n**d, c)


def from_windows(tokens: torch.Tensor, n: int, sides: typing.Sequence[int]) -> torch.Tensor:
    """The (b, *sides, c) grid whose windows of side n are `tokens`, (b * number of windows, n^d, c)."""
    d, c = len(sides), tokens.shape[-1]
    cut = tokens.reshape(-1, *[side // n for side in sides], *(n,) * d, c)
    order = (0, *[axis for i in range(1, d + 1) for axis in (i, i + d)], 2 * d + 1)
    return cut.permute(order).reshape(-1, *sides, c)


def relative_positions(n: int, window: int, d: int, device: torch.device | None = None) -> torch.Tensor:
    """(n^d, n^d) numbers of the relative positions of pairs within a window of side n, out of (2 window - 1)^d."""
    positions = torch.cartesian_prod(*[torch.arange(n, device=device)] * d).reshape(-1, d)
    offset = positions[:, None] - positions[None] + window - 1
    number = offset[..., 0]
    for axis in range(1, d):
        number = number * (2 * window - 1) + offset[..., axis]
    return number


def border_mask(sides: typing.Sequence[int], n: int, shift: int, device: torch.device) -> torch.Tensor:
    """(number of windows, n^d, n^d): 0 for pairs of a shifted window that are neighbours, -100 for pairs that came
    together over the border."""
    region = torch.zeros(1, *sides, 1, device=device)
    for axis, side in enumerate(sides, 1):
        position = torch.arange(side, device=device)
        part = (position >= side - n).long() + (position >= side - shift).long()
        shape = [1] * region.dim()
        shape[axis] = side
        region = region * 3 + part.reshape(shape)
    region = to_windows(region, n)[..., 0]
    return torch.where(region[:, :, None] == region[:, None], 0.0, -100.0)


class WindowAttention(nn.Module):
    """Self-attention within windows of a (b, *sides, c) tensor, with a learnt bias for each relative position.

    Every other layer shifts the windows by half their side (Liu et al. 2021, section 3.2), unless one window holds
    all.

    Parameters
    ----------
    channels, heads : int
        Channels of the tensor, and heads that share them.
    window : int
        Side of the largest window.
    bias : nn.Parameter, (heads, ...)
        One value for each of the (2 window - 1)^d relative positions.
    wraps : bool
        Whether places of opposite borders that a shift brings together see each other.
    """

    def __init__(
        self, channels: int, heads: int, window: int, bias: nn.Parameter, shifted: bool, wraps: bool = False
    ) -> None:
        super().__init__()
        self.heads, self.window, self.shifted, self.wraps = heads, window, shifted, wraps
        self.queries_keys_values = nn.Linear(channels, 3 * channels)
        self.mixed = nn.Linear(channels, channels)
        self.bias = bias

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        """The answer of the attention, of the shape of x."""
        sides = x.shape[1:-1]
        n = window_side(min(sides), self.window)
        shift = n // 2 if self.shifted and min(sides) > n else 0
        axes = tuple(range(1, len(sides) + 1))
        tokens = to_windows(torch.roll(x, (-shift,) * len(sides), axes) if shift else x, n)
        parts = self.queries_keys_values(tokens).reshape(len(tokens), tokens.shape[1], 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        bias = self.bias.flatten(1)[:, relative_positions(n, self.window, len(sides), x.device)].to(query.dtype)[None]
        if shift and not self.wraps:
            bias = bias + border_mask(sides, n, shift, x.device).to(query.dtype).repeat(len(x), 1, 1)[:, None]
        answer = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        answer = from_windows(self.mixed(answer.transpose(1, 2).reshape(tokens.shape)), n, sides)
        return torch.roll(answer, (shift,) * len(sides), axes) if shift else answer


class SwinConvBlock(nn.Module):
    """Some channels through a convolution, the others through window attention, joined again (Zhang et al. 2022).

    A subclass makes `split` and `join`, convolutions of one pixel, and says what becomes of the two parts.
    near_channels: channels of the first part; if it has all, there is no second.
    """

    split: nn.Module
    join: nn.Module
    near_channels: int

    def near(self, x: torch.Tensor) -> torch.Tensor:
        """The first part, (b, c, *sides), after its convolutions."""
        raise NotImplementedError

    def far(self, x: torch.Tensor) -> torch.Tensor:
        """The second part, (b, *sides, c), after its attention."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, *sides) to the same shape."""
        near, far = self.split(x).split([self.near_channels, x.shape[1] - self.near_channels], dim=1)
        near = self.near(near)
        if far.shape[1]:
            near = torch.cat([near, self.far(far.movedim(1, -1)).movedim(-1, 1)], dim=1)
        result: torch.Tensor = x + self.join(near)
        return result
