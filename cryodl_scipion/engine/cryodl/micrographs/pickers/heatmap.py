# SPDX-License-Identifier: GPL-3.0-or-later
"""Pickers that paint a soft spot on the centre of every particle: labels, loss and scores."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from .crops import LabelledImage, sample_crop
from .method import PickerMethod

# Weight of the particles' size in the loss of a network that tells it.
SIZE_WEIGHT = 0.5
# Width of the spot, in particle diameters. Narrower separates touching particles but is harder to learn
# (docs/how_picking.md).
SPOT_SIGMA = 0.1
# Labelled circles teach this far from their centre (in diameters) when the rest of the micrograph is unlabelled.
LABELLED_RADIUS = 0.5
CROP_SIDE = 160  # working px: several particles, and a multiple of the networks' strides
BOX_CROP_SIDE = 80  # where only boxes are labelled: most of a larger crop would teach nothing


class HeatmapPicker(PickerMethod):
    """What every picker of this kind shares. A subclass gives name, working_diameter and build(). build(): the network,
    (b, 1, h, w) -> (b, 1, h/stride, w/stride) logits; it is fully convolutional and picks as it is."""

    stride = 2

    @property
    def spot_area(self) -> float:
        return 2 * math.pi * (SPOT_SIGMA * self.working_diameter) ** 2

    def default_steps(self, particles: int, labels: str) -> int:
        """800 gained 0.006 F1 over 400 with 1,900 particles, and nothing with 500."""
        return 250 if labels == "boxes" else 800 if particles >= 1000 else 400

    def crop_side(self, labels: str) -> int:
        return BOX_CROP_SIDE if labels == "boxes" else CROP_SIDE

    def batch_factor(self, labels: str) -> int:
        """Twice as many of the small crops, which are a quarter as large."""
        return 2 if labels == "boxes" else 1

    def example(self, item: LabelledImage, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Image (side, side), target (1, h, w) and weight: of known positions, and of unlabelled ones where labels are
        sparse."""
        side, stride = self.crop_side(item.labels), self.stride
        view = sample_crop(item, side, rng)
        places = view.positives, torch.cat([view.negatives, view.contamination])
        target, labelled = self.target(*places, (side // stride,) * 2, stride, item.dense, item.size or 1.0)
        weight = labelled[None] if item.labels != "sparse" else torch.stack([labelled, 1 - labelled])
        target = target[None]
        if item.size:
            size = math.log(item.size * view.scale) if item.teaches_size else math.nan
            target = torch.cat([target, torch.full_like(target, size)])
        return view.image, target, weight * F.avg_pool2d(view.usable[None], stride)

    def target(
        self,
        positives: torch.Tensor,
        negatives: torch.Tensor,
        shape: tuple[int, ...],
        stride: int,
        dense: bool,
        size: float = 1.0,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Target and weight of one crop, both `shape` (h, w), on the network's output grid. positives, negatives: (n,
        2) yx in working px of the crop. dense: True if all that is not a particle is background; False if only circles
        around positives and negatives are known. size: extent of the particles over the stated diameter; the spots of
        smaller ones are narrower, as they lie nearer to each other."""
        positives, negatives = positives / stride, negatives / stride  # the half-pixel shift is added by _grid
        rows, columns = _grid(shape, stride)
        sigma = SPOT_SIGMA * min(1.0, size) * self.working_diameter / stride
        target = torch.exp(-_nearest_squared(positives, rows, columns) / (2 * sigma**2))
        if dense:
            return target, torch.ones(shape)
        reach = (LABELLED_RADIUS * self.working_diameter / stride) ** 2
        near = lambda labels: _nearest_squared(labels, rows, columns) < reach
        return target, (near(positives) | near(negatives)).float()

    def loss(self, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Weighted cross-entropy with soft targets, a scalar. logits, target: (b, 1, h, w), or (b, 2, h, w) with the
        logarithm of the particles' size as second channel, which is learnt on the spots, unless it is NaN. weight: (b,
        1, h, w), or (b, 2, h, w) with the unlabelled positions as second. Divided by the weighted sum of targets, so
        that crowded and empty crops count alike. A focal loss was tried: it insists on particles that nobody labelled,
        and was no better."""
        labelled, sizes = weight[:, :1], (logits[:, 1:], target[:, 1:])
        logits, target = logits[:, :1], target[:, :1]
        value = F.binary_cross_entropy_with_logits(logits, target, labelled, reduction="sum")
        value = value / (target * labelled).sum().clamp(min=1.0)
        if sizes[0].shape[1] and sizes[1].shape[1]:
            spots = target * labelled * ~sizes[1].isnan()
            off = (sizes[0] - sizes[1].nan_to_num()).abs()
            value = value + SIZE_WEIGHT * (spots * off).sum() / spots.sum().clamp(min=1.0)
        return self.whole_loss(value, logits, target, labelled, weight[:, 1:])

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Raw scores in [0, 1] of the network's output, (b, 1, h, w)."""
        return torch.sigmoid(logits[:, :1].float())


def _grid(shape: tuple[int, ...], stride: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column positions of output cells in units of cells, matched to working px divided by stride."""
    shift = 0.5 - 0.5 / stride  # cell i covers working px [i*s, (i+1)*s), so its centre lies at (i + 0.5) * s - 0.5
    return (torch.arange(shape[0]) + shift)[:, None], (torch.arange(shape[1]) + shift)[None, :]


def _nearest_squared(points: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """(h, w) squared distance to the nearest of points (n, 2); large where there is none."""
    if not len(points):
        return torch.full((rows.shape[0], columns.shape[1]), 1e9)
    return ((rows[None] - points[:, 0, None, None]) ** 2 + (columns[None] - points[:, 1, None, None]) ** 2).amin(0)
