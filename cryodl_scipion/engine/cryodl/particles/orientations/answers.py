# SPDX-License-Identifier: GPL-3.0-or-later
"""Orientations found by a search, and their confidence."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ...core.healpix_grid import into_unit
from ...likelihood.search import distances

if typing.TYPE_CHECKING:
    from ...likelihood.refine import Pose
    from .settings import SearchSettings


@dataclasses.dataclass(frozen=True)
class Orientations:
    """angles: (n, 3) rot, tilt, psi in degrees. shifts_yx: (n, 2) px, where the particle lies relative to pixel box //
    2. score: (n,) logarithmic likelihood ratio of this orientation to 'no particle'. margin: (n,) logarithm of how much
    more probable it is than the best answer more than two steps away. probability: (n,) its share of the probability of
    the answers that were refined. coarse: (n,) the share of its neighbourhood in the whole search's probability.
    evidence: (n,) logarithmic likelihood ratio of 'a particle in any orientation' to 'no particle'."""

    angles: np.ndarray
    shifts_yx: np.ndarray
    score: np.ndarray
    margin: np.ndarray
    probability: np.ndarray
    evidence: np.ndarray
    coarse: np.ndarray


def answer(pose: Pose, mass: torch.Tensor, total: np.ndarray, coarse: torch.Tensor, symmetry: str) -> Orientations:
    """Orientations of Pose. mass: (n, m) probability of the answer and of others. total: (n,) evidence. coarse: (n,)
    the answer's probability in the search."""
    matrices = into_unit(pose.matrices.cpu().double().numpy(), symmetry)
    angles = Rotation.from_matrix(matrices).as_euler("ZYZ", degrees=True)
    fraction = mass.double().cpu().numpy()
    other = fraction[:, 1:].max(axis=1, initial=0)
    margin = np.log(np.maximum(fraction[:, 0], 1e-30)) - np.log(np.maximum(other, 1e-30))
    shifts, peak = (tensor.cpu().double().numpy() for tensor in (pose.shifts_yx, pose.peak))
    return Orientations(angles, shifts, peak, margin, fraction[:, 0], total, coarse.double().cpu().numpy())


def answer_probabilities(
    poses: typing.Sequence[Pose], every: torch.Tensor, best: torch.Tensor, settings: SearchSettings
) -> torch.Tensor:
    """(n, m) probability of the best answer, then of the others; 0 for those that have become the same answer.

    every: (n, m) evidence of the Poses. best: (n,) place of the best.
    """
    near = distances(torch.stack([p.matrices for p in poses], 1), settings.symmetry)
    rows = torch.arange(len(best), device=best.device)
    same = near[rows, best] < settings.angular_step
    same[rows, best] = False
    mass = torch.softmax(every.masked_fill(same, -torch.inf), 1)
    others = mass.clone()
    others[rows, best] = 0
    return torch.cat([mass[rows, best][:, None], others], 1)
