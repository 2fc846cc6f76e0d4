# SPDX-License-Identifier: GPL-3.0-or-later
"""The picker of EMAN2 (Tang et al. 2007; Bell et al. 2018; network of Chen et al. 2017): two networks that must agree.

From the authors' program: three convolutions of 40, 40 and 1 kernels of 15x15, max-pooling by 2 after the first; the
target is a soft blob on the particle's centre, squared error; one network learns particles against background, another
particles against contamination; weight decay 1e-6; rotated copies.
Ours: ReLU between the convolutions; the blob and the weights of positions are those of heatmap.py; the squared error is
divided by the sum of targets, so that crowded and empty crops count alike; Adam with a rate of 0.0002 (above it, 9,000
weights that act on one output change together and the loss jumps); both networks learn at once, from the same crops;
the score of a place is the lower one of the two, so that one threshold asks both to agree. A micrograph without any
contamination box teaches both networks with its background: the second one is then not idle, only no specialist."""

import numpy as np
import torch
from torch import nn

from .crops import LabelledImage, sample_crop
from .heatmap import HeatmapPicker

# Its row in contract/networks.py, which reads this text.
NETWORKS = (("picker", 5, "eman2", "EMAN2", "two networks as in EMAN2", ("Tang2007", "Chen2017", "Bell2018")),)

WIDTHS, KERNEL = (40, 40, 1), 15
CROP_SIDE = 64  # working px, as the authors' tiles


class TwoNetworks(nn.Module):
    """(b, 1, h, w) -> (b, 2, h/2, w/2): particle and not background, particle and not contamination."""

    stride = multiple = 2
    receptive_radius = 37  # px: 7 of the first layer, then 2 x 14 at half the size, and the pooling's

    def __init__(self) -> None:
        super().__init__()
        self.background, self.contamination = _one_network(), _one_network()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.background(x), self.contamination(x)], 1)


class LastConvolution(nn.Conv2d):
    """To a single channel: four times faster to train where channels are not the last axis, whatever the rest uses."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(x.contiguous(), self.weight.contiguous(), self.bias, padding=self.padding)


def _one_network() -> nn.Sequential:
    first, second, last = WIDTHS
    half = KERNEL // 2
    return nn.Sequential(
        nn.Conv2d(1, first, KERNEL, padding=half),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, KERNEL, padding=half),
        nn.ReLU(),
        LastConvolution(second, last, KERNEL, padding=half),
    )


class EMAN2(HeatmapPicker):
    """Two shallow networks with large kernels, against background and against contamination."""

    name = "eman2"
    weak = (
        "Kernels of 15 x 15 are slow on CPUs, and the receptive field of three layers is no larger than the particle."
    )
    working_diameter = 32.0
    learning_rate, needs_contamination = 0.0002, True
    bytes_per_pixel = 200

    def build(self) -> nn.Module:
        return TwoNetworks()

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Published: Adam."""
        return torch.optim.Adam(network.parameters(), lr=self.learning_rate, weight_decay=1e-6)

    def default_steps(self, particles: int, labels: str) -> int:
        return 100

    def crop_side(self, labels: str) -> int:
        return CROP_SIDE

    def example(self, item: LabelledImage, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Image (64, 64), target (2, 32, 32) and weight (2, 32, 32), one a network; (4, ...) of sparse labels."""
        view, shape = sample_crop(item, CROP_SIDE, rng), (CROP_SIDE // self.stride,) * 2
        against = [torch.cat([view.negatives, view.contamination]), view.contamination]
        pairs = [self.target(view.positives, against[0], shape, self.stride, item.dense)]
        alone = len(item.contamination) > 0
        pairs.append(self.target(view.positives, against[1], shape, self.stride, False) if alone else pairs[0])
        target, labelled = (torch.stack(part) for part in zip(*pairs))
        weight = labelled if item.labels != "sparse" else torch.cat([labelled, (1 - labelled[:1]).expand(2, -1, -1)])
        return view.image, target, weight * nn.functional.avg_pool2d(view.usable[None], self.stride)

    def loss(self, output: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """output, target: (b, 2, h, w). weight: the same, or (b, 4, h, w) with the unlabelled positions last."""
        labelled = weight[:, :2]
        value = (labelled * (output - target) ** 2).sum() / (target * labelled).sum().clamp(min=1.0)
        return self.whole_loss(value, torch.logit(output.clamp(0.001, 0.999)), target, labelled, weight[:, 2:])

    def scores(self, output: torch.Tensor) -> torch.Tensor:
        return output.float().clamp(0, 1).min(1, keepdim=True).values
