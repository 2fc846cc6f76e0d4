# SPDX-License-Identifier: GPL-3.0-or-later
"""DeepEM (Zhu, Ouyang & Mao 2017): a patch classifier of sigmoids with squared error.

From the paper: three times a convolution, sigmoid and average sub-sampling, then one connected sigmoid output; particle
1, the rest 0; squared error E = 1/(2N) sum (t - y)^2; particles also rotated by 90, 180 and 270 degrees; recursive
training, in which false picks become negatives (auto-pick does that for every network).
Ours, since the paper chooses sizes for each molecule: windows of 64 px, 1.6 particle diameters; 6 kernels of 9x9, 12 of
5x5 and 12 of 5x5, sub-sampling by 2 (64 > 28 > 12 > 4); initial weights by Glorot & Bengio 2010 and gradient descent
with momentum 0.9 and a rate of 0.1, with which it learns within a minute in spite of its loss; the rotations are drawn
at random, of background windows as well; background windows keep 0.6 windows from every particle."""

import numpy as np
import torch
from torch import nn

from ...core.augment import quarter_rotation
from .patch import PatchPicker, initial_weights

# Its row in contract/networks.py, which reads this text.
NETWORKS = (("picker", 2, "deepem", "DeepEM", "the DeepEM network", ("Zhu2017",)),)


WIDTHS, KERNELS = (6, 12, 12), (9, 5, 5)


class DeepEM(PatchPicker):
    """Patch classifier of sigmoids with squared error."""

    name = "deepem"
    weak = (
        "Sigmoids with squared error can learn slowly: their gradient almost vanishes for confident errors, so that "
        "difficult background is learnt last. Kept as published, for comparison."
    )
    learning_rate, bytes_per_pixel = 0.1, 40

    def build(self) -> nn.Module:
        layers: list[nn.Module] = []
        for before, width, kernel in zip((1, *WIDTHS), WIDTHS, KERNELS):
            layers += [nn.Conv2d(before, width, kernel), nn.Sigmoid(), nn.AvgPool2d(2)]
        network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(WIDTHS[-1] * 4 * 4, 1))
        return initial_weights(network, nn.init.xavier_normal_)

    def rotation(self, rng: np.random.Generator) -> np.ndarray:
        return quarter_rotation(rng)

    def labelled_loss(self, logits: torch.Tensor, target: torch.Tensor, labelled: torch.Tensor) -> torch.Tensor:
        """E = 1/(2N) sum (t - y)^2 over the known windows; the output's sigmoid is applied here."""
        return 0.5 * (labelled * (target - torch.sigmoid(logits)) ** 2).sum() / labelled.sum().clamp(min=1.0)
