# SPDX-License-Identifier: GPL-3.0-or-later
"""An average of subtomograms whose orientations are not known, by expectation-maximisation (Scheres 2012, in 3-D).
Every pose is weighed by its probability; the mean takes only what was measured; detail grows with the certainty of the
poses. Half of the subtomograms is summed apart: what both halves agree on is kept (a Wiener filter by their FSC).
Beginnings see a few subtomograms at a time, others in each round. What each of these few suggests differs, so that the
average does not settle on the first shape that explains some of the subtomograms."""

import numpy as np
import torch

from ...core.projections import random_angles
from .averages import MINIMUM, Estimate, from_poses, halves_of, maximised
from .observed import Frame, ObservedSubtomograms, Rotated, Sums, particle_sphere
from .search import Near, PoseGrid, Poses, closely, likelihoods, matrices_of, power_of, search

MAX_SHIFT = 1 / 12  # of the box: farthest from its middle that a particle is looked for
WAVES = 7.5  # per 1.25 diameters: detail of the search, which local refinement follows
FIRST_WAVES = 10.0  # and of random starts: at 7.5 wrong averages are no less probable than right ones (SNR 0.03)
FIRST, STEP = 20.0, 15.0  # degrees between orientations of random starts, and of the search
CLOSE = 4  # rounds of local refinement, at most, before the most probable start is chosen
GAIN = 1.01  # of the evidence, below which refinement ends
FIRST_SHIFTS = 2.0  # steps of the random starts' shifts in their finest detail
# Subtomograms of the rounds of a random start, and at first at most half of them: ten and more rounds over all of a few
# settle on a wrong average (of ten at SNR 0.1, evidence 69 to 93 in place of 210 to 230).
FIRST_BATCHES, LAST_BATCHES = 8 * (15,) + 3 * (20,), (30, 60)


class Grids:
    """The searches of a Frame, and the local refinement after them. max_shift: px."""

    def __init__(self, frame: Frame, max_shift: float, device: torch.device | None = None) -> None:
        self.frame, self.ball = frame, frame.ball(device)
        first, radius = (
            min(waves * frame.width / (1.25 * frame.diameter), self.ball.radius) for waves in (FIRST_WAVES, WAVES)
        )
        self.first = PoseGrid(frame, first, max_shift, FIRST, device, FIRST_SHIFTS)
        self.search = PoseGrid(frame, radius, max_shift, STEP, device)
        self.near = Near(self.search.step / 2, self.search.shift_step / 2, device)
        self.mask = particle_sphere(frame.box, min(frame.diameter / frame.pixel_size, frame.box - 4), device)


def learn_average(
    observed: ObservedSubtomograms,
    grids: Grids,
    seed: int = 0,
    starts: int = 3,
    rounds: int = 6,
    angles: np.ndarray | None = None,
    shifts: np.ndarray | None = None,
) -> Estimate:
    """Estimate of the structure that all of the ObservedSubtomograms show. starts: random starts; the most probable one
    after CLOSE rounds of local refinement is refined further. rounds: of local refinement, at most. angles: (n, 3)
    degrees, shifts: (n, 3) px: one more start. Deterministic for a seed."""
    rng = np.random.default_rng(seed)
    tries = [_begun(observed, grids, rng) for _ in range(starts)]
    if angles is not None:
        count, device = len(observed), observed.values.device
        moves = torch.as_tensor(np.zeros((count, 3)) if shifts is None else shifts, dtype=torch.float32).to(device)
        likely, evidence = torch.ones(count, 1, device=device), torch.zeros(count, device=device)
        poses = Poses(matrices_of(angles, device)[:, None], moves[:, None], likely, evidence)
        tries.append(from_poses(observed, poses, observed.power(), grids.mask))
    close = min(rounds, CLOSE)
    tries = [refined(observed, one, grids, close) for one in tries]
    return refined(observed, max(tries, key=lambda one: float(one.evidence.mean())), grids, rounds - close)


def refined(observed: ObservedSubtomograms, estimate: Estimate, grids: Grids, rounds: int) -> Estimate:
    """The Estimate after so many rounds of search and local refinement, or fewer where they gain nothing more."""
    reached = float("-inf")
    for _ in range(rounds):
        poses = find_poses(observed, estimate, grids)
        noise = residual(observed, poses, Rotated(estimate.volume, observed.ball), estimate.noise)
        estimate = from_poses(observed, poses, noise, grids.mask)
        before, reached = reached, float(estimate.evidence.mean())
        if reached < GAIN * before:
            break
    return estimate


def _begun(observed: ObservedSubtomograms, grids: Grids, rng: np.random.Generator) -> Estimate:
    """Estimate from random orientations, after soft rounds over others of the subtomograms each time."""
    low = observed.within(grids.first.radius)
    rotations = matrices_of(random_angles(len(low), rng), low.values.device)[:, None]
    estimate = maximised(halves_of(low, low.weights, rotations), grids.mask, observed.power(), torch.zeros(len(low)))
    for size in (*(min(size, len(low) // 2 + 1) for size in FIRST_BATCHES), *LAST_BATCHES):
        few = torch.as_tensor(np.sort(rng.permutation(len(low))[:size]), device=low.values.device)
        estimate = soft_round(low[few], estimate, grids.first, grids.mask)
    return estimate


def soft_round(observed: ObservedSubtomograms, estimate: Estimate, grid: PoseGrid, mask: torch.Tensor) -> Estimate:
    """One round over a PoseGrid, all poses with their probabilities. Returns the next Estimate."""
    low, noise = observed.within(grid.radius), estimate.noise
    bank, ball = grid.bank(estimate.volume), grid.ball
    values = [torch.zeros_like(bank) for _ in (0, 1)]
    weights, evidence = [torch.zeros_like(power_of(bank)) for _ in (0, 1)], []
    inverse = (1 / noise)[ball.ring]
    for rows, moved, log in likelihoods(low, noise, bank, grid):
        total = torch.logsumexp(log.flatten(1), 1)
        responsibilities = log.sub_(total[:, None, None]).clamp_(min=-80).exp_()  # as in search.py
        responsibilities[responsibilities < MINIMUM / 10] = 0
        evidence.append(total - float(np.log(log[0].numel())))
        for half in (0, 1):
            part = slice((half - rows.start) % 2, None, 2)
            values[half] += responsibilities[part].flatten(0, 1).T @ moved[part].flatten(0, 1)
            weights[half] += responsibilities[part].sum(1).T @ (low.weights[rows][part] * inverse)
    sums = []
    for value, weight in zip(values, weights):
        used, one = weight.amax(1) > MINIMUM * float(inverse.max()), Sums(ball)
        one.add_nearest(torch.complex(*value[used].chunk(2, 1)), weight[used], grid.matrices[used])
        sums.append(one)
    new = _noise(low, noise, bank, values[0] + values[1], weights[0] + weights[1])
    return maximised(sums, mask, _continued(new, noise), torch.cat(evidence))


def _noise(
    observed: ObservedSubtomograms, noise: torch.Tensor, bank: torch.Tensor, values: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """(shells,) power of what the structure does not explain."""
    ball, old = observed.ball, noise[observed.ball.ring]
    both = values * bank
    half = both.shape[1] // 2
    fit = ball.ring_sum((both[:, :half] + both[:, half:]) * old)
    energy = ball.ring_sum(weights * power_of(bank) * old)
    power = ball.ring_sum(observed.weights * observed.values.abs().square())
    return ((power - 2 * fit + energy) / ball.ring_sum(observed.weights).clamp(min=1e-6)).float()


def _continued(found: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """The noise that was found in the first shells, and that of before beyond."""
    noise = before.clone()
    noise[: len(found)] = torch.maximum(found, 0.05 * before[: len(found)])
    noise[0] = noise[1]
    return noise


def find_poses(
    observed: ObservedSubtomograms,
    estimate: Estimate,
    grids: Grids,
    modes: int = 4,
    bank: torch.Tensor | None = None,
    rotated: Rotated | None = None,
) -> Poses:
    """Poses of subtomograms with an Estimate. bank, rotated: of its volume, if they are there already."""
    bank = grids.search.bank(estimate.volume) if bank is None else bank
    rotated = rotated or Rotated(estimate.volume, observed.ball)
    matrices, shifts = search(observed, estimate.noise, bank, grids.search, modes)
    return closely(observed, estimate.noise, rotated, matrices, shifts, grids.near)


def residual(observed: ObservedSubtomograms, poses: Poses, rotated: Rotated, before: torch.Tensor) -> torch.Tensor:
    """(shells,) power of what a structure in the most probable poses does not explain."""
    matrices, shifts = poses.best()
    ball = observed.ball
    left = observed.values - rotated.at(matrices) * ball.ramp(shifts) * (observed.weights > 0)
    power = ball.ring_sum(observed.weights * left.abs().square()) / ball.ring_sum(observed.weights).clamp(min=1e-6)
    return _continued(power.float(), before)
