# SPDX-License-Identifier: GPL-3.0-or-later
"""One class becomes two: its aligned members are split along their largest principal component."""

import numpy as np
import torch

from .bank import ClassBank
from .polar import PolarGrid

MEMBERS = 96  # of a class that are looked at
RINGS, ORDERS = 10, 12  # detail that decides


def onto_averages(grid: PolarGrid, samples: torch.Tensor, shifts_yx: torch.Tensor, phi: torch.Tensor) -> torch.Tensor:
    """(n, rings, orders) coefficients of particles brought onto their averages.

    samples: (n, rings, half). shifts_yx: (n, 2) px and phi: (n,) radians, poses as matching.BestPoses has them.
    """
    return grid.harmonics(samples * grid.shift_phases(-shifts_yx)) * grid.rotation(-phi)


def halves(grid: PolarGrid, members: torch.Tensor, squared: torch.Tensor) -> torch.Tensor:
    """(n,) bool: which side of the largest principal component each aligned member is on.

    members: (n, rings, orders) aligned coefficients. squared: (n, rings) squared CTF.
    """
    low, weights = members[:, :RINGS, :ORDERS], squared[:, :RINGS, None]
    average = low.sum(0) / (weights.sum(0) + weights.mean())
    residual = (low - weights * average) * grid.weights[:RINGS, None].sqrt().to(low.device)
    flat = torch.view_as_real(residual).flatten(1)
    gram = flat @ flat.T
    gram = gram - gram.mean(0) - gram.mean(1)[:, None] + gram.mean()
    side = torch.linalg.eigh(gram).eigenvectors[:, -1]
    return side > side.median()


def members_of(labels: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of at most MEMBERS members of a class, in order."""
    positions = np.nonzero(labels == number)[0]
    return positions if len(positions) <= MEMBERS else np.sort(rng.choice(positions, MEMBERS, replace=False))


def seed_children(
    bank: ClassBank, classes: tuple, folds: torch.Tensor, members: torch.Tensor, squared: torch.Tensor
) -> None:
    """Put the members of one class into two classes of a bank.

    classes: the two, from 0. folds: (n,) the parts that the members belong to. members, squared: see `halves`.
    """
    side = halves(bank.grid, members, squared)
    labels = torch.where(side, *(torch.tensor(c, device=members.device) for c in classes))
    for fold in folds.unique().tolist():
        mine = folds == fold
        bank.add(fold, labels[mine], members[mine], squared[mine])
