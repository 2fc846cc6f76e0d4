# SPDX-License-Identifier: GPL-3.0-or-later
"""What a map improver is judged by: smooth L1 distance, and contrast and structure similarity (He et al. 2023)."""
import torch
import torch.nn.functional as F

TINY = 1e-4  # of a scaled map's variance: keeps empty boxes from dividing nothing by nothing


def ssim_loss(output, target):
    """1 - contrast x structure similarity of whole boxes, (2 cov + e) / (var + var + e), the mean over the batch.

    output, target: (b, 1, d, h, w).
    """
    x, y = output.float().flatten(1), target.float().flatten(1)
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    similarity = (2 * (x * y).mean(1) + TINY) / (x.square().mean(1) + y.square().mean(1) + TINY)
    return (1 - similarity).mean()


def distance(output, target, ssim):
    """Smooth L1 distance plus `ssim` times ssim_loss of the first channel."""
    loss = F.smooth_l1_loss(output[:, :1].float(), target)
    return loss + ssim * ssim_loss(output[:, :1], target) if ssim else loss


def presence_loss(output, target, least):
    """Cross-entropy of the second channel's logits with: the target is above `least`."""
    present = (target > least).float()
    return F.binary_cross_entropy_with_logits(output[:, 1:2].float(), present)


def correlation(output, target):
    """(b,) correlation coefficients of boxes (b, 1, d, h, w)."""
    x, y = output.float().flatten(1), target.float().flatten(1)
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    return (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1)).clamp(min=1e-9)
