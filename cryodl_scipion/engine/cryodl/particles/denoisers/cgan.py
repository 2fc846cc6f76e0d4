# SPDX-License-Identifier: GPL-3.0-or-later
"""The published denoiser: a conditional GAN, particle in, projection out (Isola et al. 2017 for the scheme)."""

from __future__ import annotations

import typing

import torch
import torch.nn.functional as F
from torch import nn

from .blocks import Bottleneck
from .method import DenoiserMethod, DenoiserNetwork

if typing.TYPE_CHECKING:
    from .scales import Statistics

WIDTHS = (64, 128, 256, 512, 512, 512)
RESIDUAL = (2, 2, 2, 3, 3, 3)  # blocks after each convolution
EPOCHS = 21
HEADROOM = 1.25  # of the range of tanh over the largest target seen


def depth(box: int) -> int:
    """Layers that halve the image until two places are left along an axis, at most six. 256 px: six, 32 px: four."""
    return min(len(WIDTHS), max(1, (box // 2).bit_length() - 1))


class GeneratorUNet(DenoiserNetwork):
    """Residual U-net of the published GAN, (b, 1, box, box) in and out.

    Published are: an encoder 64-128-256-512-512-512 of 4x4 convolutions of stride 2, after each 2-3 bottleneck residual
    blocks (1x1, 3x3, 1x1, a quarter of the width), ELU, batch normalisation, additive skips, a mirrored decoder, tanh
    to [-1, 1]; the raw particle is the condition. Ours where that leaves a choice: two blocks at 64, 128 and 256
    channels and three at 512; each convolution followed by batch normalisation and ELU, but none normalised at the
    first and last; transposed 4x4 convolutions of stride 2 in the decoder, the encoder's output of the same size added
    before the decoder's blocks; no dropout; running means in batch normalisation when denoising. Images have a
    background of mean 0 and standard deviation 1; targets are divided by 1.25 times the largest value of a sample, so
    that tanh can reach them. Boxes are padded with zeros to a multiple of what the depth needs; boxes under 128 px have
    fewer layers, the last ones left out.
    """

    range: torch.Tensor

    def __init__(self, box: int) -> None:
        super().__init__()
        self.box = box
        widths = WIDTHS[: depth(box)]
        unit = 2 ** len(widths)
        self.side = unit * -(-box // unit)
        inward = (1, *widths[:-1])
        self.encoder = nn.ModuleList(
            _stage(nn.Conv2d(a, b, 4, 2, 1, bias=a == 1), b, blocks, normalised=a != 1)
            for a, b, blocks in zip(inward, widths, RESIDUAL)
        )
        self.decoder = nn.ModuleList(_decoder_stage(a, b) for a, b in zip(widths[:0:-1], widths[-2::-1]))
        self.refine = nn.ModuleList(
            nn.Sequential(*(Bottleneck(b) for _ in range(blocks)))
            for b, blocks in zip(widths[-2::-1], RESIDUAL[len(widths) - 2 :: -1])
        )
        self.last = nn.ConvTranspose2d(widths[0], 1, 4, 2, 1)
        self.register_buffer("range", torch.ones(()))

    def learn_scale(self, statistics: Statistics) -> None:
        self.range.fill_(HEADROOM * statistics.largest)

    def prepare(self, noisy: torch.Tensor, ctf: torch.Tensor) -> torch.Tensor:
        return noisy

    def working(self, target: torch.Tensor) -> torch.Tensor:
        return target / self.range

    def finished(self, output: torch.Tensor) -> torch.Tensor:
        return output * self.range

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = (self.side - self.box) // 2
        after = self.side - self.box - before
        x = F.pad(x, (before, after, before, after))
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        for stage, blocks, skip in zip(self.decoder, self.refine, skips[-2::-1]):
            x = blocks(stage(x) + skip)
        x = torch.tanh(self.last(x))
        return x[..., before : before + self.box, before : before + self.box]


def _stage(convolution: nn.Module, width: int, blocks: int, normalised: bool) -> nn.Sequential:
    norm = [nn.BatchNorm2d(width)] if normalised else []
    return nn.Sequential(convolution, *norm, nn.ELU(), *(Bottleneck(width) for _ in range(blocks)))


def _decoder_stage(before: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(before, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ELU())


class ConditionalGAN(DenoiserMethod):
    """Published: 100 x L1 + the discriminator's cross-entropy, Adam with beta1 0.5 at 4e-4 (network) and 1.5e-4
    (discriminator), batches of one, about 21 epochs, flips; the rate stays the same (our choice, as after warming
    up)."""

    name = "cgan"
    weak = (
        "a GAN's pictures look real whether or not they are right, and the raw particle, which this network is "
        "given, hides what the CTF inverts."
    )
    learning_rate = 4e-4
    decay = 1.0
    ema = 0.0
    batch_size = 1
    adversarial = 1.0
    uses_ctf = False

    def build(self, box: int, molecules: int = 1) -> DenoiserNetwork:
        return GeneratorUNet(box)

    def usual_steps(self, particles: int) -> int:
        return EPOCHS * particles

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Published: Adam with beta1 0.5."""
        return torch.optim.Adam(network.parameters(), lr=self.learning_rate, betas=(0.5, 0.999))
