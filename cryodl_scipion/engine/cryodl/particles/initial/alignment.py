# SPDX-License-Identifier: GPL-3.0-or-later
"""One small map brought onto another, in both hands.

Whether starts from nothing have found the same map in both halves of the particles, and what speaks against it.
The limits stand between what sets of one molecule and bad sets reach: benchmarks/initial_map.py. A second map that
gains little may be a second molecule, or CTFs and centres that are not exact: the map is given, with a warning."""

import dataclasses

import numpy as np
import torch

from ...core.fourier import fsc, resolution_at, rings
from ...core.half_transforms import HalfBall
from ...core.healpix_grid import ball_of_rotations
from ...core.projections import Projector, rotation_matrices
from ...core.volumes import cube_crop, side_by_side
from ...likelihood import reference, search
from ...reconstruction.halves import wiener_constants
from ...reconstruction.views import MISSING, SeenDirections

AGREEMENT = 0.93  # correlation of maps that are taken to be the same
EVIDENCE = 1.0  # mean logarithmic likelihood ratio to noise
EMPTY = 0.1  # part of the particles that noise explains better than the map
MIXED = 0.03  # of the evidence, gained by a second map: more is a mixture; less is seen of one molecule, too


@dataclasses.dataclass(frozen=True)
class Judgement:
    """agreement: correlation of the best maps of both halves. starts: of each start's map with the best of the first
    half. evidence: mean logarithmic likelihood ratio of the particles to noise. empty: part of them that noise explains
    better. views: of the orientations found. second: mean gain in logarithmic evidence of held-out particles by a
    second map, see climb.py; None where it was not asked for."""

    agreement: float
    starts: list[float]
    evidence: float
    empty: float
    views: SeenDirections
    second: float | None = None

    def doubts(self) -> list[str]:
        """Why the map is not to be believed: clauses; empty if it is."""
        found = (
            (
                self.evidence < EVIDENCE,
                f"the particles show hardly more than noise (mean logarithm of the likelihood ratio "
                f"{self.evidence:.1f}, at least {EVIDENCE:g} is expected)",
            ),
            (
                self.views.least < MISSING,
                f"views are missing: of one direction only {100 * self.views.least:.0f} % is seen of what even views "
                f"show (at least {100 * MISSING:.0f} % is expected); {self.views.advice()}",
            ),
            (
                self.empty > EMPTY,
                f"{100 * self.empty:.0f} % of the particles are junk: noise explains them better than the map does (at "
                f"most {100 * EMPTY:.0f} % are expected)",
            ),
            (
                self.agreement < AGREEMENT,
                f"the maps of the two halves of the particles do not agree (correlation {self.agreement:.2f}, at least "
                f"{AGREEMENT:g} is expected): several molecules may be mixed, or the particles may be too few",
            ),
            (
                self.gain > MIXED,
                f"a second map adds {100 * self.gain:.1f} % to the evidence of particles that neither was made from "
                f"(at most {100 * MIXED:g} % is expected of one molecule): several molecules or states seem to be "
                "mixed",
            ),
        )
        return [doubt for there, doubt in found if there]

    @property
    def gain(self) -> float:
        """Part of the evidence that is gained by a second map."""
        return (self.second or 0.0) / max(self.evidence, EVIDENCE)


def filtered_mean(halves: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of two half-maps, each shell weighted by what the halves share, and their Fourier shell correlation."""
    curve = fsc(halves[0] * mask, halves[1] * mask).cpu()
    weights, mean = 1 / (1 + wiener_constants(curve)), torch.fft.rfftn((halves[0] + halves[1]) / 2)
    shell = rings(mask.shape, mask.device).clamp(max=len(weights) - 1)
    return torch.fft.irfftn(mean * weights.to(mask.device)[shell], s=mask.shape), curve


def reached(curve: torch.Tensor, width: float, radius: float) -> float | None:
    """Å at which the halves' FSC falls below 0.143, not finer than what was compared; None if nothing is resolved.
    radius: waves per box, finest detail compared."""
    box = 2 * (len(curve) - 1)
    found = resolution_at(curve, 0.143, width / box, box)
    return None if found is None else max(found, width / radius)


def enlarged(density: torch.Tensor, box: int) -> torch.Tensor:
    """A small map on the grid of the images, (box, box, box); its projections stay the same."""
    transform = torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(density)))
    return torch.fft.fftshift(torch.fft.ifftn(torch.fft.ifftshift(cube_crop(transform, box))).real)


COARSE, STEP = 7.0, 18.0  # waves per box, degrees: of the search over all rotations
TRIED = 6  # rotations of each hand that are refined
BATCH = 512  # rotations at a time


@dataclasses.dataclass(frozen=True)
class Aligned:
    """density: the other map, centred, on the first. matrix: (3, 3) M, which has turned it, or mirrored: its value at x
    was that at M x. shift: (3,) z, y, x, voxels, by which it was moved then. correlation: of both, without their
    rotational averages, up to the finest detail."""

    density: torch.Tensor
    matrix: torch.Tensor
    shift: torch.Tensor
    correlation: float


def align(first: torch.Tensor, other: torch.Tensor, radius: float) -> Aligned:
    """The other map (m, m, m) on the first, its rotation, shift and hand those of the highest correlation. radius:
    waves per box, finest detail compared."""
    ball = HalfBall(first.shape[-1], radius, first.device)
    target = _flat(ball.coefficients(first[None]), ball)[0]
    found = [
        (_best(target, centred(one), ball), target.real.new_tensor([1.0, 1.0, sign]))
        for one, sign in ((other, 1.0), (other.flip(0).roll(1, 0), -1.0))
    ]
    best, hand = max(found, key=lambda one: round(one[0].correlation, 3))  # what has no hand stays as it lies
    pair = side_by_side(torch.stack([target, _flat(ball.coefficients(best.density[None]), ball)[0]]))
    correlation = float(torch.cosine_similarity(pair[0], pair[1], 0, 1e-30))
    return dataclasses.replace(best, matrix=hand[:, None] * best.matrix, correlation=correlation)


def _best(target: torch.Tensor, density: torch.Tensor, ball: HalfBall) -> Aligned:
    within, coarse = ball.within(min(COARSE, ball.radius))
    # the first map need not be centred as the other is: shifts are searched as well
    grid, device = search.Grid(STEP), target.device
    angles = np.pad(grid.angles(np.arange(len(grid))), ((1, 0), (0, 0)))  # as it lies, too: copies must stay alike
    every = torch.as_tensor(rotation_matrices(angles), dtype=torch.float32, device=device)
    shifts, rotated = _shifts(4.0, 2.0, device), reference.Reference(Projector(density), coarse)
    scores = torch.cat([_scores(target[within], rotated.at(part), coarse, shifts) for part in every.split(BATCH)])
    best, rotated = Aligned(density, every[0], shifts[0], -1.0), reference.Reference(Projector(density), ball)
    for number in scores.amax(1).topk(TRIED).indices.tolist():
        matrix, shift = every[number], shifts[int(scores[number].argmax())]
        for step in (STEP / 2, STEP / 4, STEP / 8, STEP / 16):
            near = matrix @ torch.as_tensor(ball_of_rotations(1.5 * step, step), dtype=torch.float32, device=device)
            moves = shift + _shifts(1.5 * step / STEP * 2, step / STEP * 2, device)
            values = _scores(target, rotated.at(near), ball, moves)
            place = int(values.argmax())
            matrix, shift = near[place // len(moves)], moves[place % len(moves)]
        if float(values.max()) > best.correlation:
            best = Aligned(_placed(density, matrix, shift), matrix, shift, float(values.max()))
    return best


def _placed(density: torch.Tensor, matrix: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    ball = HalfBall(len(density), len(density) / 2 - 1, density.device)
    coefficients = reference.Reference(Projector(density), ball).at(matrix[None]) * ball.ramp(shift[None])
    return ball.back(coefficients / ball.box**1.5)[0] + density.mean()  # a HalfBall has no frequency 0


def _scores(target: torch.Tensor, rotated: torch.Tensor, ball: HalfBall, shifts: torch.Tensor) -> torch.Tensor:
    """(n, s) correlations."""
    values = _flat(rotated, ball)  # the centres are near enough for a search
    length = values.abs().square().sum(1, keepdim=True).sqrt().clamp(min=1e-30)
    moved = target * ball.ramp(-shifts)
    return side_by_side(values / length) @ side_by_side(moved / target.abs().square().sum().sqrt().clamp(min=1e-30)).T


def _flat(values: torch.Tensor, ball: HalfBall) -> torch.Tensor:
    """Without each shell's mean, which tells no rotation, and which any two maps within one sphere share."""
    count = torch.bincount(ball.ring, minlength=ball.rings).clamp(min=1)
    return values - (values.new_zeros(len(values), ball.rings).index_add(1, ball.ring, values) / count)[:, ball.ring]


def _shifts(radius: float, step: float, device: torch.device) -> torch.Tensor:
    """(s, 3) px within a radius."""
    axis = torch.arange(-int(radius / step + 1e-6), int(radius / step + 1e-6) + 1, device=device) * step
    grid = torch.cartesian_prod(axis, axis, axis)
    return grid[grid.square().sum(1) <= radius**2 + 1e-6]


def centred(density: torch.Tensor) -> torch.Tensor:
    """A density (d, d, d) with its centre of mass at voxel d // 2, to half a voxel."""
    side = len(density)
    axis = (torch.arange(side, device=density.device, dtype=density.dtype) - side // 2) / density.sum().clamp(min=1e-30)
    centre = [float((density.sum(tuple(a for a in range(3) if a != k)) * axis).sum()) for k in range(3)]
    return density.roll(tuple(-round(c) for c in centre), (0, 1, 2))
