# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotations of densities in three dimensions, by RELION's Euler angles."""

import typing

import numpy as np
import torch
import torch.nn.functional as F

from ..core.projections import rotation_matrices  # noqa: F401, for those who rotate densities
from ..core.volumes import cube_crop

CHUNK_VOXELS = 2**24  # results computed at a time: their sampling positions take 12 bytes each


def rotated(
    density: torch.Tensor,
    angles: np.ndarray | typing.Sequence[typing.Sequence[float]],
    shifts_zyx: np.ndarray | typing.Sequence[typing.Sequence[float]] | None = None,
    box: int | None = None,
    sampling: int = 1,
) -> torch.Tensor:
    """A density rotated and moved, by trilinear interpolation, (n, box, box, box) float32.

    Summed over z the result is Projector.project(angles): position r of it holds the density at M (r - shift), M of
    rotation_matrices(angles), all counted from the middle voxels (side // 2).

    density: (d, d, d), zyx; the result is on its device. angles: (n, 3), rot, tilt, psi in degrees. shifts_zyx: (n, 3),
    voxels of the result. box: side of the results; that of the density if None. sampling: voxels of the density per
    voxel of the result along each axis, see finer(); interpolation then blurs less."""
    angles = np.asarray(angles, float).reshape(-1, 3)
    shifts = np.zeros((len(angles), 3)) if shifts_zyx is None else np.asarray(shifts_zyx, float).reshape(-1, 3)
    box = box or density.shape[-1] // sampling
    result = torch.empty((len(angles), box, box, box), device=density.device)
    source, step = density.float()[None, None], max(1, CHUNK_VOXELS // box**3)
    for start in range(0, len(angles), step):
        part = slice(start, start + step)
        matrices = _theta(angles[part], shifts[part], density.shape[-1], box, sampling)
        theta = torch.as_tensor(matrices, dtype=torch.float32, device=density.device)
        grid = F.affine_grid(theta, [len(theta), 1, box, box, box], align_corners=True)
        result[part] = F.grid_sample(source.expand(len(theta), -1, -1, -1, -1), grid, align_corners=True)[:, 0]
    return result


def _theta(angles: np.ndarray, shifts_zyx: np.ndarray, side: int, box: int, sampling: int) -> np.ndarray:
    """(n, 3, 4) matrices of affine_grid, whose coordinates are -1 and 1 at the middles of the outermost voxels."""
    matrices, half = sampling * rotation_matrices(angles), (box - 1) / 2
    # where the middle of affine_grid's cube lies, in voxels from voxel box // 2, before the shift
    offset = half - box // 2 - shifts_zyx[:, ::-1]
    middle, linear = sampling * (side // sampling // 2), matrices * half * 2 / (side - 1)
    return np.concatenate([linear, ((matrices @ offset[:, :, None]) + middle) * 2 / (side - 1) - 1], axis=2)


def finer(density: torch.Tensor, times: int) -> torch.Tensor:
    """A density sampled more finely, by its Fourier transform, (times d, times d, times d). Voxel i becomes voxel times
    * i. The density should fade before its cube's faces. Values stay as they are. density: (d, d, d)."""
    side = density.shape[-1]
    if times == 1:
        return density
    transform = torch.fft.fftshift(torch.fft.fftn(density.float()))
    transform = cube_crop(transform, times * side)
    return (torch.fft.ifftn(torch.fft.ifftshift(transform)).real * times**3).contiguous()
