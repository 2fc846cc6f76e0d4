# SPDX-License-Identifier: GPL-3.0-or-later
"""The generator of `cgan` models that were trained before it had the published layers: they can still be used."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .generator import WIDTHS, GeneratorUNet

RESIDUAL = (2, 2, 2, 3, 3, 3)  # blocks after each convolution


class FormerBottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions at a quarter of the width, with running means in their normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // 4
        self.layers = nn.Sequential(
            *_normalised(nn.Conv2d(channels, narrow, 1, bias=False), narrow),
            *_normalised(nn.Conv2d(narrow, narrow, 3, padding=1, bias=False), narrow),
            nn.Conv2d(narrow, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.elu(x + self.layers(x))


class FormerGeneratorUNet(GeneratorUNet):
    """Residual U-net, (b, 1, box, box) in and out, given the image as it is; skips are taken after the blocks."""

    def __init__(self, box: int) -> None:
        super(GeneratorUNet, self).__init__()
        self.box = box
        widths = WIDTHS[: max(1, (box // 2).bit_length() - 1)]
        unit = 2 ** len(widths)
        self.side = unit * -(-box // unit)
        first = nn.Sequential(nn.Conv2d(1, widths[0], 4, 2, 1), nn.ELU(), *_blocks(widths[0], RESIDUAL[0]))
        self.encoder = nn.ModuleList(
            nn.Sequential(*_normalised(nn.Conv2d(a, b, 4, 2, 1, bias=False), b), *_blocks(b, blocks))
            for a, b, blocks in zip(widths, widths[1:], RESIDUAL[1:])
        )
        self.encoder.insert(0, first)
        self.decoder = nn.ModuleList(
            nn.Sequential(*_normalised(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), b))
            for a, b in zip(widths[:0:-1], widths[-2::-1])
        )
        self.refine = nn.ModuleList(
            nn.Sequential(*_blocks(b, blocks)) for b, blocks in zip(widths[-2::-1], RESIDUAL[len(widths) - 2 :: -1])
        )
        self.last = nn.ConvTranspose2d(widths[0], 1, 4, 2, 1)
        self.register_buffer("range", torch.ones(()))

    def prepare(self, noisy: torch.Tensor, ctf: torch.Tensor) -> torch.Tensor:
        return noisy

    def _inner(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        for stage, blocks, skip in zip(self.decoder, self.refine, skips[-2::-1]):
            x = blocks(stage(x) + skip)
        return x


def _normalised(convolution: nn.Module, width: int) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(width), nn.ELU()]


def _blocks(width: int, count: int) -> list[nn.Module]:
    return [FormerBottleneck(width) for _ in range(count)]
