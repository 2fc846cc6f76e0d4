# SPDX-License-Identifier: GPL-3.0-or-later
"""The orientations that a search found, and how sure they are."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial.transform import Rotation

from ...core.healpix_grid import into_unit


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


def answer(pose, mass, total, coarse, symmetry):
    """Orientations of Pose. mass: (n, m) probability of the answer and of others. total: (n,) evidence. coarse: (n,)
    the answer's probability in the search."""
    matrices = into_unit(pose.matrices.cpu().double().numpy(), symmetry)
    angles = Rotation.from_matrix(matrices).as_euler("ZYZ", degrees=True)
    mass = mass.double().cpu().numpy()
    other = mass[:, 1:].max(axis=1, initial=0)
    margin = np.log(np.maximum(mass[:, 0], 1e-30)) - np.log(np.maximum(other, 1e-30))
    shifts, peak = (tensor.cpu().double().numpy() for tensor in (pose.shifts_yx, pose.peak))
    return Orientations(angles, shifts, peak, margin, mass[:, 0], total, coarse.double().cpu().numpy())
