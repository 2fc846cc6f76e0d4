# SPDX-License-Identifier: GPL-3.0-or-later
"""Class averages as the ranker sees them: small, of one scale, within the particle's circle; and two numbers."""

import math

import torch

SIDE = 40  # px of the small image
FILLED = 1.1  # of the mask's diameter: what of the box the small image shows
CONTRAST = 6.0  # values beyond are clipped


def small_images(images: torch.Tensor, mask_px: float) -> torch.Tensor:
    """(k, 1, SIDE, SIDE) averages cut to the mask, made small, with mean 0 and deviation 1 within the circle.

    images: (k, box, box), protein bright. mask_px: radius of the particle, px.
    """
    box = images.shape[-1]
    width = 2 * mask_px * FILLED
    axis = torch.linspace(-0.5, 0.5, SIDE) * width * 2 / box
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij")[::-1], -1).expand(len(images), -1, -1, -1)
    factor = width / SIDE  # smoothed first where pixels are left out
    smooth = _smoothed(images[:, None].float(), 0.5 * factor if factor > 1 else 0.0)
    small = torch.nn.functional.grid_sample(smooth, grid, mode="bilinear", align_corners=False)
    inside = _inside()
    values = small[..., inside]
    scale = values.std(-1, keepdim=True)[..., None].clamp(min=1e-6)
    small = (small - values.mean(-1, keepdim=True)[..., None]) / scale
    return (small * inside).clamp(-CONTRAST, CONTRAST)


def curve_numbers(curves: torch.Tensor) -> torch.Tensor:
    """(k, 2): mean of each FRC up to half of Nyquist, and where it falls below 0.5, as a fraction of Nyquist."""
    last = curves.shape[-1] - 1
    low = curves[:, 1 : max(2, last // 2 + 1)].mean(1)
    below = (curves[:, 1:] < 0.5).float()
    first = torch.where(below.any(1), below.argmax(1), torch.full_like(below[:, 0], last).long())
    return torch.stack([low, first / last], 1).float()


def _inside() -> torch.Tensor:
    axis = torch.linspace(-1, 1, SIDE) * FILLED
    return axis[:, None] ** 2 + axis[None] ** 2 <= 1


def _smoothed(images: torch.Tensor, sigma: float) -> torch.Tensor:
    if not sigma:
        return images
    reach = math.ceil(3 * sigma)
    axis = torch.arange(-reach, reach + 1).float()
    kernel = torch.exp(-(axis**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).view(1, 1, -1, 1)
    padded = torch.nn.functional.pad(images, (reach,) * 4, mode="replicate")
    return torch.nn.functional.conv2d(torch.nn.functional.conv2d(padded, kernel), kernel.transpose(2, 3))
