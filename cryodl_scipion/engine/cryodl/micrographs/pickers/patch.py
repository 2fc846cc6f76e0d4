# SPDX-License-Identifier: GPL-3.0-or-later
"""Pickers that classify windows as particle or not: which windows they learn from, loss and scores.

Ours, for all of them: windows are drawn anew for each step; positives are shifted by up to half the distance between
the windows of picking, which would otherwise meet none of them in its centre. A classifier that knows no window between
a particle and far background answers alike all around a particle; its scores are smoothed, so that the middle is
highest.
"""

from __future__ import annotations

import typing

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ...core.augment import random_rotation
from .crops import cut_image
from .dense import DenseClassifier
from .method import PickerMethod

if typing.TYPE_CHECKING:
    from .crops import LabelledImage

TRIES = 30  # positions that are looked at for a background window before the farthest from all particles is taken


class PatchPicker(PickerMethod):
    """What patch classifiers share. A subclass gives name, learning_rate and build().

    window: working px of the classifier's input. stride: working px between windows in picking. positive_fraction: of
    the windows of a batch. jitter: working px by which a positive window may be off its particle. far: of a background
    window from every particle, working px. smoothing: sigma of the scores' smoothing in particle diameters, 0 for none.
    build(): a Sequential that DenseClassifier can convert; logit(): its answer as one number.
    """

    stride = 4
    window = 64
    working_diameter = 40.0
    far = 0.6 * 64
    positive_fraction = 0.5
    jitter = 2.0
    smoothing = 0.15

    @property
    def spot_area(self) -> float:
        return np.pi * self.jitter**2

    def dense(self, network: nn.Sequential) -> DenseClassifier:
        return DenseClassifier(network, self.window, self.stride)

    def crop_side(self, labels: str) -> int:
        return self.window

    def optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        """Stochastic gradient descent with momentum."""
        return torch.optim.SGD(network.parameters(), lr=self.learning_rate, momentum=0.9)

    def default_steps(self, particles: int, labels: str) -> int:
        return 600

    def batch_factor(self, labels: str) -> int:
        """64 windows instead of 8 crops: a window shows one particle at most."""
        return 8

    def rotation(self, rng: np.random.Generator) -> np.ndarray:
        """2x2 matrix of how a window is rotated."""
        return random_rotation(rng)

    def example(self, item: LabelledImage, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Image (window, window), target (1,), weight (2,): 1 where known, and 1 where unlabelled."""
        target, position = self._position(item, rng)
        image, usable = cut_image(item, position, self.rotation(rng), self.window)
        middle = usable[self.window // 2, self.window // 2]
        labelled = item.labels != "sparse" or target or self._is_box(item, position)
        return image, torch.tensor([float(target)]), torch.tensor([float(labelled), float(not labelled)]) * middle

    def _position(self, item: LabelledImage, rng: np.random.Generator) -> tuple[bool, np.ndarray]:
        """Whether it is a particle, and its position yx."""
        if len(item.positives) and (rng.random() < self.positive_fraction or not self._has_negatives(item)):
            angle, radius = rng.uniform(0, 2 * np.pi), self.jitter * rng.random() ** 0.5
            shift = radius * np.array([np.sin(angle), np.cos(angle)])
            return True, item.positives[rng.integers(len(item.positives))] + shift
        boxes = np.concatenate([item.negatives, item.contamination])
        if len(boxes) and (item.labels == "boxes" or rng.random() < 0.5):
            return False, boxes[rng.integers(len(boxes))]
        return False, self._background(item, rng)

    def _has_negatives(self, item: LabelledImage) -> bool:
        return item.labels != "boxes" or len(item.negatives) + len(item.contamination) > 0

    def _is_box(self, item: LabelledImage, position: np.ndarray) -> bool:
        boxes = np.concatenate([item.negatives, item.contamination])
        return bool(len(boxes)) and bool((boxes == position).all(1).any())

    def _background(self, item: LabelledImage, rng: np.random.Generator) -> np.ndarray:
        """A random position at least `far` from every labelled particle, or the farthest of some."""
        positions = rng.uniform(0, 1, (TRIES, 2)) * (np.array(item.image.shape) - 1)
        if not len(item.positives):
            return positions[0]
        distance = np.linalg.norm(positions[:, None] - item.positives[None], axis=2).min(1)
        far = self.jitter if item.labels == "sparse" else self.far
        enough = np.flatnonzero(distance >= far)
        return positions[enough[0] if len(enough) else distance.argmax()]

    def logit(self, output: torch.Tensor) -> torch.Tensor:
        """(b, 1, ...) logit of being a particle, of the network's output (b, c, ...)."""
        return output

    def labelled_loss(self, logits: torch.Tensor, target: torch.Tensor, labelled: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy of the known windows; all arguments (b, 1)."""
        value = F.binary_cross_entropy_with_logits(logits, target, labelled, reduction="sum")
        return value / labelled.sum().clamp(min=1.0)

    def loss(self, output: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """output: (b, c) or (b, c, 1, 1). target: (b, 1). weight: (b, 2)."""
        logits, labelled = self.logit(output).flatten(1), weight[:, :1]
        value = self.labelled_loss(logits, target, labelled)
        if self.unlabelled_loss is None:
            return value
        return self.unlabelled_loss(value, logits, target, labelled, weight[:, 1:])

    def scores(self, output: torch.Tensor) -> torch.Tensor:
        return _smooth(torch.sigmoid(self.logit(output.float())), self.smoothing * self.working_diameter / self.stride)

    def peaks(
        self, output: torch.Tensor, distance: float, threshold: float, cells: torch.Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        """As PickerMethod's; a window of odd size has its centre half a px beside its cell's."""
        yx, raw = super().peaks(output, distance, threshold, cells)
        offset = (self.window - 1) / 2 - (self.window - self.stride) // 2 - (self.stride - 1) / 2
        return yx + offset / self.stride, raw


def initial_weights(
    network: nn.Sequential, rule: typing.Callable[..., typing.Any], **more: typing.Any
) -> nn.Sequential:
    """The network, its convolutions and connected layers with weights by a rule of torch.nn.init, and offsets of 0."""
    for layer in network:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            rule(layer.weight, **more)
            nn.init.zeros_(typing.cast("torch.Tensor", layer.bias))
    return network


def _smooth(scores: torch.Tensor, sigma: float) -> torch.Tensor:
    """Weighted means of scores (b, 1, h, w) with their neighbours within the map. sigma: cells."""
    reach = int(3 * sigma)
    if not reach:
        return scores
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1.0, device=scores.device) / sigma) ** 2)
    blur = lambda x: F.conv2d(
        F.conv2d(x, kernel.view(1, 1, 1, -1), padding=(0, reach)), kernel.view(1, 1, -1, 1), padding=(reach, 0)
    )
    return blur(scores) / blur(torch.ones_like(scores))
