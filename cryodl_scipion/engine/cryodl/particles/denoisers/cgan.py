# SPDX-License-Identifier: GPL-3.0-or-later
"""The published denoiser: a conditional GAN, particle in, projection out (Isola et al. 2017 for the scheme)."""

from __future__ import annotations

import torch
from torch import nn

from .generator import GeneratorUNet
from .method import DenoiserMethod, DenoiserNetwork
from .rotations import LEFT_RIGHT

# Its row in contract/networks.py, which reads this text.
NETWORKS = (("denoiser", 2, "cgan", "ConditionalGAN", "a conditional GAN", ("Isola2017",)),)

EPOCHS = 21


class ConditionalGAN(DenoiserMethod):
    """Published: 100 x L1 + the discriminator's cross-entropy, Adam with beta1 0.5 at 4e-4 (network) and 1.5e-4
    (discriminator) throughout, batches of one, 21 epochs, images mirrored left to right at random."""

    name = "cgan"
    weak = (
        "the images of a GAN look real even if they are wrong, and its input, the raw particle, is not corrected "
        "for the phases that the CTF inverts."
    )
    learning_rate = 4e-4
    decay = 1.0
    ema = 0.0
    batch_size = 1
    adversarial = 1.0
    uses_ctf = False
    rotations = LEFT_RIGHT

    def build(self, box: int, molecules: int = 1) -> DenoiserNetwork:
        return GeneratorUNet(box)

    def default_steps(self, particles: int) -> int:
        return EPOCHS * particles

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Published: Adam with beta1 0.5."""
        return torch.optim.Adam(network.parameters(), lr=self.learning_rate, betas=(0.5, 0.999), fused=True)
