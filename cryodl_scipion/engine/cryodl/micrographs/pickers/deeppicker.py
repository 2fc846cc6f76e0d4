# SPDX-License-Identifier: GPL-3.0-or-later
"""DeepPicker (Wang et al. 2016): a patch classifier with four convolutions.

From the paper and the authors' code: windows of 64 px; 8 kernels of 9x9, 16 of 5x5, 32 of 3x3, 64 of 2x2, unpadded,
each with ReLU and 2x2 max-pooling (64 > 28 > 12 > 5 > 2); 256 connected units, dropout 0.5, two outputs and softmax;
cross-entropy; gradient descent with momentum 0.9, rate 0.01 that falls by x0.95; equally many positive and negative
windows; negatives at least 0.6 windows from every particle.
Ours: the window is 1.6 particle diameters wide; 64 windows a step; windows are rotated by any angle and mirrored; the
rate falls once per validation; weights start by He et al. 2015; where the particles are so crowded that no place is far
enough from all of them, the farthest of some is taken; sparse labels (see method.py)."""

import torch
from torch import nn

from ...learning.networks import Dropout
from .patch import PatchPicker, initial_weights

# Its row in contract/networks.py, which reads this text.
NETWORKS = (("picker", 1, "deeppicker", "DeepPicker", "the DeepPicker network", ("Wang2016",)),)


WIDTHS, KERNELS, HIDDEN = (8, 16, 32, 64), (9, 5, 3, 2), 256


class DeepPicker(PatchPicker):
    """Patch classifier with four convolutions and softmax."""

    name = "deeppicker"
    weak = (
        "Negative windows are at least 0.6 windows away from every particle, so the network does not learn the gaps "
        "between touching particles, and picks there in crowded micrographs."
    )
    learning_rate, decay = 0.01, 0.95
    bytes_per_pixel = 110

    def build(self) -> nn.Module:
        layers: list[nn.Module] = []
        for before, width, kernel in zip((1, *WIDTHS), WIDTHS, KERNELS):
            layers += [nn.Conv2d(before, width, kernel), nn.ReLU(), nn.MaxPool2d(2)]
        layers += [nn.Flatten(), nn.Linear(WIDTHS[-1] * 2 * 2, HIDDEN), nn.ReLU(), Dropout(0.5), nn.Linear(HIDDEN, 2)]
        return initial_weights(nn.Sequential(*layers), nn.init.kaiming_normal_, nonlinearity="relu")

    def logit(self, output: torch.Tensor) -> torch.Tensor:
        """The softmax of two outputs is the sigmoid of their difference, and so is its cross-entropy."""
        return output[:, 1:2] - output[:, :1]
