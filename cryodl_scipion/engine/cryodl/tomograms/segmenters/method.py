# SPDX-License-Identifier: GPL-3.0-or-later
"""Interface of a segmenter, and the parts that most segmenters share. Losses of segmenters. What nobody has annotated
has the weight 0 and costs nothing."""

import abc
import os
import typing

import torch
import torch.nn.functional as F

from ...learning.task import with_weights

SMOOTHING = 0.05  # of the targets: a hand that draws is wrong somewhere, and a network that is too sure learns that too


def masked_bce_and_dice(output: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy plus one minus the soft Dice coefficient of the whole batch, over what is known. output: raw
    scores, log odds. target: in [0, 1]. weight: 0 where nothing is known. All of one shape."""
    labelled, smooth = weight.sum().clamp(min=1.0), target * (1 - 2 * SMOOTHING) + SMOOTHING
    cross = (weight * F.binary_cross_entropy_with_logits(output, smooth, reduction="none")).sum() / labelled
    return cross + 1 - soft_dice(output.sigmoid(), target, weight)


def soft_dice(scores: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Dice coefficient of scores and targets in [0, 1], a scalar tensor; 1 where there is nothing of either."""
    return (2 * (weight * scores * target).sum() + 1) / ((weight * (scores + target)).sum() + 1)


class SegmenterMethod(abc.ABC):
    """A segmenter's network, and how it is trained. A subclass gives at least name and build. name: word
    on the command line. weak: a sentence about a known weakness, or "". slices_in, slices_out: the network looks at so
    many neighbouring slices and answers for those in their middle. stride: working px of the input for each of the
    output, in y and x. granularity: y and x of what the network is given must be multiples of it. overlap: px, a
    multiple of granularity; an answer does not depend on what lies farther away in y or x, so that tiles that overlap
    by it on each side leave no seam. learning_rate: peak. decay: as schedule.Schedule's. ema: decay of the running mean
    of the weights. batch_size: tiles per step. crop: working px of a training view's sides, a multiple of granularity:
    a tile and some of its surroundings. bytes_per_voxel: of memory for each voxel of a network's input while it
    segments in bfloat16 (measured, with a margin). memory_format: of the weights."""

    name: str
    weak = ""
    slices_in = slices_out = 1
    stride, granularity, overlap = 1, 8, 48
    learning_rate, decay, ema = 0.003, None, 0.97
    batch_size, crop = 16, 80
    bytes_per_voxel = 100
    memory_format = torch.channels_last

    @property
    def context(self) -> int:
        """Slices before and after those that are answered."""
        return (self.slices_in - self.slices_out) // 2

    @abc.abstractmethod
    def build(self) -> torch.nn.Module:
        """The network: (b, slices_in, h, w) normalised slices -> (b, slices_out, h / stride, w / stride) raw scores, of
        any range; higher where the feature is more likely."""

    def optimizer(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        """AdamW at the method's learning rate."""
        return torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=1e-2)

    def default_steps(self, tiles: int) -> int:
        """Training steps where the user asks for none. tiles: number of training tiles."""
        return int(min(1200, max(300, 2 * tiles)))

    def loss(self, output: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """A scalar. output: (b, n, h, w) float32 raw scores; target: as large, in [0, 1]; weight: 0 where not known."""
        return masked_bce_and_dice(output, target, weight)

    def penalty(self, network: torch.nn.Module) -> typing.Any:
        """What is added to the loss for the weights themselves."""
        return 0.0


def load_network(
    method: SegmenterMethod,
    weights: typing.Mapping[str, torch.Tensor],
    source: str | os.PathLike[str],
    features: int = 1,
) -> torch.nn.Module:
    """A method's network with the weights {name: tensor} of a model. source: the model's folder or name, for the
    message. features: that it answers for. Raises ValueError if they are of another network."""
    build: typing.Callable[..., torch.nn.Module] = method.build
    return with_weights(build() if features == 1 else build(features), weights, source, method.name)
