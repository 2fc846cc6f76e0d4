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

from ..core.healpix_grid import directions, disc_of_shifts, in_plane_angles
from ..core.symmetry import operations
from ..core.volumes import side_by_side
from .observed import Observed
from .reference import Reference

# Probability is gathered over neighbours by a Gaussian of this width: what is asked for is not the most probable point
# of a grid, but the neighbourhood that most probably holds the orientation (in noise 3 to 5 % more particles are right,
# measured).
NEIGHBOURHOOD = 10.0  # degrees
TOP = 384  # orientations of each particle that are looked at
BATCH = 8  # particles at a time: the table of distances takes 4 BATCH TOP² bytes, and as much four times beside it


@dataclasses.dataclass(frozen=True)
class Modes:
    """numbers: (n, m) int64 orientations of the grid, best first. mass: (n, m) probability in the neighbourhood of
    each; 0 for positions that are filled up because there were no more."""

    numbers: torch.Tensor
    mass: torch.Tensor


def find_modes(log_likelihood: torch.Tensor, grid: "Grid", count: int, separation_deg: float) -> Modes:
    """The most probable orientations of each particle that are not neighbours. log_likelihood: (n, orientations). grid:
    of the orientations. count: most modes of a particle. separation_deg: degrees, they are farther apart."""
    rotations = _rotations_of(grid.symmetry, log_likelihood.device)
    parts = [_modes(part, grid, rotations, count, separation_deg) for part in log_likelihood.split(BATCH)]
    return Modes(torch.cat([p.numbers for p in parts]), torch.cat([p.mass for p in parts]))


def _modes(
    log_likelihood: torch.Tensor, grid: "Grid", rotations: torch.Tensor, count: int, separation_deg: float
) -> Modes:
    total = torch.logsumexp(log_likelihood, 1, keepdim=True)
    values, numbers = log_likelihood.topk(min(TOP, log_likelihood.shape[1]), dim=1)
    chosen = Rotation.from_euler("ZYZ", grid.angles(numbers.cpu().numpy()).reshape(-1, 3), degrees=True)
    angle = _angles_between(_quaternions(chosen, numbers), rotations)
    mass = (torch.exp(-0.5 * (angle / NEIGHBOURHOOD) ** 2) @ (values - total).exp()[..., None])[..., 0]
    found, masses = [], []
    rows = torch.arange(len(mass), device=mass.device)
    for _ in range(min(count, mass.shape[1])):
        best = mass.argmax(1)
        found.append(numbers[rows, best])
        masses.append(mass[rows, best].clamp(min=0))
        mass = torch.where(angle[rows, best] <= separation_deg, torch.full_like(mass, -1.0), mass)
    return Modes(torch.stack(found, 1), torch.stack(masses, 1))


def distances(matrices: torch.Tensor, symmetry: str) -> torch.Tensor:
    """Angles between k orientations of each particle, the smallest over equivalent ones. matrices: (n, k, 3, 3), from
    image to density. symmetry: point group, see core.symmetry.operations. Returns (n, k, k), degrees."""
    rotated = Rotation.from_matrix(matrices.cpu().double().numpy().reshape(-1, 3, 3))
    return _angles_between(_quaternions(rotated, matrices[:, :, 0, 0]), _rotations_of(symmetry, matrices.device))


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
ROWS, COLUMNS = 4096, 512  # of the matrix products: images times shifts, and orientations at a time


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
        yx = torch.as_tensor(disc_of_shifts(radius, step), dtype=torch.float32, device=device)
        log = torch.zeros(len(yx), device=device) if sigma is None else -yx.square().sum(1) / (2 * sigma**2)
        return cls(yx, torch.log_softmax(log, 0))


class Grid:
    """All orientations of a search: directions times in-plane angles, number i * len(psi) + j for direction i.
    step_deg: distance of neighbours. symmetry: point group; of equivalent directions one is kept."""

    def __init__(self, step_deg: float, symmetry: str = "C1") -> None:
        self.step, self.symmetry = step_deg, symmetry
        self.directions, self.psi = directions(step_deg, symmetry), in_plane_angles(step_deg)
        self.turns = 1 if len(self.psi) % 2 else 2  # of 180 degrees, by which the others follow from the first psi

    def __len__(self) -> int:
        return len(self.directions) * len(self.psi)

    def angles(self, numbers: np.ndarray) -> np.ndarray:
        """(..., 3) rot, tilt, psi in degrees of orientations by number, an int array."""
        direction, rotation = np.divmod(np.asarray(numbers), len(self.psi))
        return np.concatenate([self.directions[direction], self.psi[rotation][..., None]], axis=-1)


class Bank:
    """Reference slices of a grid, block by block, before the reference's gain; kept if they are few enough. Of two
    that are half a turn apart the second one is the first one's conjugate: there is only the first."""

    def __init__(self, reference: Reference, grid: Grid) -> None:
        self.reference, self.grid = reference, grid
        self.kept: list[tuple[slice, torch.Tensor]] | None = (
            [] if len(grid) // grid.turns * 2 * 4 * len(reference.disc) <= CACHE else None
        )

    def with_gain(self, gain: torch.Tensor) -> "Bank":
        """The same slices shown with other strengths (rings,). To make them takes most of the time for few
        particles."""
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
        step = max(1, COLUMNS // len(self.grid.psi))
        numbers = np.arange(len(self.grid)).reshape(len(self.grid.directions), self.grid.turns, -1)[:, 0]
        for start in range(0, len(numbers), step):
            part = slice(start, start + step)
            yield part, side_by_side(plain.at_angles(self.grid.angles(numbers[part].reshape(-1))))


def log_likelihoods(observed: Observed, bank: Bank, shifts: Shifts, contrasts: int = 1) -> torch.Tensor:
    """Logarithmic likelihood ratio of each orientation of a grid to 'there is no particle', shifts summed over with
    their prior, (contrasts n, orientations). Memory: 4 bytes for each. See observed.py for the formula. observed: of n
    particles. contrasts: 1, or 2: the rows of the same images with the other contrast follow."""
    result = torch.empty(
        (contrasts, len(observed), len(bank.grid.directions), bank.grid.turns, len(bank.grid.psi) // bank.grid.turns),
        device=observed.match.device,
    )
    gain = bank.reference.gain[observed.disc.ring]
    ramp = observed.disc.ramp(-shifts.yx) * gain
    batch = max(1, ROWS // len(ramp))
    for start in range(0, len(observed), batch):
        place = slice(start, start + batch)
        part = observed[place]
        shifted = side_by_side(part.match[:, None] * ramp).reshape(-1, 2 * len(observed.disc))
        strength = (part.weight * gain.square()).repeat(1, 2)
        for numbers, slices in bank.blocks():
            real, imaginary = map(_product, shifted.chunk(2, 1), slices.chunk(2, 1))
            power = strength @ slices.square().T
            for turn, fit in enumerate((real + imaginary, real.sub_(imaginary))[: bank.grid.turns]):
                fit = fit.reshape(len(part), len(ramp), -1)
                for contrast in reversed(range(contrasts)):
                    # torch.logsumexp in place; of less than -87, exp takes 40 times as long on a CPU, for nothing
                    shown = (-fit if contrast else fit).add_(shifts.log_prior[:, None])
                    maximum = shown.amax(1, keepdim=True)
                    value = shown.sub_(maximum).clamp_(min=-80).exp_().sum(1).log_() + maximum.squeeze(1)
                    result[contrast, place, numbers, turn] = (value - power).reshape(len(part), -1, result.shape[-1])
    return result.reshape(contrasts * len(observed), -1)


def _product(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The matrix product one @ other.T; on a CPU by the quickest way in full precision.

    torch then calls oneDNN instead of MKL: 1.3 times as fast on AMD's with AVX-512 (81 and 64 GFLOP/s of one core,
    differences of 4e-7). Processors with units for bfloat16 round by 0.2 % there: too much for logarithmic likelihoods
    of thousands, so these keep the usual way."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if one.device.type == "cpu" and _medium_is_full() else before)
    result = one @ other.T
    torch.set_float32_matmul_precision(before)
    return result


@functools.cache
def _medium_is_full() -> bool:
    """Whether products of medium precision lose nothing on this CPU."""
    values = torch.randn((256, 256), generator=torch.Generator().manual_seed(0))
    before, full = torch.get_float32_matmul_precision(), values @ values
    torch.set_float32_matmul_precision("medium")
    medium = values @ values
    torch.set_float32_matmul_precision(before)
    return bool((medium - full).abs().max() < 1e-4 * full.abs().max())


def evidence(log_likelihood: torch.Tensor) -> torch.Tensor:
    """Logarithmic likelihood ratio of 'a particle in some orientation' to 'no particle', (n,). log_likelihood:
    (n, orientations)."""
    return torch.logsumexp(log_likelihood, 1) - float(np.log(log_likelihood.shape[1]))
