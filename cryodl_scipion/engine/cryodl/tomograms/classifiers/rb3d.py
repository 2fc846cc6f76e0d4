# SPDX-License-Identifier: GPL-3.0-or-later
"""RB3D (3-D residual blocks; Che et al. 2018): one pooling, four blocks, two hidden layers.

As in the authors' code a block's two ways are put side by side, not added, and its short way has a convolution of its
own. The first hidden layer sees 32 x 20^3 values: it holds 262 of the 263 million weights."""

import torch
from torch import nn

from ...learning.networks import Dropout
from .published import PublishedClassifier, convolution, head, initialised

# Its row in contract/networks.py, which reads this text.
NETWORKS = (("classifier", 2, "rb3d", "RB3D", "by the network RB3D", ("Che2018",)),)


class Block(nn.Module):
    """A 3x3x3 convolution beside a bottleneck of 1x1x1, 3x3x3 and 1x1x1, 16 channels each: 32 come out."""

    def __init__(self) -> None:
        super().__init__()
        self.short = nn.Sequential(*convolution(32, 16))
        self.bottleneck = nn.Sequential(
            *convolution(32, 16, 1), *convolution(16, 32), nn.Conv3d(32, 16, 1), Dropout(0.7)
        )

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.cat([self.short(volumes), self.bottleneck(volumes)], 1))


class RB3D(PublishedClassifier):
    """The published RB3D: residual blocks."""

    name = "rb3d"
    weak = "its 263 million weights need 1 GB on disk and 8 GB of memory in training."

    def build(self, classes: int, box: int) -> nn.Sequential:
        return initialised(
            nn.Sequential(
                *convolution(1, 32),
                nn.MaxPool3d(2),
                *[Block() for _ in range(4)],
                *head(32 * (box // 2) ** 3, 1024, 0.5, classes),
            )
        )
