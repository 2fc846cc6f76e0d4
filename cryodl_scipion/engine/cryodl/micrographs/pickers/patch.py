# SPDX-License-Identifier: GPL-3.0-or-later
"""Pickers that classify windows as particle or not: which windows they learn from, loss and scores. Ours, for all of
them: windows are drawn anew for each step; positives are shifted by up to half the distance between the windows of
picking, which would otherwise meet none of them in its centre. A classifier that knows no window between a particle and
far background answers alike all around a particle; its scores are smoothed, so that the middle is highest."""

import typing

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ...core.augment import random_rotation
from .crops import LabelledImage, cut_image
from .method import PickerMethod

TRIES = 30  # positions that are looked at for a background window before the farthest from all particles is taken


class PatchPicker(PickerMethod):
    """What patch classifiers share. A subclass gives name, learning_rate and build(). window: working px of the
    classifier's input. stride: working px between windows in picking. positive_fraction: of the windows of a batch.
    jitter: working px by which a positive window may be off its particle. far: of a background window from every
    particle, working px. smoothing: sigma of the scores' smoothing in particle diameters, 0 for none. build(): a
    Sequential that DenseClassifier can convert; logit(): its answer as one number."""

    stride, window, working_diameter = 4, 64, 40.0
    far = 0.6 * 64
    positive_fraction, jitter, smoothing = 0.5, 2.0, 0.15

    @property
    def spot_area(self) -> float:
        return np.pi * self.jitter**2

    def dense(self, network: nn.Sequential) -> "DenseClassifier":
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
        boxes = np.concatenate([item.negatives, item.contamination])
        labelled = item.labels != "sparse" or target or bool((boxes == position).all(1).any())
        return image, torch.tensor([float(target)]), torch.tensor([float(labelled), float(not labelled)]) * middle

    def _position(self, item: LabelledImage, rng: np.random.Generator) -> tuple[bool, np.ndarray]:
        """Whether it is a particle, and its position yx."""
        only_positives = item.labels == "boxes" and not len(item.negatives) + len(item.contamination)
        if len(item.positives) and (rng.random() < self.positive_fraction or only_positives):
            angle, radius = rng.uniform(0, 2 * np.pi), self.jitter * rng.random() ** 0.5
            shift = radius * np.array([np.sin(angle), np.cos(angle)])
            return True, item.positives[rng.integers(len(item.positives))] + shift
        boxes = np.concatenate([item.negatives, item.contamination])
        if len(boxes) and (item.labels == "boxes" or rng.random() < 0.5):
            return False, boxes[rng.integers(len(boxes))]
        return False, self._background(item, rng)

    def _background(self, item: LabelledImage, rng: np.random.Generator) -> np.ndarray:
        """A random position at least `far` from every labelled particle, or the farthest of some."""
        positions = rng.uniform(0, 1, (TRIES, 2)) * (np.array(item.image.shape) - 1)
        if not len(item.positives):
            return positions[0]
        distance = np.linalg.norm(positions[:, None] - item.positives[None], axis=2).min(1)
        enough = np.flatnonzero(distance >= (self.jitter if item.labels == "sparse" else self.far))
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
        return self.whole_loss(self.labelled_loss(logits, target, labelled), logits, target, labelled, weight[:, 1:])

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


# ----- A patch classifier over a whole micrograph: the scores of the window at every position, in one pass. Window
# by window, neighbouring windows compute nearly the same again. Convolutions and poolings without padding commute
# with the shift of a window, so the same weights can run over the whole image; where a layer would take steps
# larger than the answers' grid, it takes none, and the layers after it reach further apart instead (dilation).
POINTWISE = (nn.ReLU, nn.Sigmoid, nn.PReLU, nn.BatchNorm2d, nn.Dropout)


class DenseClassifier(nn.Sequential):
    """A patch classifier's layers as a fully convolutional network, (b, 1, h, w) -> (b, c, h/stride, w/stride).
    network: Sequential of unpadded convolutions, poolings, Flatten, Linear and POINTWISE layers, which takes windows of
    `window` px. Its weights are shared, not copied. stride: working px between windows; the network's own steps must
    divide it, until they exceed it. h and w are multiples of stride. Answer (i, j) is that of the window from (i *
    stride - before, j * stride - before) on, zeros outside of the image."""

    def __init__(self, network: nn.Sequential, window: int, stride: int) -> None:
        super().__init__(*_convert(network, window, stride))
        self.stride = self.multiple = stride
        self.before = (window - stride) // 2
        self.after = window - stride - self.before
        self.receptive_radius = window // 2 + 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, w = (n // self.stride for n in x.shape[-2:])
        return super().forward(F.pad(x, (self.before, self.after, self.before, self.after)))[..., :h, :w]


class DilatedAverage(nn.Module):
    """Mean of size x size values that lie `dilation` apart, at every position."""

    def __init__(self, size: int, dilation: int) -> None:
        super().__init__()
        self.size, self.dilation = size, dilation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, w = (n - (self.size - 1) * self.dilation for n in x.shape[-2:])
        starts = [i * self.dilation for i in range(self.size)]
        total = sum(x[..., y : y + h, z : z + w] for y in starts for z in starts)
        return typing.cast("torch.Tensor", total) / self.size**2


def _convert(network: nn.Sequential, window: int, stride: int) -> typing.Iterator[nn.Module]:
    side, steps, dilation, channels = window, 1, 1, 1
    layer: typing.Any
    for layer in network:
        if isinstance(layer, POINTWISE):
            yield layer
        elif isinstance(layer, nn.Linear):
            # as a convolution that sees the whole window
            weight = layer.weight.view(layer.out_features, channels, side, side)
            yield _shared(nn.Parameter(weight.detach(), requires_grad=False), layer.bias, 1, dilation)
            side, channels = 1, layer.out_features
        elif not isinstance(layer, nn.Flatten):
            size, step = _first(layer.kernel_size), _first(layer.stride)
            keeps = dilation == 1 and stride % (steps * step) == 0
            yield _moved(layer, step if keeps else 1, dilation)
            steps, dilation = (steps * step, dilation) if keeps else (steps, dilation * step)
            side, channels = (side - size) // step + 1, getattr(layer, "out_channels", channels)


def _first(value: int | tuple[int, ...]) -> int:
    return value[0] if isinstance(value, tuple) else value


def _moved(layer: typing.Any, step: int, dilation: int) -> nn.Module:
    if isinstance(layer, nn.MaxPool2d):
        return nn.MaxPool2d(layer.kernel_size, step, dilation=dilation)
    if isinstance(layer, nn.AvgPool2d):
        cut = dilation == 1 and step > 1
        return nn.AvgPool2d(layer.kernel_size, step) if cut else DilatedAverage(_first(layer.kernel_size), dilation)
    return _shared(layer.weight, layer.bias, step, dilation)


def _shared(weight: torch.Tensor, bias: torch.Tensor | None, step: int, dilation: int) -> nn.Conv2d:
    """A convolution that uses the memory of existing weights."""
    with torch.device("meta"):
        convolution = nn.Conv2d(
            weight.shape[1],
            weight.shape[0],
            (weight.shape[2], weight.shape[3]),
            step,
            dilation=dilation,
            bias=bias is not None,
        )
    convolution.weight, convolution.bias = weight, bias
    return convolution
