# SPDX-License-Identifier: GPL-3.0-or-later
"""CB3D (Che et al. 2018): C3D, the network of Tran et al. 2015 for films, on subtomograms.

The first pooling leaves one axis alone, which was time in films. Here it is z; the paper does not say which."""

from torch import nn

from .published import PublishedClassifier, convolution, head, initialised

# Its row in contract/networks.py, which reads this text.
NETWORKS = (("classifier", 3, "cb3d", "CB3D", "by the network CB3D", ("Che2018",)),)


class CB3D(PublishedClassifier):
    """The published CB3D."""

    name = "cb3d"
    # less leaves single voxels to the last kernels; the taps that then see padding only get arbitrary gradients from
    # torch 2.x on CPUs with bfloat16
    smallest = 32
    weak = "it takes about eight times as long as dsrf3d."

    def build(self, classes: int, box: int) -> nn.Sequential:
        layers, channels = [], 1
        for group, (width, repeats) in enumerate(((64, 1), (128, 1), (256, 2), (512, 2), (512, 2))):
            for _ in range(repeats):
                layers += convolution(channels, width)
                channels = width
            if group == 4:
                layers.append(nn.ZeroPad3d((1, 1, 1, 1, 0, 0)))
            layers.append(nn.MaxPool3d((1, 2, 2) if group == 0 else 2))
        z, side = box // 16, (box // 16 + 2) // 2
        return initialised(nn.Sequential(*layers, *head(512 * z * side**2, 4096, 0.5, classes)))
