# SPDX-License-Identifier: GPL-3.0-or-later
"""DSRF3D-v2 (deep, small receptive field; Che et al. 2018): as VGG, three pairs of 3x3x3 convolutions with a pooling
each, and two hidden layers."""

from torch import nn

from .published import PublishedClassifier, convolution, head, initialised

# Its row in contract/networks.py, which reads this text.
NETWORKS = (("classifier", 1, "dsrf3d", "DSRF3D", "by the network DSRF3D-v2", ("Che2018",)),)


class DSRF3D(PublishedClassifier):
    """The published DSRF3D."""

    name = "dsrf3d"

    def build(self, classes: int, box: int) -> nn.Sequential:
        layers, channels = [], 1
        for width in (32, 64, 128):
            layers += [*convolution(channels, width), *convolution(width, width), nn.MaxPool3d(2)]
            channels = width
        return initialised(nn.Sequential(*layers, *head(128 * (box // 8) ** 3, 1024, 0.7, classes)))
