# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes on another grid over the same space, whole or by parts: a part is exactly what it is in the whole.

The position p of n voxels lies at (p + 0.5) * m / n - 0.5 of m (frames.py). Towards finer grids this is linear
interpolation; towards coarser ones the triangle is as wide as the new voxels, so that nothing folds back (as resizing
of images does it).
"""

import functools
import typing

import torch

from ...contract.frames import rescaled


def resampled_length(shape: tuple[int, ...], factor: float) -> tuple[int, ...]:
    """(z, y, x) of a volume after resampling by `factor`, at least 1 voxel each."""
    return tuple(max(1, int(round(side * factor))) for side in shape)


def needed_range(start: int, stop: int, size_in: int, size_out: int) -> tuple[int, int]:
    """(start, stop) of the input's voxels along an axis from which the output's [start, stop) is made."""
    if size_in == size_out:
        return start, stop
    centres, reach = _centres((start, stop - 1), size_in, size_out)
    low, high = float(centres[0]) - reach, float(centres[1]) + reach
    return max(0, int(low)), min(size_in, int(high) + 2)


def resample_part(
    part: torch.Tensor,
    starts: typing.Sequence[int],
    shape_in: typing.Sequence[int],
    shape_out: typing.Sequence[int],
    ranges: typing.Sequence[tuple[int, int]],
) -> torch.Tensor:
    """A part of a resampled volume.

    part: (z, y, x) float32 tensor of the input, large enough (needed_range). starts: where its first voxel lies in the
    input. shape_in, shape_out: of the whole volumes. ranges: three (start, stop) of the output that are wanted.
    Returns a tensor of that size.
    """
    todo = []
    for axis in range(3):
        size_in, size_out, (start, stop) = shape_in[axis], shape_out[axis], ranges[axis]
        if size_in == size_out:
            part = part.narrow(axis, start - starts[axis], stop - start)
        else:
            todo.append((size_out / size_in, axis))
    for _, axis in sorted(todo):  # first where most goes
        taps, weights = _taps(*ranges[axis], shape_in[axis], shape_out[axis])
        part = _along(part, axis, taps - starts[axis], weights)
    return part


def resample_whole(volume: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """(z, y, x) tensor resampled to a shape."""
    return resample_part(volume, (0, 0, 0), tuple(volume.shape), shape, [(0, n) for n in shape])


def _centres(positions: typing.Sequence[int], size_in: int, size_out: int) -> tuple[torch.Tensor, float]:
    """Where places of the output lie in the input, and how far their weights reach there."""
    scale = size_in / size_out
    return rescaled(torch.as_tensor(positions, dtype=torch.float64), scale), max(1.0, scale)


@functools.lru_cache(maxsize=64)
def _taps(start: int, stop: int, size_in: int, size_out: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Voxels of the input (n, k) and their weights (n, k) float32 for the output's [start, stop)."""
    centres, reach = _centres(range(start, stop), size_in, size_out)
    first = torch.ceil(centres - reach).long()
    taps = first[:, None] + torch.arange(int(2 * reach) + 1)
    weights = (1 - (taps - centres[:, None]).abs() / reach).clamp(min=0)
    weights[(taps < 0) | (taps >= size_in)] = 0
    kept = weights.sum(dim=0) > 0
    taps, weights = taps[:, kept].clamp(0, size_in - 1), weights[:, kept]
    return taps, (weights / weights.sum(dim=1, keepdim=True)).float()


def _along(part: torch.Tensor, axis: int, taps: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted sums of a tensor along an axis. taps, weights: (n, k); taps of weight 0 may lie outside."""
    taps = taps.clamp(0, part.shape[axis] - 1)
    shape = [1, 1, 1]
    shape[axis] = len(taps)

    def term(k: int) -> torch.Tensor:
        return part.index_select(axis, taps[:, k].to(part.device)).mul_(weights[:, k].reshape(shape).to(part.device))

    result = term(0)
    for k in range(1, taps.shape[1]):
        result.add_(term(k))
    return result
