# SPDX-License-Identifier: GPL-3.0-or-later
"""The average that subtomograms in given poses make most probable, filtered by what two halves of them agree on."""

from __future__ import annotations

import dataclasses
import typing

import torch

from .rotated import Sums
from .search import Poses

if typing.TYPE_CHECKING:
    from ...core.volumes import HalfBall
    from .observed import ObservedSubtomograms

MINIMUM = 1e-3  # part of a subtomogram that a pose must have to be summed


def _unknown() -> torch.Tensor:
    return torch.zeros(0)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """volume: (box, box, box), noise of the subtomograms 1. noise: (shells,) power. fsc: (shells,) of the halves.
    evidence: (n,) log of the likelihood ratio to nothing, up to a constant. Both are empty of a volume that is yet to
    be compared. poses: Poses, or None after a soft search."""

    volume: torch.Tensor
    noise: torch.Tensor
    fsc: torch.Tensor = dataclasses.field(default_factory=_unknown)
    evidence: torch.Tensor = dataclasses.field(default_factory=_unknown)
    poses: Poses | None = None


def from_poses(observed: ObservedSubtomograms, poses: Poses, noise: torch.Tensor, mask: torch.Tensor) -> Estimate:
    """Estimate by the M-step alone."""
    weights = observed.weights / noise[observed.ball.shell]
    sums = halves_of(observed, weights, poses.matrices, poses.shifts, poses.weights)
    return maximised(sums, mask, noise, poses.evidence, poses)


def halves_of(
    observed: ObservedSubtomograms,
    weights: torch.Tensor,
    matrices: torch.Tensor,
    shifts: torch.Tensor | None = None,
    responsibilities: torch.Tensor | None = None,
) -> typing.Any:
    """Two Sums, of the subtomograms with even and odd numbers.

    weights: (n, d) of the coefficients. matrices: (n, p, 3, 3), shifts: (n, p, 3) px, responsibilities: (n, p) of p
    poses.
    """
    sums = [Sums(observed.ball) for _ in (0, 1)]
    for pose in range(matrices.shape[1]):
        responsibility = (
            torch.ones(len(observed), device=weights.device) if responsibilities is None else responsibilities[:, pose]
        )
        values = observed.values * weights
        for half in (0, 1):
            rows = torch.arange(half, len(observed), 2, device=weights.device)
            rows = rows[responsibility[rows] > MINIMUM]
            moved = values[rows] if shifts is None else values[rows] * observed.ball.ramp(-shifts[rows, pose])
            sums[half].add(
                moved * responsibility[rows, None], weights[rows] * responsibility[rows, None], matrices[rows, pose]
            )
    return sums


def maximised(
    sums: typing.Any, mask: torch.Tensor, noise: torch.Tensor, evidence: torch.Tensor, poses: Poses | None = None
) -> Estimate:
    """Estimate of two Sums."""
    ball = sums[0].ball
    each = [one.volume(0.1 * one.shell_weights()) * mask for one in sums]
    one, other = each
    fsc = subtomogram_fsc(one, other, ball)
    both = sums[0].merged(sums[1])
    agreed = fsc.clamp(1e-3, 0.999)
    floor = both.shell_weights() * (1 - agreed) / (2 * agreed)
    floor[0] = 0.1 * both.shell_weights()[0]
    return Estimate(both.volume(floor) * mask, noise, fsc, evidence, poses)


def subtomogram_fsc(one: torch.Tensor, other: torch.Tensor, ball: HalfBall) -> torch.Tensor:
    """(shells,) float32 Fourier shell correlation of two volumes."""
    a, b = (ball.of_volumes(volume[None])[0] for volume in (one, other))
    power = ball.shell_sum(a.abs().square()) * ball.shell_sum(b.abs().square())
    return (ball.shell_sum((a * b.conj()).real) / power.sqrt().clamp(min=1e-30)).float()
