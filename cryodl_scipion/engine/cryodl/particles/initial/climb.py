# SPDX-License-Identifier: GPL-3.0-or-later
"""Stochastic expectation maximisation: a map from random orientations, a few particles and finer detail at each step.

Punjani et al. (2017) find first maps by stochastic gradient descent; here each step maximises the likelihood of some
particles at a temperature that falls (Ueda and Nakano 1998, Deterministic annealing EM), and adds to fading sums.
Sums of weighted slices in a small transform, and the map that they make: the transpose of likelihood.Reference.
Whether a second map explains particles better that neither was made from, and what maps of both halves agree on."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch

from ...core import backproject, volumes
from ...core.half_transforms import HalfDisc, HalfTransform
from ...core.projections import Projector, random_angles, rotation_matrices
from ...io import files, particle_sets
from ...likelihood.observed import Observed
from ...likelihood.reference import Reference
from ...likelihood.search import Bank, Grid, Shifts, log_likelihoods
from ...reconstruction.halves import soft_sphere
from ...reconstruction.views import views_of
from ...running.runner import Run
from .alignment import Judgement, align

OVERSAMPLING = 2  # places of the transform for each frequency of the box


class SliceSums(backproject.Transforms):
    """Slices on a HalfTransform inserted into the transform of a cube of `side` voxels over the same width."""

    def __init__(self, disc: HalfTransform, side: int) -> None:
        super().__init__(OVERSAMPLING * side, device=disc.device)
        self.disc, self.side, self.plane = disc, side, disc.waves.flip(0).float() * OVERSAMPLING

    def add(self, matrices: torch.Tensor, values: torch.Tensor, weights: torch.Tensor) -> None:
        """Insert slices (n, d), and their weights (n, d), at rotation matrices (n, 3, 3) from image to density."""
        positions = (matrices[:, :, :2] @ self.plane).transpose(0, 1).flatten(1)
        self.insert(positions, values.reshape(1, -1), weights.reshape(1, -1))

    def map(self, constant: torch.Tensor) -> torch.Tensor:
        """The (side, side, side) density. constant: (rings,), added to the weights of each shell."""
        radius = OVERSAMPLING * (self.disc.radius + 0.5)
        return backproject.map_of_sums(*self.sums(), self.side, constant.to(self.weights.device), radius, OVERSAMPLING)


STEPS, BATCH = 80, 200  # of the climb, and particles in each
FIRST, LAST = 5.7, 10.0  # waves over the particle's diameter: finest detail of the first and of the last step
FULL = (10.0, 11.2, 12.5)  # ... and of the passes over all particles that end it
FINEST = 13.4  # ... and of what follows
HOT, COOL = 8.0, 0.6  # first temperature, and the part of the steps after which it is 1
FADE, SLOW = 0.5, 0.7  # part of the sums that is kept while it is hot, and later
KEPT, KEPT_LAST = 6, 12  # orientations of each particle that enter the sums
DETAIL = 0.5  # of the arc between neighbouring directions at the particle's edge: detail that is compared
COARSEST = 20.0  # degrees
ROWS = 512  # particles that are compared at a time
REACH = 0.1  # of the box: largest shift
CHUNK = 64  # particles whose slices are made at a time


@dataclasses.dataclass(frozen=True)
class Found:
    """density: (m, m, m) over the images' width. matrices: (n, 3, 3), shifts_yx: (n, 2) px, probability: (n,) of the
    likeliest orientation of each particle, and evidence: (n,) for the density before the last sum."""

    density: torch.Tensor
    matrices: torch.Tensor
    shifts_yx: torch.Tensor
    probability: torch.Tensor
    evidence: torch.Tensor


class Climb:
    """One start. observed: particles of a half, to the finest detail. diameter: px, of the sphere that holds the
    particle. seed: of the random numbers."""

    def __init__(self, observed: Observed, diameter: float, seed: typing.Any) -> None:
        self.observed, self.diameter, box = observed, diameter, observed.disc.box
        self.reach = self.sigma = REACH * box
        self.rng = np.random.default_rng(seed)
        self.side = cube_side(observed.disc)
        self.mask = soft_sphere(self.side, diameter / box * self.side, observed.disc.device)

    def run(self, progress: typing.Callable[[], typing.Any] = lambda: None) -> Found:
        """A map from random orientations."""
        sums, rows = None, np.zeros(0, int)
        for number, waves in enumerate(np.linspace(FIRST, LAST, STEPS)):
            if number % 10 == 0:
                self.look(waves)
            if sums is None:
                density = self.solve(self.scattered())
            if len(rows) < min(BATCH, len(self.observed)):
                rows = self.rng.permutation(len(self.observed))
            new, _ = self.step(density, rows[:BATCH], max(1.0, HOT ** (1 - number / STEPS / COOL)), KEPT)
            if sums is not None:
                kept = FADE if number / STEPS < COOL else SLOW
                new.values += kept * sums.values
                new.weights += kept * sums.weights
            sums, rows = new, rows[BATCH:]
            density = self.solve(sums)
            progress()
        return self.finish(density, FULL, progress)

    def finish(
        self,
        density: torch.Tensor,
        waves: typing.Sequence[float],
        progress: typing.Callable[[], typing.Any] = lambda: None,
    ) -> Found:
        """Passes over all particles."""
        for finest in waves:
            self.look(finest)
            sums, found = self.step(density, np.arange(len(self.observed)), 1.0, KEPT_LAST)
            density = self.solve(sums)
            progress()
        return dataclasses.replace(found, density=density)

    def look(self, waves: float) -> None:
        """Compare detail of so many waves over the diameter."""
        disc = self.observed.disc
        self.disc = HalfDisc(disc.box, min(disc.radius, waves / self.diameter * disc.box), disc.device)
        within = disc.square <= self.disc.radius**2
        self.part = Observed(self.observed.match[:, within], self.observed.weight[:, within], self.disc)
        self.grid = Grid(min(COARSEST, np.degrees(disc.box / self.disc.radius / (DETAIL * self.diameter))))
        self.constant = 1 / (8 * signal_power(self.part)).clamp(min=1e-30)

    def evidence_for(self, density: torch.Tensor, waves: float = FULL[0]) -> np.ndarray:
        """(n,) logarithmic evidence of the particles for a density. waves: over the diameter, of the finest detail."""
        self.look(waves)
        sigma, (_, found) = self.sigma, self.step(density, np.arange(len(self.observed)), 1.0, 1)
        self.sigma = sigma  # what is asked later is asked alike
        return found.evidence.double().cpu().numpy()

    def scattered(self) -> SliceSums:
        """All particles in random orientations."""
        sums = SliceSums(self.disc, self.side)
        sums.add(self._matrices(random_angles(len(self.part), self.rng)), self.part.match / 2, self.part.weight)
        return sums

    def solve(self, sums: SliceSums) -> torch.Tensor:
        """The map of sums, positive within the sphere."""
        return sums.map(self.constant).clamp(min=0) * self.mask

    def step(self, density: torch.Tensor, rows: np.ndarray, temperature: float, kept: int) -> tuple[SliceSums, Found]:
        """SliceSums of some particles in the `kept` likeliest orientations of each, and these."""
        reference = Reference(Projector(density), self.disc, zoom=self.disc.box / self.side)
        bank, sums, parts = Bank(reference, self.grid), SliceSums(self.disc, self.side), []
        apart = max(0.5, self.disc.box / self.disc.radius / 4)
        sigma = max(self.sigma, apart / 2)
        shifts = Shifts.within(min(self.reach, max(2.5 * sigma, 1.5 * apart)), apart, sigma, self.disc.device)
        for start in range(0, len(rows), ROWS):
            part = self.part[rows[start : start + ROWS]]
            part = Observed(part.match / temperature, part.weight / temperature, self.disc)
            parts.append(self._fitted(part, bank, shifts, temperature, kept, sums))
        found = Found(density, *(torch.cat(values) for values in list(zip(*parts))[:-1]))
        self.sigma = 0.8 * self.sigma + 0.2 * float(torch.cat([values[-1] for values in parts]).mean().sqrt())
        return sums, found

    def _fitted(
        self, part: Observed, bank: Bank, shifts: Shifts, temperature: float, kept: int, sums: SliceSums
    ) -> tuple[torch.Tensor, ...]:
        """What Found has of each particle, and mean squares of its shift; adds them to the sums."""
        values = log_likelihoods(part, bank, shifts)
        total, top = torch.logsumexp(values, 1), values.topk(kept, 1)
        matrices = self._matrices(self.grid.angles(top.indices.cpu().numpy())).reshape(len(part), kept, 3, 3)
        places = [
            self._insert(sums, part[rows], bank.reference, matrices[rows], shifts, temperature)
            for rows in torch.arange(len(part)).split(CHUNK)
        ]
        centre, square = (torch.cat(values) for values in zip(*places))
        probability, evidence = (top.values[:, 0] - total).exp(), total - float(np.log(values.shape[1]))
        return matrices[:, 0], centre, probability, evidence, square

    def _insert(
        self,
        sums: SliceSums,
        part: Observed,
        reference: Reference,
        matrices: torch.Tensor,
        shifts: Shifts,
        temperature: float,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Adds particles in orientations (n, k, 3, 3), shifted as is likely there. Returns (n, 2) mean shift in the
        first, and (n,) mean square of the shifts along an axis."""
        slices = reference.at(matrices)
        shifted = part.match[:, None] * self.disc.ramp(-shifts.yx)
        fit = volumes.side_by_side(slices) @ volumes.side_by_side(shifted).transpose(1, 2) + shifts.log_prior
        value = fit - slices.abs().square() @ part.weight[..., None]
        weight = torch.softmax(value.flatten(1), 1).reshape(value.shape)  # n, k, s
        centred = weight.to(shifted.dtype) @ shifted * (temperature / 2)
        seen = weight.sum(2, keepdim=True) * (part.weight * temperature)[:, None]
        sums.add(matrices.reshape(-1, 3, 3), centred.reshape(-1, len(self.disc)), seen.reshape(-1, len(self.disc)))
        first = weight[:, 0] / weight[:, 0].sum(1, keepdim=True).clamp(min=1e-30)
        return first @ shifts.yx, weight.sum(1) @ shifts.yx.square().sum(1) / 2

    def _matrices(self, angles: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(rotation_matrices(angles.reshape(-1, 3)), dtype=torch.float32, device=self.disc.device)


def cube_side(disc: HalfTransform) -> int:
    """Voxels of the small maps that hold the detail of a disc."""
    return 2 * int(np.ceil(disc.radius + 2))


def signal_power(observed: Observed) -> torch.Tensor:
    """(rings,) mean power of what the images show above their noise, before the CTF; where nothing is, its error."""
    disc, squares = observed.disc, observed.disc.ring_sum(observed.weight.square())
    excess = disc.ring_sum(observed.match.abs().square() / 4 - observed.weight)
    return (torch.maximum(excess, squares.sqrt()) / squares.clamp(min=1e-30)).float()


PASSES = (FULL[0], FULL[1])  # of each map over its particles, once they are shared out


def second_map_gain(
    observed: Observed,
    held_out: Observed,
    density: torch.Tensor,
    diameter: float,
    seed: typing.Any,
    progress: typing.Callable[[], typing.Any] = lambda: None,
) -> float:
    """Mean gain in logarithmic evidence of the held-out particles by a second map.

    The map explains some of its particles worse than others. From these a second one is sought, from random
    orientations; then each map is made of the half of the particles that it explains better. Of one molecule both are
    made of fewer particles and explain others worse than the one map does: the gain is negative.

    observed: the particles that the density was made from. held_out: others. diameter: px, of the particle's sphere."""
    every, others = Climb(observed, diameter, seed), Climb(held_out, diameter, seed)
    before = every.evidence_for(density)
    energy = observed.weight.sum(1).cpu().numpy()  # how much its CTF lets a particle tell
    second = Climb(observed[np.argsort(before / energy)[: len(observed) // 2]], diameter, seed).run(progress).density
    order = np.argsort(every.evidence_for(second) - before)
    parts = (order[: len(order) // 2], density), (order[len(order) // 2 :], second)
    made = (Climb(observed[rows], diameter, seed).finish(one, PASSES).density for rows, one in parts)
    return float((np.logaddexp(*map(others.evidence_for, made)) - np.log(2) - others.evidence_for(density)).mean())


STARTS = 2  # in each half


@dataclasses.dataclass(frozen=True)
class InHalves:
    """particles: all that are used. halves: (n,) 1 or 2. observed: of all. diameter: px, of the sphere."""

    particles: particle_sets.ParticleSet
    halves: np.ndarray
    observed: Observed
    diameter: float

    def climb(self, half: int, seed: object) -> Climb:
        """A start on one of the halves."""
        return Climb(self.observed[np.nonzero(self.halves == half)[0]], self.diameter, seed)


def started_maps(both: InHalves, folder: Path, run: Run) -> dict[int, list[Found]]:
    """Maps from random orientations, {half: of each start}."""
    folder.mkdir(exist_ok=True)
    found: dict[int, list[Found]] = {1: [], 2: []}
    with run.progress(2 * STARTS * (STEPS + len(FULL)), "step") as bar:
        for half in (1, 2):
            for start in range(STARTS):
                kept = folder / f"{half}_{start}.npz"
                if kept.exists():
                    arrays: dict[str, np.ndarray] = files.read_kept(kept)
                    one = Found(**{name: torch.from_numpy(value).to(run.device) for name, value in arrays.items()})
                    bar.update(STEPS + len(FULL))
                else:
                    one = both.climb(half, (run.seed, half, start)).run(bar.update)
                    with files.whole_file(kept) as temporary:
                        np.savez(temporary, **{name: value.cpu().numpy() for name, value in vars(one).items()})
                found[half].append(one)
    return found


def judged_maps(both: InHalves, starts: dict[int, list[Found]]) -> tuple[dict[int, Found], Judgement]:
    """The best map of each half, the second one on the first and both finished there, and the judgement."""
    best = {half: max(found, key=lambda one: float(one.evidence.mean())) for half, found in starts.items()}
    radius = FULL[0] / both.diameter * both.observed.disc.box
    others = [align(best[1].density, one.density, radius) for half in (1, 2) for one in starts[half]]
    second = others[len(starts[1]) + next(k for k, one in enumerate(starts[2]) if one is best[2])]
    found = {
        half: both.climb(half, 0).finish(density, (FULL[-1], FINEST))
        for half, density in ((1, best[1].density), (2, second.density))
    }
    evidence = torch.cat([found[half].evidence for half in (1, 2)])
    return found, Judgement(
        agreement=round(second.correlation, 4),
        starts=[round(one.correlation, 4) for one in others],
        evidence=round(float(evidence.mean()), 3),
        empty=round(float((evidence < 0).float().mean()), 4),
        views=views_of(torch.cat([found[half].matrices for half in (1, 2)]).cpu().numpy(), "C1"),
    )


def gain_of_second(both: InHalves, found: dict[int, Found], run: Run) -> float:
    """What a second map would gain."""
    one, other = (both.observed[np.nonzero(both.halves == half)[0]] for half in (1, 2))
    with run.progress(STEPS + len(FULL), "step", title="second map") as bar:
        return round(second_map_gain(one, other, found[1].density, both.diameter, (run.seed, 3), bar.update), 3)
