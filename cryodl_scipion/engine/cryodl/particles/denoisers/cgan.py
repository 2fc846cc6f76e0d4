# SPDX-License-Identifier: GPL-3.0-or-later
"""The published denoiser: a conditional GAN, particle in, projection out (Isola et al. 2017 for the scheme).

The generator of the published GAN: a particle in, its projection out."""

import torch
import torch.nn.functional as F
from torch import nn

from . import method, scales
from .discriminator import Convolution, bottlenecks, image_norm, initialise

WIDTHS = (64, 128, 256, 512, 512, 512)
RESIDUAL = (3, 3, 3, 3, 2, 0)  # blocks of each encoder stage, outermost first; the decoder mirrors them
SMALLEST = 4  # positions along an axis in the middle, as of 256 px
HEADROOM = 1.25  # of the range of tanh over the largest target seen
LEVELS = 255  # steps of an 8-bit image


def depth(box: int) -> int:
    """Layers that halve the image until 4 positions are left along an axis, at most six. 256 px: six, 64 px: four."""
    return min(len(WIDTHS), max(1, (box // SMALLEST).bit_length() - 1))


class GeneratorUNet(method.DenoiserNetwork):
    """Residual U-net of the published GAN, (b, 1, box, box) in and out.

    As in its authors' public code (cianfrocco-lab/GAN-for-Cryo-EM-image-denoising): an encoder 64-128-256-512-512-512
    of 4x4 convolutions of stride 2 with 3, 3, 3, 3, 2, 0 bottleneck residual blocks; a decoder of transposed 4x4
    convolutions with 2, 3, 3, 3, 3, 0 blocks; each convolution normalised, the first one too, but not the last; ELU;
    what is carried across and added is the normalised output of the encoder's convolution, before its ELU and blocks;
    tanh to [-1, 1]; first weights of standard deviation 0.02; no dropout and no noise vector z, so one particle has one
    answer. There, batches hold one image, and its own mean and variance normalise it, in training and denoising: here
    each image is normalised by itself in batches of any size.

    The condition is the raw particle as an 8-bit image between -1 and 1. Ours, where the code leaves it open: black and
    white of these 8 bits are the darkest and brightest pixel; targets are divided by 1.25 times the largest value of a
    sample, so that tanh can reach them, and are not rounded to 8 bits; boxes are padded with zeros to a multiple of
    what the depth needs; boxes under 256 px have fewer layers, and the innermost stages keep their 2 and 0 blocks."""

    range: torch.Tensor

    def __init__(self, box: int) -> None:
        super().__init__()
        self.box = box
        widths = WIDTHS[: depth(box)]
        unit, blocks = 2 ** len(widths), RESIDUAL[-len(widths) :]
        self.side = unit * -(-box // unit)
        self.encoder = nn.ModuleList(
            nn.Sequential(Convolution(a, b, 4, 2, 1, bias=False), image_norm(b)) for a, b in zip((1, *widths), widths)
        )
        self.encoder_blocks = nn.ModuleList(bottlenecks(width, n) for width, n in zip(widths, blocks))
        self.decoder = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), image_norm(b))
            for a, b in zip(widths[:0:-1], widths[-2::-1])
        )
        self.decoder_blocks = nn.ModuleList(bottlenecks(width, n) for width, n in zip(widths[-2::-1], blocks[-2::-1]))
        self.last = nn.ConvTranspose2d(widths[0], 1, 4, 2, 1)
        self.register_buffer("range", torch.ones(()))
        initialise(self)

    def learn_scale(self, statistics: scales.Statistics) -> None:
        self.range.fill_(HEADROOM * statistics.largest)

    def prepare(self, noisy: torch.Tensor, ctf: torch.Tensor) -> torch.Tensor:
        darkest, brightest = noisy.amin((-2, -1), keepdim=True), noisy.amax((-2, -1), keepdim=True)
        return (LEVELS * (noisy - darkest) / (brightest - darkest).clamp(min=1e-12)).round() * (2 / LEVELS) - 1

    def working(self, target: torch.Tensor) -> torch.Tensor:
        return target / self.range

    def finished(self, output: torch.Tensor) -> torch.Tensor:
        return output * self.range

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = (self.side - self.box) // 2
        after = self.side - self.box - before
        x, skips = F.pad(x, (before, after, before, after)), []
        for halving, blocks in zip(self.encoder, self.encoder_blocks):
            skips.append(halving(x))
            x = blocks(F.elu(skips[-1]))
        for doubling, blocks, skip in zip(self.decoder, self.decoder_blocks, skips[-2::-1]):
            x = blocks(F.elu(doubling(x) + skip))
        return torch.tanh(self.last(x))[..., before : before + self.box, before : before + self.box]


# Its row in contract/networks.py, which reads this text.
NETWORKS = (("denoiser", 2, "cgan", "ConditionalGAN", "a conditional GAN", ("Isola2017",)),)

EPOCHS = 21


class ConditionalGAN(method.DenoiserMethod):
    """Published: 100 x L1 + the discriminator's cross-entropy, Adam with beta1 0.5 at 4e-4 (network) and 1.5e-4
    (discriminator) throughout, batches of one, 21 epochs, images mirrored left to right at random."""

    name = "cgan"
    weak = (
        "the images of a GAN look real even if they are wrong, and its input, the raw particle, is not corrected "
        "for the phases that the CTF inverts."
    )
    learning_rate, decay, ema, batch_size = 4e-4, 1.0, 0.0, 1
    adversarial = 1.0
    uses_ctf = False
    rotations = scales.LEFT_RIGHT

    def build(self, box: int, molecules: int = 1) -> method.DenoiserNetwork:
        return GeneratorUNet(box)

    def default_steps(self, particles: int) -> int:
        return EPOCHS * particles

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Published: Adam with beta1 0.5."""
        return torch.optim.Adam(network.parameters(), lr=self.learning_rate, betas=(0.5, 0.999), fused=True)
