# SPDX-License-Identifier: GPL-3.0-or-later
"""This project's denoiser: a small 2-D Swin-Conv-UNet that sees the whole particle at once.

Blocks that the denoisers' networks are made of. All keep the shape (b, c, h, w) of what they are given."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ...core.devices import in_memory_format
from ...learning.networks import SwinConvBlock, WindowAttention
from . import method, scales

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
        return x + super().forward(self.norm(x))


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


# Its row in contract/networks.py, which reads this text.
NETWORKS = (
    ("denoiser", 1, "swinconv", "SwinConv", "a two-dimensional Swin-Conv-UNet", ("Zhang2023SCUNet", "He2023EMReady")),
)

SHARPENING = 0.8
WIDTHS = (256, 128, 64, 32)  # channels from the coarsest grid to the finest; finer ones have the last
ATTENTION = 2  # coarsest grids with Swin-Conv blocks, two each; finer ones have one convolution block
CONTEXT = 512  # values that the whole image is seen as at once
CONTEXT_SIDE = 64  # px, at most, that it is brought to for that
LARGEST_GRID = 64  # side of the finest grid; larger boxes are folded more


def fold_plan(box: int) -> tuple[int, int, int]:
    """How the network sees a box: its fold (px that become channels, along an axis), its levels (halvings of the grid),
    and the side that the box is padded to."""
    fold = 4
    while box > fold * LARGEST_GRID:
        fold *= 2
    levels = max(1, int(math.log2(box / fold / 4)))  # until 4 to 8 positions are left along an axis
    unit = fold * 2**levels
    return fold, levels, unit * math.ceil(box / unit)


class ImageContext(nn.Module):
    """The whole image at once: each of GLANCE values weighs all pixels before anything is cut off, as a template does.
    What a pixel shows is far below the noise; what they show together is not. (b, 1, side, side) ->
    (b, channels, grid, grid)."""

    def __init__(self, side: int, channels: int, grid: int) -> None:
        super().__init__()
        self.pool, self.channels, self.grid = -(-side // CONTEXT_SIDE), channels, grid
        self.layers = nn.Sequential(
            nn.Linear((side // self.pool) ** 2, CONTEXT),
            Perceptron(CONTEXT),
            Perceptron(CONTEXT),
            nn.LayerNorm(CONTEXT),
            nn.Linear(CONTEXT, channels * grid**2),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = F.avg_pool2d(x, self.pool) if self.pool > 1 else x
        return self.layers(seen.flatten(1)).reshape(-1, self.channels, self.grid, self.grid)


class SwinConvUNet(method.DenoiserNetwork):
    """A U-net whose coarse levels compare all parts of the particle with each other.

    Which way the particle lies is decided at the two coarsest grids, of 4 to 14 places along each axis, by a glance at
    the whole image and by blocks whose attention spans most or all of it; what it looks like from there is drawn at the
    finer ones by plain convolutions, which cost half of what Swin-Conv blocks do there. Input and output are folded:
    pixels of a square become channels."""

    def __init__(self, box: int) -> None:
        super().__init__()
        self.box = box
        self.fold, levels, self.side = fold_plan(box)
        widths = [WIDTHS[min(level, len(WIDTHS) - 1)] for level in range(levels, -1, -1)]
        make = lambda level: nn.Sequential(
            *(ImageSwinConvBlock(widths[level], shifted) for shifted in (False, True))
            if levels - level < ATTENTION
            else [ResidualConvBlock(widths[level])]
        )
        # `glance` is in the names of the weights of saved models.
        self.glance = ImageContext(self.side, widths[-1], self.side // self.fold // 2**levels)
        self.first = nn.Conv2d(self.fold**2, widths[0], 3, padding=1)
        self.down = nn.ModuleList(make(level) for level in range(levels))
        self.coarser = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in zip(widths, widths[1:]))
        self.body = make(levels)
        self.finer = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in zip(widths, widths[1:]))
        self.up = nn.ModuleList(make(level) for level in range(levels))
        self.last = nn.Conv2d(widths[0], self.fold**2, 3, padding=1)
        self.scale = scales.FrequencyScale(box, SHARPENING)

    def prepare(self, noisy: torch.Tensor, ctf: torch.Tensor) -> torch.Tensor:
        return self.scale.restored(noisy, ctf)

    def working(self, target: torch.Tensor) -> torch.Tensor:
        return self.scale.working(target)

    def finished(self, output: torch.Tensor) -> torch.Tensor:
        return self.scale.finished(output)

    def learn_scale(self, statistics: scales.Statistics) -> None:
        self.scale.learn(statistics)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = (self.side - self.box) // 2
        after = self.side - self.box - before
        x = F.pad(x, (before, after, before, after))
        context = self.glance(x)
        x = first = self.first(F.pixel_unshuffle(x, self.fold).contiguous(memory_format=torch.channels_last))
        skips = []
        for blocks, coarser in zip(self.down, self.coarser):
            skips.append(blocks(x))
            x = coarser(skips[-1])
        x = self.body(x + context)
        for blocks, finer, skip in reversed(list(zip(self.up, self.finer, skips))):
            x = blocks(finer(x) + skip)
        x = F.pixel_shuffle(self.last(x + first), self.fold)
        return x[..., before : before + self.box, before : before + self.box]


class SwinConv(method.DenoiserMethod):
    """Swin-Conv-UNet, given the image after a Wiener filter, taught on sharpened projections."""

    name = "swinconv"
    blanks, boost, boosted, ema = 1 / 16, 5.0, 0.6, 0.995

    def build(self, box: int, molecules: int = 1) -> method.DenoiserNetwork:
        return in_memory_format(SwinConvUNet(box), torch.channels_last)

    def default_steps(self, particles: int) -> int:
        return 6000 if particles >= 500 else 3000
