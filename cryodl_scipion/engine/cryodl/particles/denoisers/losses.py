# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses of denoisers: distances of the output from its target, and the adversarial loss."""

import torch
import torch.nn.functional as F

STEEPEST = 3.0  # difference from which the exponential loss goes on as a straight line: its slope there is 20
DISTANCE_WEIGHT = 100.0  # of the distance, beside which the adversarial weight stands (Isola et al. 2017)


def l1(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference."""
    return (output - target).abs().mean()


def exponential(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean of exp|d| - 1 over the differences d: small ones count as in l1, large ones exponentially more.

    From STEEPEST on it goes on as a straight line: one wild pixel would otherwise outweigh a batch. The method's
    authors name an 'exponential loss function' and give no formula; this one is ours.
    """
    difference = (output - target).abs()
    near = difference.clamp(max=STEEPEST)
    return (torch.expm1(near) + (difference - near) * torch.exp(near)).mean()


LOSSES = {"l1": l1, "exponential": exponential}


def verdict(logits: torch.Tensor, genuine: bool) -> torch.Tensor:
    """Cross-entropy of a discriminator's logits with what it should have said. genuine: bool."""
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(genuine)))


def generator_loss(distance: torch.Tensor, adversarial_loss: torch.Tensor, adversarial: float) -> torch.Tensor:
    """Published: 100 x L1 + verdict; here divided by 100, so that learning rates do not depend on whether there is a
    discriminator. adversarial_loss: verdict(logits of the output, True)."""
    return distance + adversarial / DISTANCE_WEIGHT * adversarial_loss
