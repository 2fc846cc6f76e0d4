# SPDX-License-Identifier: GPL-3.0-or-later
"""Local search: the neighbourhood of an orientation, with finer steps and finer detail."""

import dataclasses

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..core.healpix_grid import ball_of_points, ball_of_rotations
from ..core.volumes import side_by_side
from .observed import Observed
from .reference import Reference

SAMPLES = 5e5  # Fourier coefficients of reference slices that are made at a time


@dataclasses.dataclass(frozen=True)
class Pose:
    """Orientations being refined. matrices: (n, 3, 3) float32, from image to density. shifts_yx: (n, 2) px. evidence:
    (n,) log of the likelihood ratio to 'no particle', mean of the neighbourhood. peak: (n,) its largest there."""

    matrices: torch.Tensor
    shifts_yx: torch.Tensor
    evidence: torch.Tensor
    peak: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Neighbourhood:
    """rotations: (t, 3, 3) small rotations; vectors: (t, 3) their rotation vectors in radians. shifts: (s, 2) px."""

    rotations: torch.Tensor
    vectors: torch.Tensor
    shifts: torch.Tensor

    @classmethod
    def of(cls, rotation_deg: float, shift_px: float, device: torch.device | None = None) -> "Neighbourhood":
        """Rotations by up to two steps of rotation_deg, shifts by up to two of shift_px."""
        rotations = ball_of_rotations(2 * rotation_deg, rotation_deg)
        tensors = (
            torch.as_tensor(a, dtype=torch.float32, device=device)
            for a in (rotations, Rotation.from_matrix(rotations).as_rotvec(), ball_of_points(2 * shift_px, shift_px, 2))
        )
        return cls(*tensors)


def refine(
    observed: Observed,
    reference: Reference,
    matrices: torch.Tensor,
    shifts_yx: torch.Tensor,
    near: Neighbourhood,
    sigma: float | None = None,
) -> Pose:
    """The mean orientation and shift of the neighbourhood of each given one, weighted by likelihood. observed: of n
    particles. matrices: (n, 3, 3), to begin with, image to density. shifts_yx: (n, 2) px, to begin with. sigma: px, of
    a Gaussian prior of the shifts."""
    batch = max(1, int(SAMPLES / (len(observed.disc) * max(len(near.rotations), len(near.shifts)))))
    slices = [slice(start, start + batch) for start in range(0, len(observed), batch)]
    parts = [_refine(observed[part], reference, matrices[part], shifts_yx[part], near, sigma) for part in slices]
    return Pose(*(torch.cat([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(Pose)))


def refined_where(
    rows: torch.Tensor,
    observed: Observed,
    reference: Reference,
    pose: Pose,
    near: Neighbourhood,
    sigma: float | None = None,
) -> Pose:
    """A Pose with some of its rows refined, see `refine`; the others as they are. rows: (n,) bool. observed: of n
    particles. sigma: px, of a Gaussian prior of the shifts."""
    if not bool(rows.any()):
        return pose
    part = refine(observed[rows], reference, pose.matrices[rows], pose.shifts_yx[rows], near, sigma)
    return Pose(*(getattr(pose, f.name).index_put((rows,), getattr(part, f.name)) for f in dataclasses.fields(Pose)))


def _refine(
    observed: Observed,
    reference: Reference,
    matrices: torch.Tensor,
    shifts_yx: torch.Tensor,
    near: Neighbourhood,
    sigma: float | None,
) -> Pose:
    slices, shifts = reference.at(matrices[:, None] @ near.rotations), shifts_yx[:, None] + near.shifts
    ramp = observed.disc.ramp(-shifts.reshape(-1, 2)).reshape(*shifts.shape[:2], -1)
    fit = side_by_side(observed.match[:, None] * ramp) @ side_by_side(slices).transpose(1, 2)  # n, shifts, rotations
    value = fit - (slices.abs().square() @ observed.weight[..., None])[..., 0][:, None]
    peak = value.amax((1, 2))
    if sigma is not None:
        value = value - (shifts.square().sum(-1) / (2 * sigma**2))[..., None]
    total = torch.logsumexp(value, (1, 2))
    weight = (value - total[:, None, None]).clamp_(min=-80).exp()  # as in search.py
    vectors = (weight.sum(1) @ near.vectors).cpu().numpy()
    rotation = torch.from_numpy(Rotation.from_rotvec(vectors).as_matrix()).float().to(matrices.device)
    shift = (weight.sum(2)[..., None] * shifts).sum(1)
    return Pose(matrices @ rotation, shift, total - float(np.log(value[0].numel())), peak)
