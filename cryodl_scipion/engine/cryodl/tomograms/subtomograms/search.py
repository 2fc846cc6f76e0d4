# SPDX-License-Identifier: GPL-3.0-or-later
"""Likelihood of subtomograms given a structure, over orientations and shifts: on a grid, then finely."""

import dataclasses
import typing

import numpy as np
import torch

from ...core.half_transforms import HalfBall
from ...core.healpix_grid import ball_of_points, ball_of_rotations
from ...core.projections import rotation_matrices
from ...core.volumes import side_by_side
from ...likelihood.search import Grid, find_modes
from .observed import Frame, ObservedSubtomograms, Rotated

SHIFTS = 2.7  # steps of a search's shifts in the finest detail
BLOCK = 1.2e7  # likelihoods in memory at a time
SAMPLES = 4e6  # coefficients that are looked up at a time


def ball_of_shifts(radius: float, step: float) -> torch.Tensor:
    """(n, 3) zyx, see ball_of_points."""
    return torch.as_tensor(ball_of_points(radius, step), dtype=torch.float32)


class PoseGrid:
    """All orientations and shifts of a search with detail up to a radius. ball: HalfBall of the detail. step: degrees.
    shifts: (s, 3) px zyx. matrices: (r, 3, 3). finer: steps of the shifts in the finest detail."""

    def __init__(
        self,
        frame: Frame,
        radius: float,
        max_shift: float,
        step: float,
        device: torch.device | None = None,
        finer: float = SHIFTS,
    ) -> None:
        self.radius, self.ball, self.step = radius, HalfBall(frame.box, radius, device), step
        self.grid = Grid(step)
        self.matrices = matrices_of(self.grid.angles(np.arange(len(self.grid))), device)
        self.shift_step = frame.width / radius / finer / frame.pixel_size
        self.shifts = ball_of_shifts(max(max_shift, self.shift_step), self.shift_step).to(self.ball.device)
        self.ramp = self.ball.ramp(-self.shifts)

    def bank(self, volume: torch.Tensor) -> torch.Tensor:
        """(r, 2 d) coefficients of a structure in all orientations, real and imaginary parts side by side."""
        rotated, step = Rotated(volume, self.ball), max(1, int(SAMPLES / len(self.ball)))
        return torch.cat([side_by_side(rotated.at(part)) for part in self.matrices.split(step)])


def matrices_of(angles: np.ndarray, device: torch.device | None = None) -> torch.Tensor:
    """(n, 3, 3) float32 tensor, from subtomogram to structure, of (n, 3) rot, tilt, psi in degrees."""
    return torch.as_tensor(rotation_matrices(angles), dtype=torch.float32, device=device)


def power_of(bank: torch.Tensor) -> torch.Tensor:
    """(r, d) of a bank (r, 2 d)."""
    half = bank.shape[1] // 2
    return bank[:, :half].square() + bank[:, half:].square()


def likelihoods(
    observed: ObservedSubtomograms, noise: torch.Tensor, bank: torch.Tensor, grid: PoseGrid
) -> typing.Iterator[typing.Any]:
    """Blocks of rows (a slice), moved (m, s, 2 d) and log (m, s, r): logarithmic likelihood ratios of all poses to
    'there is nothing'; moved: the coefficients, moved back by each shift and divided by the noise. observed: up to the
    grid's radius. noise: (shells,) power. bank: of PoseGrid.bank."""
    inverse = (1 / noise)[grid.ball.ring]
    power, count = power_of(bank), len(grid.shifts)
    step = max(1, int(BLOCK / (count * len(bank))))
    for start in range(0, len(observed), step):
        rows = slice(start, min(start + step, len(observed)))
        weights = observed.weights[rows] * inverse
        moved = side_by_side((observed.values[rows] * weights)[:, None] * grid.ramp)
        log = (2 * moved.flatten(0, 1)) @ bank.T
        log = log.reshape(len(weights), count, -1).sub_((weights @ power.T)[:, None])
        yield rows, moved, log


@dataclasses.dataclass(frozen=True)
class Poses:
    """The p most probable poses of n subtomograms. matrices: (n, p, 3, 3). shifts: (n, p, 3) px. weights: (n, p)
    probabilities, adding up to 1. evidence: (n,) log likelihood ratio of the structure in any pose to nothing."""

    matrices: torch.Tensor
    shifts: torch.Tensor
    weights: torch.Tensor
    evidence: torch.Tensor

    def best(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 3, 3) and (n, 3): the most probable pose of each."""
        rows, first = torch.arange(len(self.weights), device=self.weights.device), self.weights.argmax(1)
        return self.matrices[rows, first], self.shifts[rows, first]


def search(
    observed: ObservedSubtomograms, noise: torch.Tensor, bank: torch.Tensor, grid: PoseGrid, modes: int = 4
) -> tuple[torch.Tensor, ...]:
    """Positions of the grid that hold the most probability: (n, m, 3, 3) matrices, (n, m, 3) shifts. observed: at least
    up to the grid's radius."""
    found = []
    for rows, _, log in likelihoods(observed.within(grid.radius), noise, bank, grid):
        numbers = find_modes(torch.logsumexp(log, 1), grid.grid, modes, 1.5 * grid.step)[0]
        shift = log.gather(2, numbers[:, None].expand(-1, log.shape[1], -1)).argmax(1)
        found.append((grid.matrices[numbers], grid.shifts[shift]))
    return tuple(torch.cat(parts) for parts in zip(*found))


class Near:
    """The neighbourhood of a pose: rotations (t, 3, 3) and shifts (s, 3) px."""

    def __init__(self, step: float, shift_step: float, device: torch.device | None = None) -> None:
        self.rotations = torch.as_tensor(ball_of_rotations(1.8 * step, step), dtype=torch.float32, device=device)
        self.shifts = ball_of_shifts(1.5 * shift_step, shift_step).to(self.rotations.device)


def closely(
    observed: ObservedSubtomograms,
    noise: torch.Tensor,
    rotated: Rotated,
    matrices: torch.Tensor,
    shifts: torch.Tensor,
    near: Near,
    keep: int = 8,
) -> Poses:
    """Poses around the given ones. rotated: Rotated on the observed ball. matrices: (n, m, 3, 3), shifts: (n, m, 3) px
    of the middles. keep: most poses kept of each."""
    step = max(1, int(SAMPLES / (matrices.shape[1] * len(near.rotations) * len(observed.ball))))
    if len(observed) > step:
        chunks = [slice(start, start + step) for start in range(0, len(observed), step)]
        parts = [closely(observed[c], noise, rotated, matrices[c], shifts[c], near, keep) for c in chunks]
        return Poses(*(torch.cat([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(Poses)))
    count, modes, rotations = len(observed), matrices.shape[1], len(near.rotations)
    finer = (matrices[:, :, None] @ near.rotations).reshape(count, modes * rotations, 3, 3)
    slices = rotated.at(finer.flatten(0, 1)).reshape(count * modes, rotations, -1)
    moves = (shifts[:, :, None] + near.shifts).flatten(0, 1)  # n m, s, 3
    weights = observed.weights / noise[observed.ball.ring]
    match = (observed.values * weights)[:, None].expand(-1, modes, -1).flatten(0, 1)
    ramp = observed.ball.ramp(-moves.flatten(0, 1)).reshape(*moves.shape[:2], -1)
    fit = 2 * side_by_side(slices) @ side_by_side(match[:, None] * ramp).transpose(1, 2)  # n m, t, s
    energy = slices.abs().square().reshape(count, modes * rotations, -1) @ weights[:, :, None]
    log = (fit.reshape(count, modes * rotations, -1) - energy).reshape(count, -1)
    best, positions = log.topk(min(keep, log.shape[1]), 1)
    rows = torch.arange(count, device=log.device)[:, None]
    rotation, move = positions // len(near.shifts), positions % len(near.shifts)
    return Poses(
        finer[rows, rotation],
        moves.reshape(count, modes, -1, 3)[rows, rotation // rotations, move],
        torch.softmax(best, 1),
        torch.logsumexp(log, 1) - float(np.log(rotations * len(near.shifts))),
    )
