# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of the 3-D Swin-Conv-UNet (He, Li and Huang 2023; Zhang et al. 2022 in two dimensions)."""

import torch
import torch.nn.functional as F
from torch import nn

from ...learning.networks.folding import folded, unfolded


class FilterResponseNorm(nn.Module):
    """Filter response normalisation with its thresholded activation (Singh and Krishnan 2020): each channel over its
    own root mean square; no batch, no mean, so that boxes are independent and empty solvent stays empty."""

    def __init__(self, channels, epsilon=1e-6):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.threshold = nn.Parameter(torch.zeros(channels))
        self.epsilon = epsilon

    def forward(self, x):
        shape = (1, -1, 1, 1, 1)
        power = x.float().square().mean(dim=(2, 3, 4), keepdim=True)
        x = x * torch.rsqrt(power + self.epsilon).to(x.dtype)
        return torch.maximum(x * self.scale.reshape(shape) + self.shift.reshape(shape), self.threshold.reshape(shape))


class WindowAttention(nn.Module):
    """Self-attention within cubic windows of a (b, d, h, w, c) tensor, whose sides are multiples of the window's.

    A learnt bias for each relative position. shifted: windows are moved by half their side; parts that came from the
    opposite border are kept from seeing each other (Liu et al. 2021).
    """

    def __init__(self, channels, window, head_channels, shifted):
        super().__init__()
        self.heads, self.window, self.shift = channels // head_channels, window, window // 2 if shifted else 0
        self.queries_keys_values = nn.Linear(channels, 3 * channels)
        self.mixed = nn.Linear(channels, channels)
        self.bias = nn.Parameter(torch.zeros(self.heads, (2 * window - 1) ** 3))
        nn.init.trunc_normal_(self.bias, std=0.02)
        place = torch.stack(torch.meshgrid(*[torch.arange(window)] * 3, indexing="ij"), -1).reshape(-1, 3)
        offset = place[:, None] - place[None] + window - 1
        index = (offset[..., 0] * (2 * window - 1) + offset[..., 1]) * (2 * window - 1) + offset[..., 2]
        self.register_buffer("index", index, persistent=False)

    def forward(self, x):
        b, *sides, c = x.shape
        n, shift = self.window, self.shift if min(x.shape[1:4]) > self.window else 0
        moved = torch.roll(x, (-shift,) * 3, (1, 2, 3)) if shift else x
        tokens = _windows(moved, n)
        parts = self.queries_keys_values(tokens).reshape(len(tokens), n**3, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        bias = self.bias[:, self.index].to(query.dtype)[None]
        if shift:
            bias = bias + _border_mask(sides, n, shift, x.device).to(query.dtype).repeat(b, 1, 1)[:, None]
        answer = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        answer = self.mixed(answer.transpose(1, 2).reshape(len(tokens), n**3, c))
        answer = _whole(answer, n, b, sides)
        return torch.roll(answer, (shift,) * 3, (1, 2, 3)) if shift else answer


def _windows(x, n):
    """(b, d, h, w, c) to (b * number of windows, n^3, c)."""
    b, d, h, w, c = x.shape
    x = x.reshape(b, d // n, n, h // n, n, w // n, n, c)
    return x.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, n**3, c)


def _whole(tokens, n, b, sides):
    d, h, w = sides
    x = tokens.reshape(b, d // n, h // n, w // n, n, n, n, -1)
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(b, d, h, w, -1)


def _border_mask(sides, n, shift, device):
    """(number of windows, n^3, n^3): 0 where two places of a shifted window belong together, else a large negative."""
    region = torch.zeros(1, *sides, 1, device=device)
    for axis, side in enumerate(sides, 1):
        place = torch.arange(side, device=device)
        part = (place >= side - n).long() + (place >= side - shift).long()
        shape = [1] * 5
        shape[axis] = side
        region = region * 3 + part.reshape(shape)
    region = _windows(region, n)[..., 0]
    return torch.where(region[:, :, None] == region[:, None], 0.0, -100.0)


class SwinConvBlock(nn.Module):
    """Half of the channels through a residual convolution, half through window attention, joined by 1x1x1.

    attention: False leaves the second half out: all channels go through the convolution (for comparison).
    drop: part of the training examples for which a half is skipped (drop path).
    """

    def __init__(self, channels, window, head_channels, shifted, drop=0.0, attention=True):
        super().__init__()
        self.near = channels // 2 if attention else channels
        far = channels - self.near
        self.drop = drop
        self.split = nn.Conv3d(channels, channels, 1)
        self.convolution = nn.Sequential(
            nn.Conv3d(self.near, self.near, 3, padding=1, bias=False),
            FilterResponseNorm(self.near),
            nn.Conv3d(self.near, self.near, 3, padding=1, bias=False),
        )
        if far:
            self.first_norm, self.second_norm = nn.LayerNorm(far), nn.LayerNorm(far)
            self.attention = WindowAttention(far, window, head_channels, shifted)
            self.feed = nn.Sequential(nn.Linear(far, 4 * far), nn.GELU(), nn.Linear(4 * far, far))
        self.join = nn.Conv3d(channels, channels, 1)

    def forward(self, x):
        near, far = self.split(x).split([self.near, x.shape[1] - self.near], dim=1)
        near = near + self.convolution(near)
        if far.shape[1]:
            far = far.permute(0, 2, 3, 4, 1)
            far = far + self._dropped(self.attention(self.first_norm(far)))
            far = far + self._dropped(self.feed(self.second_norm(far)))
            near = torch.cat([near, far.permute(0, 4, 1, 2, 3)], dim=1)
        return x + self.join(near)

    def _dropped(self, x):
        """Drop path: the branch is left out for some examples while training, and made up for in the others."""
        if not self.training or self.drop == 0:
            return x
        keep = torch.rand((len(x),) + (1,) * (x.dim() - 1), device=x.device) >= self.drop
        return x * (keep / (1 - self.drop)).to(x.dtype)


class SwinConvUNet(nn.Module):
    """(b, 1, n, n, n) to (b, outputs, n, n, n), n a multiple of fold * 8 * window.

    dim: channels of the finest level; they double at each of three strided convolutions. blocks: numbers of them in a
    stage of each of the four levels, the finest first. fold: voxels along an axis that become channels at the input,
    and come back at the output. drop: drop path of the last block; it rises evenly to there. residual: the first output
    is a change of the input, none before training.
    """

    def __init__(self, dim, blocks, window, head_channels, fold=1, outputs=1, drop=0.0, attention=True, residual=False):
        super().__init__()
        self.fold, self.residual = fold, residual
        total = 2 * sum(blocks[:3]) + blocks[3]
        rates = iter([drop * k / max(1, total - 1) for k in range(total)])
        widths = [dim, 2 * dim, 4 * dim, 8 * dim]
        stage = lambda channels: nn.Sequential(
            *[
                SwinConvBlock(channels, window, head_channels, bool(k % 2), next(rates), attention)
                for k in range(blocks[widths.index(channels)])
            ]
        )
        self.head = nn.Conv3d(fold**3, dim, 3, padding=1, bias=False)
        self.down = nn.ModuleList(stage(w) for w in widths[:3])
        self.coarser = nn.ModuleList(nn.Conv3d(a, b, 2, stride=2, bias=False) for a, b in zip(widths, widths[1:]))
        self.body = stage(widths[3])
        self.finer = nn.ModuleList(
            nn.ConvTranspose3d(b, a, 2, stride=2, bias=False) for a, b in reversed(list(zip(widths, widths[1:])))
        )
        self.up = nn.ModuleList(stage(w) for w in reversed(widths[:3]))
        self.tail = nn.Conv3d(dim, outputs * fold**3, 3, padding=1, bias=False)
        if residual:
            nn.init.zeros_(self.tail.weight)

    def forward(self, data):
        x = self.head(folded(data, self.fold))
        skips = [x]
        for blocks, coarser in zip(self.down, self.coarser):
            skips.append(coarser(blocks(skips[-1])))
        x = self.body(skips[-1])
        for finer, blocks in zip(self.finer, self.up):
            x = blocks(finer(x + skips.pop()))
        output = unfolded(self.tail(x + skips.pop()), self.fold)
        return torch.cat([output[:, :1] + data, output[:, 1:]], dim=1) if self.residual else output
