# SPDX-License-Identifier: GPL-3.0-or-later
"""Cubes of voxels as channels, and back: networks then work on fewer places (pixel unshuffle in three dimensions)."""

from __future__ import annotations

import typing

if typing.TYPE_CHECKING:
    import torch


def folded(x: torch.Tensor, n: int) -> torch.Tensor:
    """Cubes of n voxels become channels.

    Parameters
    ----------
    x : Tensor, (b, c, d, h, w)

    Returns
    -------
    Tensor, (b, c n³, d / n, h / n, w / n)
    """
    if n == 1:
        return x
    b, c, d, h, w = x.shape
    x = x.reshape(b, c, d // n, n, h // n, n, w // n, n)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * n**3, d // n, h // n, w // n)


def unfolded(x: torch.Tensor, n: int) -> torch.Tensor:
    """The opposite of folded.

    Parameters
    ----------
    x : Tensor, (b, c n³, d, h, w)

    Returns
    -------
    Tensor, (b, c, d n, h n, w n)
    """
    if n == 1:
        return x
    b, c, d, h, w = x.shape
    x = x.reshape(b, c // n**3, n, n, n, d, h, w)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c // n**3, d * n, h * n, w * n)
