# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses of map improvers: smooth L1, contrast and structure similarity (He et al. 2023), shell correlation, and the
Q-score loss (Pintilie et al. 2020)."""

import torch
import torch.nn.functional as F

FLAT = 1e-9  # of squared variances: keeps constant density from dividing by nothing
SILENT = 1.0  # of a shell's squared power: keeps a box without density from a step that outweighs all others
TINY = 1e-4  # of a scaled map's variance: keeps empty boxes from dividing nothing by nothing


def ssim_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - contrast x structure similarity of whole boxes, (2 cov + e) / (var + var + e), the mean over the batch.
    output, target: (b, 1, d, h, w)."""
    x, y = output.float().flatten(1), target.float().flatten(1)
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    return (1 - ((2 * (x * y).mean(1) + TINY) / (x.square().mean(1) + y.square().mean(1) + TINY))).mean()


def distance(output: torch.Tensor, target: torch.Tensor, ssim: float) -> torch.Tensor:
    """Smooth L1 distance plus `ssim` times ssim_loss of the first channel."""
    loss = F.smooth_l1_loss(output[:, :1].float(), target)
    return loss + ssim * ssim_loss(output[:, :1], target) if ssim else loss


def shell_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - FSC of the first channel of boxes with their targets, the mean of all shells up to Nyquist's frequency but
    the first, and of the batch. Boxes fade out towards their faces, which else were edges. output, target: (b, c, n, n,
    n)."""
    n = output.shape[-1]
    taper = torch.hann_window(n, periodic=False, device=output.device).sqrt()
    taper = taper[:, None, None] * taper[:, None] * taper
    x, y = (
        torch.fft.rfftn((v[:, 0].float() - v[:, 0].float().mean((1, 2, 3), keepdim=True)) * taper, dim=(1, 2, 3))
        for v in (output, target)
    )
    whole, half = torch.fft.fftfreq(n, 1 / n, device=output.device), torch.arange(n // 2 + 1, device=output.device)
    shell = (whole[:, None, None] ** 2 + whole[:, None] ** 2 + half**2).sqrt().round().long().flatten()
    sums = lambda v: torch.zeros(len(v), int(shell.max()) + 1, device=v.device).index_add_(1, shell, v.flatten(1))
    common = sums((x * y.conj()).real)
    power = sums(x.real**2 + x.imag**2) * sums(y.real**2 + y.imag**2)
    return 1 - (common / (power + SILENT).sqrt())[:, 1 : n // 2].mean()


def atom_scores(
    output: torch.Tensor, positions: torch.Tensor, weights: torch.Tensor, wanted: torch.Tensor
) -> torch.Tensor:
    """(k,) Q-scores of the atoms of a batch that can be judged: correlations of the first channel around each atom with
    those of a well-resolved atom. output: (b, c, n, n, n). positions: (b, atoms, p, 3) zyx voxels. weights: (b, atoms,
    p). wanted: (p,)."""
    b, atoms, p, _ = positions.shape
    side = output.shape[-1]
    where = (positions / (side - 1) * 2 - 1).flip(-1).reshape(b, 1, 1, -1, 3)  # grid_sample counts xyz from -1 to 1
    found = F.grid_sample(output[:, :1].float().contiguous(), where, align_corners=True).reshape(b, atoms, p)
    judged = weights.sum(-1) > p / 2
    found, weights = found[judged], weights[judged]
    mean = lambda x: (x * weights).sum(-1, keepdim=True) / weights.sum(-1, keepdim=True)
    found, wanted = found - mean(found), wanted - mean(wanted.expand_as(found))
    return (mean(found * wanted) / (mean(found.square()) * mean(wanted.square()) + FLAT).sqrt())[:, 0]


def presence_loss(output: torch.Tensor, target: torch.Tensor, minimum: float) -> torch.Tensor:
    """Cross-entropy of the second channel's logits with: the target is above `minimum`."""
    return F.binary_cross_entropy_with_logits(output[:, 1:2].float(), (target > minimum).float())


def box_correlation(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(b,) correlation coefficients of boxes (b, 1, d, h, w)."""
    x, y = output.float().flatten(1), target.float().flatten(1)
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    return (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1)).clamp(min=1e-9)
