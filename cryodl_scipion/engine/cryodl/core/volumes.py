# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes cropped and resized."""

import torch
import torch.nn.functional as F


def resized(volumes: torch.Tensor, side: int) -> torch.Tensor:
    """Volumes over the same field with other voxels, by cropping or padding their transforms.

    Values are kept, voxel d // 2 becomes voxel side // 2, and nothing is aliased.

    Parameters
    ----------
    volumes : Tensor, (n, d, d, d)
    side : int
        px.

    Returns
    -------
    Tensor, (n, side, side, side)
    """
    old = volumes.shape[-1]
    if side == old:
        return volumes
    axes = (1, 2, 3)
    transform = torch.fft.fftshift(torch.fft.fftn(volumes.roll((-(old // 2),) * 3, axes), dim=axes), dim=axes)
    half = (min(old, side) - 1) // 2  # the highest frequency of an even side, which has no partner, is left out
    kept_part = transform.new_zeros(len(volumes), side, side, side)
    new, kept = (slice(n // 2 - half, n // 2 + half + 1) for n in (side, old))
    kept_part[:, new, new, new] = transform[:, kept, kept, kept]
    small = torch.fft.ifftn(torch.fft.ifftshift(kept_part, dim=axes), dim=axes).real * (side / old) ** 3
    result: torch.Tensor = small.roll((side // 2,) * 3, axes).float()
    return result


def cube_crop(volumes: torch.Tensor, box: int) -> torch.Tensor:
    """Volumes cut, or surrounded by zeros, so that voxel d // 2 becomes box // 2.

    Parameters
    ----------
    volumes : Tensor, (n, d, d, d)
    box : int
        px.

    Returns
    -------
    Tensor, (n, box, box, box)
    """
    before = box // 2 - volumes.shape[-1] // 2
    after = box - volumes.shape[-1] - before
    return F.pad(volumes, (before, after) * 3)
