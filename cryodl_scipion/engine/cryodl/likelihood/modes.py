# SPDX-License-Identifier: GPL-3.0-or-later
"""The answers among a grid's likelihoods: positions in orientation space that hold the most probability, well apart."""

from __future__ import annotations

import dataclasses
import functools
import typing

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..core.symmetry import operations

if typing.TYPE_CHECKING:
    from .search import Grid

# Probability is gathered over neighbours by a Gaussian of this width: what is asked for is not the most probable point
# of a grid, but the neighbourhood that most probably holds the orientation (in noise 3 to 5 % more particles are right,
# measured).
NEIGHBOURHOOD = 10.0  # degrees
TOP = 384  # orientations of each particle that are looked at
BATCH = 32  # particles at a time: the table of distances takes 4 BATCH TOP² bytes


@dataclasses.dataclass(frozen=True)
class Modes:
    """numbers: (n, m) int64 orientations of the grid, best first. mass: (n, m) probability in the neighbourhood of
    each; 0 for positions that are filled up because there were no more."""

    numbers: torch.Tensor
    mass: torch.Tensor


def find_modes(log_likelihood: torch.Tensor, grid: Grid, count: int, separation_deg: float) -> Modes:
    """The most probable orientations of each particle that are not neighbours.

    Parameters
    ----------
    log_likelihood : Tensor, (n, orientations)
    grid : Grid
        Of the orientations.
    count : int
        Most modes of a particle.
    separation_deg : float, degrees
        They are farther apart.
    """
    rotations = _rotations_of(grid.symmetry, log_likelihood.device)
    parts = [_modes(part, grid, rotations, count, separation_deg) for part in log_likelihood.split(BATCH)]
    return Modes(torch.cat([p.numbers for p in parts]), torch.cat([p.mass for p in parts]))


def _modes(
    log_likelihood: torch.Tensor, grid: Grid, rotations: torch.Tensor, count: int, separation_deg: float
) -> Modes:
    total = torch.logsumexp(log_likelihood, 1, keepdim=True)
    values, numbers = log_likelihood.topk(min(TOP, log_likelihood.shape[1]), dim=1)
    chosen = Rotation.from_euler("ZYZ", grid.angles(numbers.cpu().numpy()).reshape(-1, 3), degrees=True)
    angle = _angles_between(_quaternions(chosen, numbers), rotations)
    kernel = torch.exp(-0.5 * (angle / NEIGHBOURHOOD) ** 2)
    mass = (kernel @ (values - total).exp()[..., None])[..., 0]
    found, masses = [], []
    rows = torch.arange(len(mass), device=mass.device)
    for _ in range(min(count, mass.shape[1])):
        best = mass.argmax(1)
        found.append(numbers[rows, best])
        masses.append(mass[rows, best].clamp(min=0))
        mass = torch.where(angle[rows, best] <= separation_deg, torch.full_like(mass, -1.0), mass)
    return Modes(torch.stack(found, 1), torch.stack(masses, 1))


def distances(matrices: torch.Tensor, symmetry: str) -> torch.Tensor:
    """Angles between k orientations of each particle, the smallest over equivalent ones.

    Parameters
    ----------
    matrices : Tensor, (n, k, 3, 3)
        From image to density.
    symmetry : str
        Point group, see core.symmetry.operations.

    Returns
    -------
    Tensor, (n, k, k)
        Degrees.
    """
    rotated = Rotation.from_matrix(matrices.cpu().double().numpy().reshape(-1, 3, 3))
    return _angles_between(_quaternions(rotated, matrices[:, :, 0, 0]), _rotations_of(symmetry, matrices.device))


def _quaternions(rotations: Rotation, like: torch.Tensor) -> torch.Tensor:
    """(n, k, 4) float32 tensor of n k rotations. like: any (n, k) tensor of the device."""
    return torch.from_numpy(rotations.as_quat()).float().to(like.device).reshape(*like.shape, 4)


def _angles_between(quaternions: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """(n, k, k) degrees between (n, k, 4) quaternions. rotations: (s, 4, 4) of _turns."""
    # of half the angle; the group has the identity at least
    cosine = functools.reduce(
        torch.maximum, ((quaternions @ rotation.T @ quaternions.transpose(1, 2)).abs() for rotation in rotations)
    )
    return 2 * torch.acos(cosine.clamp(max=1.0)) * (180 / np.pi)


def _rotations_of(symmetry: str, device: torch.device) -> torch.Tensor:
    """(s, 4, 4) matrices that multiply a quaternion from the left by the operations of a group."""
    return torch.from_numpy(_left_products(Rotation.from_matrix(operations(symmetry)).as_quat())).float().to(device)


def _left_products(quaternions: np.ndarray) -> np.ndarray:
    """(s, 4, 4) matrices that multiply a quaternion (x, y, z, w) from the left by (s, 4) ones."""
    x, y, z, w = quaternions.T
    rows = [[w, -z, y, x], [z, w, -x, y], [-y, x, w, z], [-x, -y, -z, w]]
    return np.stack([np.stack(row, -1) for row in rows], -2)
