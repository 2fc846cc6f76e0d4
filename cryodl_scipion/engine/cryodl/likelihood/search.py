# SPDX-License-Identifier: GPL-3.0-or-later
"""Exhaustive search: the likelihood of every orientation of a grid, shifts summed over.

The answers among a grid's likelihoods: positions in orientation space that hold the most probability, well apart."""

import copy
import dataclasses
import functools
import typing

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..core import healpix_grid, volumes
from ..core.symmetry import operations
from .observed import Observed
from .reference import Reference

# Probability is gathered over neighbours by a Gaussian of this width: what is asked for is not the most probable point
# of a grid, but the neighbourhood that most probably holds the orientation (in noise 3 to 5 % more particles are right,
# measured).
NEIGHBOURHOOD = 10.0  # degrees
TOP = 384  # orientations of each particle that are looked at
BATCH = 8  # particles at a time: the table of distances takes 4 BATCH TOP² bytes, and as much four times beside it


Modes = tuple[torch.Tensor, torch.Tensor]


def find_modes(log_likelihood: torch.Tensor, grid: "Grid", count: int, separation_deg: float) -> Modes:
    """The most probable orientations of each particle that are not neighbours: (n, m) int64 numbers in the grid, best
    first, and (n, m) probability in the neighbourhood of each; 0 for positions that are filled up because there were no
    more. log_likelihood: (n, orientations). grid: of the orientations. count: most modes of a particle. separation_deg:
    degrees, they are farther apart."""
    rotations = _rotations_of(grid.symmetry, log_likelihood.device)
    parts = [_modes(part, grid, rotations, count, separation_deg) for part in log_likelihood.split(BATCH)]
    return torch.cat([numbers for numbers, _ in parts]), torch.cat([mass for _, mass in parts])


def _modes(
    log_likelihood: torch.Tensor, grid: "Grid", rotations: torch.Tensor, count: int, separation_deg: float
) -> Modes:
    total = torch.logsumexp(log_likelihood, 1, keepdim=True)
    values, numbers = log_likelihood.topk(min(TOP, log_likelihood.shape[1]), dim=1)
    chosen = Rotation.from_euler("ZYZ", grid.angles(numbers.cpu().numpy()).reshape(-1, 3), degrees=True)
    angle = _angles_between(_quaternions(chosen, numbers), rotations)
    near = (-0.5 * (angle / NEIGHBOURHOOD) ** 2).clamp_(min=-80).exp_()  # as in _compared
    mass = (near @ (values - total).exp()[..., None])[..., 0]
    found, masses = [], []
    rows = torch.arange(len(mass), device=mass.device)
    for _ in range(min(count, mass.shape[1])):
        best = mass.argmax(1)
        found.append(numbers[rows, best])
        masses.append(mass[rows, best].clamp(min=0))
        mass = torch.where(angle[rows, best] <= separation_deg, torch.full_like(mass, -1.0), mass)
    return torch.stack(found, 1), torch.stack(masses, 1)


def distances(matrices: torch.Tensor, symmetry: str) -> torch.Tensor:
    """Angles between k orientations of each particle, the smallest over equivalent ones. matrices: (n, k, 3, 3), from
    image to density. symmetry: point group, see core.symmetry.operations. Returns (n, k, k), degrees."""
    quaternions = _quaternions(
        Rotation.from_matrix(matrices.cpu().double().numpy().reshape(-1, 3, 3)), matrices[..., 0, 0]
    )
    return _angles_between(quaternions, _rotations_of(symmetry, matrices.device))


def _quaternions(rotations: Rotation, like: torch.Tensor) -> torch.Tensor:
    """(n, k, 4) float32 tensor of n k rotations. like: any (n, k) tensor of the device."""
    return torch.from_numpy(rotations.as_quat()).float().to(like.device).reshape(*like.shape, 4)


def _angles_between(quaternions: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """(n, k, k) degrees between (n, k, 4) quaternions. rotations: (s, 4, 4) of _rotations_of."""
    # of half the angle; the group has the identity at least
    cosine = functools.reduce(
        torch.maximum, ((quaternions @ rotation.T @ quaternions.transpose(1, 2)).abs() for rotation in rotations)
    )
    return 2 * torch.acos(cosine.clamp(max=1.0)) * (180 / np.pi)


def _rotations_of(symmetry: str, device: torch.device) -> torch.Tensor:
    """(s, 4, 4) matrices that multiply a quaternion (x, y, z, w) from the left by the operations of a group."""
    x, y, z, w = Rotation.from_matrix(operations(symmetry)).as_quat().T
    rows = [[w, -z, y, x], [z, w, -x, y], [-y, x, w, z], [-x, -y, -z, w]]
    return torch.from_numpy(np.stack([np.stack(row, -1) for row in rows], -2)).float().to(device)


CACHE = 270e6  # bytes of reference slices that are kept; beyond, they are made anew for each batch of particles
BLOCK = 2**25  # bytes of those that are not kept
# of the matrix products: images times shifts at most, orientations at least, both together for few images
ROWS, COLUMNS, PLACES = 2048, 240, 2**16
# Orientations whose likelihood to DETAIL of the highest frequency is e^FAR below the best one's, or more where that is
# above e^CLEAR, seldom win: they held 3e-5 of the probability at SNR 0.05 to 1, 1e-3 in noise (means of 2CG9 and 1WCM).
# Where they would come within e^SAFE of the best one in all detail, which has shown less of the structure then, all are
# compared; and where more than MANY are left, which is as quick.
FAR, CLEAR, DETAIL, MANY, SAFE = 15.0, 40.0, 0.6, 0.25, 7.0


@dataclasses.dataclass(frozen=True)
class Shifts:
    """yx: (s, 2) px tensor. log_prior: (s,) their logarithmic prior probabilities, which add up to 1."""

    yx: torch.Tensor
    log_prior: torch.Tensor

    @classmethod
    def within(
        cls, radius: float, step: float, sigma: float | None = None, device: torch.device | None = None
    ) -> "Shifts":
        """A grid within a radius. sigma: standard deviation of a Gaussian prior; None: all are as probable. In px."""
        yx = torch.as_tensor(healpix_grid.ball_of_points(radius, step, 2), dtype=torch.float32, device=device)
        log = torch.zeros(len(yx), device=device) if sigma is None else -yx.square().sum(1) / (2 * sigma**2)
        return cls(yx, torch.log_softmax(log, 0))

    def sparser(self) -> "Shifts":
        """Every other one along y and x, for coarse detail; all where five would not be left."""
        apart = self.yx.abs().amax(1).sort().values[min(1, len(self.yx) - 1)].clamp(min=1e-6)
        kept = ((self.yx / apart).round() % 2 == 0).all(1)
        return Shifts(self.yx[kept], torch.log_softmax(self.log_prior[kept], 0)) if kept.sum() >= 5 else self


class Grid:
    """All orientations of a search: directions times in-plane angles, number i * len(psi) + j for direction i.
    step_deg: distance of neighbours. symmetry: point group; of equivalent directions one is kept."""

    def __init__(self, step_deg: float, symmetry: str = "C1") -> None:
        self.step, self.symmetry = step_deg, symmetry
        self.directions, self.psi = healpix_grid.directions(step_deg, symmetry), healpix_grid.in_plane_angles(step_deg)
        self.turns = 1 if len(self.psi) % 2 else 2  # of 180 degrees, by which the others follow from the first psi

    def __len__(self) -> int:
        return len(self.directions) * len(self.psi)

    def angles(self, numbers: np.ndarray) -> np.ndarray:
        """(..., 3) rot, tilt, psi in degrees of orientations by number, an int array."""
        direction, rotation = np.divmod(np.asarray(numbers), len(self.psi))
        return np.concatenate([self.directions[direction], self.psi[rotation][..., None]], axis=-1)


class Bank:
    """Reference slices of a grid, block by block, before the reference's gain; kept, as one block, if they are few
    enough. Of two that are half a turn apart the second one is the first one's conjugate: there is only the first."""

    def __init__(self, reference: Reference, grid: Grid) -> None:
        self.reference, self.grid = reference, grid
        size = 2 * 4 * len(reference.disc) * len(grid.psi) // grid.turns  # bytes of a direction's slices
        self.kept: list[tuple[slice, torch.Tensor]] | None = [] if len(grid.directions) * size <= CACHE else None
        self.step = max(1, BLOCK // size) if self.kept is None else len(grid.directions)

    def with_gain(self, gain: torch.Tensor) -> "Bank":
        """The same slices shown with other strengths (rings,). Of few particles, making them takes longest."""
        other = copy.copy(self)
        other.reference = self.reference.with_gain(gain)
        return other

    def blocks(self) -> typing.Iterable[tuple[slice, torch.Tensor]]:
        """Numbers of directions (a slice), and slices (k, 2 d) of their psi of the first turn, real and imaginary parts
        side by side, without the reference's gain."""
        if self.kept == []:
            self.kept[:] = self._made()
        return self._made() if self.kept is None else self.kept

    def _made(self) -> typing.Iterator[tuple[slice, torch.Tensor]]:
        plain = self.reference.with_gain(torch.ones_like(self.reference.gain))
        numbers = np.arange(len(self.grid)).reshape(len(self.grid.directions), self.grid.turns, -1)[:, 0]
        for start in range(0, len(numbers), self.step):
            angles = self.grid.angles(numbers[start : start + self.step].reshape(-1))
            made = torch.empty((len(angles), 2 * len(plain.disc)), device=plain.disc.device)
            for first in range(0, len(angles), COLUMNS):
                made[first : first + COLUMNS] = volumes.side_by_side(plain.at_angles(angles[first : first + COLUMNS]))
            yield slice(start, start + self.step), made


def log_likelihoods(observed: Observed, bank: Bank, shifts: Shifts, far: float = np.inf) -> torch.Tensor:
    """Logarithmic likelihood ratio of each orientation of a grid to 'there is no particle', shifts summed over with
    their prior, (n, orientations). Memory: 4 bytes for each. See observed.py for the formula.

    observed: of n particles. far: on a CPU, orientations so far behind the best one in coarse detail (see FAR) keep the
    likelihood of coarse detail, which finer detail changes by nothing on average where it shows noise."""
    grid, disc, few = bank.grid, observed.disc, shifts.sparser()
    gain, psi, batch = bank.reference.gain[disc.ring], len(grid.psi) // grid.turns, max(1, ROWS // len(shifts.yx))
    depth = max(1, int((disc.square <= (DETAIL * disc.radius) ** 2).sum()))
    whole = disc.ramp(-shifts.yx) * gain, gain, shifts.log_prior
    coarse = (disc.ramp(-few.yx) * gain)[:, :depth], gain[:depth], few.log_prior
    result = torch.empty((len(observed), len(grid.directions), grid.turns, psi), device=gain.device)
    best = torch.full((len(observed), 1, 1), -torch.inf)
    for block, slices in bank.blocks():
        for start in range(0, len(observed), batch):
            rows = slice(start, start + batch)
            part = observed[rows]
            if far == np.inf or gain.device.type != "cpu":
                values = _compared(part, slices, grid.turns, *whole)
            else:
                values = _compared(part, slices, grid.turns, *coarse)
                best[rows] = torch.maximum(best[rows], values.amax((1, 2), keepdim=True))
                near = values > best[rows] - far * (best[rows] / CLEAR).clamp(min=1)
                many = near.sum((1, 2)) > MANY * near[0].numel()
                if bool(many.any()):
                    values[many] = _compared(part[many], slices, grid.turns, *whole)
                for row in (~many).nonzero()[:, 0].tolist():
                    chosen = near[row].any(0).nonzero()[:, 0]
                    found = _compared(part[row : row + 1], slices.index_select(0, chosen), grid.turns, *whole)
                    left = values[row].index_fill(1, chosen, -torch.inf).amax()
                    values[row].index_copy_(1, chosen, found[0])
                    if len(chosen) and found.amax() < left + SAFE:
                        values[row] = _compared(part[row : row + 1], slices, grid.turns, *whole)[0]
            result[rows, block] = values.reshape(len(part), grid.turns, -1, psi).transpose(1, 2)
    return result.reshape(len(observed), -1)


def _compared(
    observed: Observed,
    slices: torch.Tensor,
    turns: int,
    ramp: torch.Tensor,
    gain: torch.Tensor,
    log_prior: torch.Tensor,
) -> torch.Tensor:
    """(n, turns, k) logarithmic likelihoods of slices (k, 2 d), and of those turned by half a turn. ramp: (s, c) shifts
    of the coefficients that count, the first ones, with the reference's gain. gain: (c,). log_prior: (s,)."""
    count, middle = len(gain), slices.shape[1] // 2
    shifted = (observed.match[:, None, :count] * ramp).reshape(-1, count)
    strength = observed.weight[:, :count] * gain.square()
    result = torch.empty((len(observed), turns, len(slices)), device=slices.device)
    step = max(COLUMNS, PLACES // len(shifted))
    for start in range(0, len(slices), step):
        columns = slice(start, start + step)
        real, imaginary = slices[columns, :count], slices[columns, middle : middle + count]
        power = strength @ (real.square() + imaginary.square()).T
        even, odd = shifted.real @ real.T, shifted.imag @ imaginary.T
        for turn, fit in enumerate((even + odd, even.sub_(odd))[:turns]):
            # torch.logsumexp in place; of less than -87, exp takes 40 times as long on a CPU, for nothing
            shown = fit.reshape(len(observed), len(ramp), len(real)).add_(log_prior[:, None])
            maximum = shown.amax(1, keepdim=True)
            value = shown.sub_(maximum).clamp_(min=-80).exp_().sum(1).log_() + maximum.squeeze(1)
            result[:, turn, columns] = value - power
    return result


def evidence(log_likelihood: torch.Tensor) -> torch.Tensor:
    """Logarithmic likelihood ratio of 'a particle in some orientation' to 'no particle', (n,). log_likelihood:
    (n, orientations)."""
    return torch.logsumexp(log_likelihood, 1) - float(np.log(log_likelihood.shape[1]))
