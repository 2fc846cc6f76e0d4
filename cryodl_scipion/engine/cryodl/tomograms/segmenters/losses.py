# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses of segmenters. What nobody has annotated has the weight 0 and costs nothing."""

import torch
import torch.nn.functional as F

SMOOTHING = 0.05  # of the targets: a hand that draws is wrong somewhere, and a network that is too sure learns that too


def masked_bce_and_dice(output: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy plus one minus the soft Dice coefficient of the whole batch, over what is known.

    output: raw scores, log odds. target: in [0, 1]. weight: 0 where nothing is known. All of one shape.
    """
    labelled = weight.sum().clamp(min=1.0)
    smooth = target * (1 - 2 * SMOOTHING) + SMOOTHING
    cross = (weight * F.binary_cross_entropy_with_logits(output, smooth, reduction="none")).sum() / labelled
    return cross + 1 - soft_dice(output.sigmoid(), target, weight)


def soft_dice(scores: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Dice coefficient of scores and targets in [0, 1], a scalar tensor; 1 where there is nothing of either."""
    both = (weight * scores * target).sum()
    return (2 * both + 1) / ((weight * (scores + target)).sum() + 1)


def log_squared_error(output: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Logarithm of the mean squared error, where scores above 1 count as 1: the loss of EMAN2's program."""
    labelled = weight.sum().clamp(min=1.0)
    return torch.log((weight * (output.clamp(max=1.0) - target) ** 2).sum() / labelled + 1e-8)
