# SPDX-License-Identifier: GPL-3.0-or-later
"""This project's filament picker: a small U-net that predicts centre lines and their directions."""

import typing

import numpy as np
import torch
import torch.nn.functional as F

from ...core.augment import vary_contrast
from ...learning.networks import GENERAL_WIDTHS
from ..pickers.unet import STRENGTH, PickerUNet
from .scenes import STRIDE, FilamentItem

# Its row in contract/networks.py, which reads this text.
NETWORKS = (
    ("filament_picker", 0, "unet", "FilamentUNet", "a U-Net that predicts their centre lines", ("Ronneberger2015",)),
)

CROP_SIDE = 192  # px of the network's input
DIRECTION_WEIGHT = 0.5  # of the direction in the loss


class FilamentUNet:
    """Small U-net with a map of centre lines and of their direction (cosine and sine of twice the angle)."""

    name = "unet"
    working_diameter = 16.0
    learning_rate, decay, ema = 0.003, None, 0.99
    bytes_per_pixel = 160

    def build(self) -> torch.nn.Module:
        """The network: (b, 1, h, w) -> (b, 3, h/2, w/2), of which the first is a logit."""
        return PickerUNet(GENERAL_WIDTHS, outputs=3)

    def build_like(self, weights: typing.Mapping[str, torch.Tensor]) -> torch.nn.Module:
        """The network of a model's weights: all have one shape."""
        return self.build()

    def gain(self, item: typing.Any) -> float:
        """Factor by which a prepared micrograph is multiplied before it reaches the network. It brings the strongest
        features as wide as a filament to the same height in every micrograph."""
        return STRENGTH / item.strength(self.working_diameter)

    def example(self, item: FilamentItem, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A random crop, rotated and mirrored: image (1, s, s), target (3, s/2, s/2), weight (1, s/2, s/2)."""
        cells = CROP_SIDE // STRIDE
        y, x = (int(rng.integers(n - cells + 1)) for n in item.weight.shape)
        part = (slice(y, y + cells), slice(x, x + cells))
        image = item.image[STRIDE * y : STRIDE * (y + cells), STRIDE * x : STRIDE * (x + cells)].float()
        target, weight = item.target[(slice(None), *part)].float(), item.weight[part].float()
        rotations = int(rng.integers(4))
        image, target, weight = (torch.rot90(v, rotations, (-2, -1)) for v in (image, target, weight))
        # a rotation by 90 degrees adds 180 degrees to twice the angle
        signs = torch.tensor([1.0, -1.0, -1.0] if rotations % 2 else [1.0, 1.0, 1.0])
        if rng.random() < 0.5:
            image, target, weight = (v.flip(-1) for v in (image, target, weight))
            signs = signs * torch.tensor([1.0, 1.0, -1.0])
        image = vary_contrast(image.contiguous() * self.gain(item), rng)
        return image[None], (target * signs[:, None, None]).contiguous(), weight[None].contiguous()

    def loss(self, output: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the centre lines, and squared error of the direction on them; a scalar. output, target: (b,
        3, h, w). weight: (b, 1, h, w)."""
        lines = (target[:, :1] * weight).sum().clamp(min=20.0)
        value = F.binary_cross_entropy_with_logits(output[:, :1], target[:, :1], weight, reduction="sum") / lines
        direction = (output[:, 1:] - target[:, 1:]).square().sum(1, keepdim=True)
        return value + DIRECTION_WEIGHT * (direction * target[:, :1] * weight).sum() / lines
