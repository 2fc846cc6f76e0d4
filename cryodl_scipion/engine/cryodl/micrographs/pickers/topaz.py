# SPDX-License-Identifier: GPL-3.0-or-later
"""Topaz (Bepler et al. 2019): a small patch classifier that learns from some particles among unlabelled ones.

From the paper and the authors' program: 32 kernels of 7x7 with step 2, 64 of 5x5 with step 2, 128 of 5x5, each with
batch norm and PReLU, one output (their conv31: it sees 31 px); positives are the positions within 3 px of a labelled
particle, 1/16 of each batch; all other places are unlabelled; GE-binomial criterion or non-negative risk (method.py)
with the expected number of particles; windows rotated and mirrored; Adam.
Ours: the particle's diameter is 24 px (they advise less than what the network sees); 128 windows a step and a rate of
0.001, not 256 and 0.0002, as there are far fewer steps than their 10,000; where labels are complete the unlabelled
places are background, and the criterion is cross-entropy (their "PN"); background boxes, if any, are known
negatives."""

import torch
from torch import nn

from .patch import PatchPicker

# Its row in contract/networks.py, which reads this text.
NETWORKS = (("picker", 4, "topaz", "Topaz", "a Topaz-type network", ("Bepler2019", "Kiryo2017")),)

UNITS, KERNELS, STEPS = (32, 64, 128), (7, 5, 5), (2, 2, 1)


class Topaz(PatchPicker):
    """Patch classifier that learns from particles and unlabelled positions."""

    name = "topaz"
    window, working_diameter = 31, 24.0
    far = jitter = 3.0
    positive_fraction = 1 / 16
    smoothing = 0  # it learns where a particle's 3 px end
    learning_rate, bytes_per_pixel = 0.001, 50

    def build(self) -> nn.Module:
        layers: list[nn.Module] = []
        for before, width, kernel, step in zip((1, *UNITS), UNITS, KERNELS, STEPS):
            layers += [nn.Conv2d(before, width, kernel, step, bias=False), nn.BatchNorm2d(width), nn.PReLU()]
        return nn.Sequential(*layers, nn.Conv2d(UNITS[-1], 1, 1))

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Published: Adam."""
        return torch.optim.Adam(network.parameters(), lr=self.learning_rate)

    def batch_factor(self, labels: str) -> int:
        return 16
