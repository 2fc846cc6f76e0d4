# SPDX-License-Identifier: GPL-3.0-or-later
"""Averages of aligned subtomograms that compensate for the missing wedge: each coefficient is the mean of those who
measured it. Subtomograms rotated into one frame: their coefficients there, and what was measured of each. The average
that subtomograms in given poses make most probable, filtered by what two halves of them agree on."""

import dataclasses
import typing

import numpy as np
import torch

from ...core.half_transforms import HalfBall
from ...io.subtomograms import SubtomogramSet
from .observed import (
    CHUNK_VOXELS,
    Frame,
    ObservedSubtomograms,
    Rotated,
    Sums,
    particle_sphere,
    weights_on,
    working_volumes,
)
from .search import Poses, matrices_of

MEASURED = 0.5  # weight from which a rotated coefficient counts as measured


def aligned(
    subtomograms: SubtomogramSet,
    rows: np.ndarray | slice,
    frame: Frame,
    angles: np.ndarray,
    shifts_zyx: np.ndarray,
    contrast: str = "bright",
    device: torch.device | None = None,
) -> ObservedSubtomograms:
    """Observed subtomograms in the structure's frame, cut to the particle's sphere. angles: (m, 3) degrees and
    shifts_zyx: (m, 3) px of the files, of these rows."""
    rows, ball = np.arange(len(subtomograms))[rows].reshape(-1), frame.ball(device)
    ratio = subtomograms.box * subtomograms.pixel_size / frame.width
    back = matrices_of(np.asarray(angles, float).reshape(-1, 3), device).transpose(1, 2)
    shifts = torch.as_tensor(np.asarray(shifts_zyx, float).reshape(-1, 3), dtype=torch.float32, device=device)
    shifts *= subtomograms.pixel_size / frame.pixel_size
    mask = particle_sphere(frame.box, min(frame.diameter / frame.pixel_size, frame.box - 2), device)
    values = torch.zeros((len(rows), len(ball)), dtype=torch.complex64, device=device)
    weights = torch.zeros((len(rows), len(ball)), device=device)
    step = max(1, int(CHUNK_VOXELS / max(subtomograms.box, frame.box) ** 3))
    full = HalfBall(frame.box, (frame.box - 1) // 2, device)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        volumes = working_volumes(subtomograms.volumes(rows[part]).to(ball.device), subtomograms.pixel_size, frame)
        moved = full.back(full.coefficients(volumes) * full.ramp(-shifts[part])) * mask
        measured = subtomograms.weights(rows[part]).to(ball.device)
        for position, (volume, matrix) in enumerate(zip(moved, back[part]), start):
            values[position] = Rotated(volume, ball).at(matrix[None])[0]
            turned = (matrix @ ball.waves.flip(0).float()).flip(0)
            turned *= torch.where(turned[-1] < 0, -1.0, 1.0)  # of the half that is not kept the conjugates are
            weights[position] = weights_on(turned, measured[position - start][None], ratio)[0]
    values *= -1.0 if contrast == "dark" else 1.0
    return ObservedSubtomograms(values * (weights > MEASURED), weights * (weights > MEASURED), ball)


MINIMUM = 1e-3  # part of a subtomogram that a pose must have to be summed


@dataclasses.dataclass(frozen=True)
class Estimate:
    """volume: (box, box, box), noise of the subtomograms 1. noise: (shells,) power. fsc: (shells,) of the halves.
    evidence: (n,) log of the likelihood ratio to nothing, up to a constant. Both are empty of a volume that is yet to
    be compared. poses: Poses, or None after a soft search."""

    volume: torch.Tensor
    noise: torch.Tensor
    fsc: torch.Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0))
    evidence: torch.Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0))
    poses: Poses | None = None


def from_poses(observed: ObservedSubtomograms, poses: Poses, noise: torch.Tensor, mask: torch.Tensor) -> Estimate:
    """Estimate by the M-step alone."""
    weights = observed.weights / noise[observed.ball.ring]
    sums = halves_of(observed, weights, poses.matrices, poses.shifts, poses.weights)
    return maximised(sums, mask, noise, poses.evidence, poses)


def halves_of(
    observed: ObservedSubtomograms,
    weights: torch.Tensor,
    matrices: torch.Tensor,
    shifts: torch.Tensor | None = None,
    responsibilities: torch.Tensor | None = None,
) -> typing.Any:
    """Two Sums, of the subtomograms with even and odd numbers. weights: (n, d) of the coefficients. matrices: (n, p, 3,
    3), shifts: (n, p, 3) px, responsibilities: (n, p) of p poses."""
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
    one, other = (half.volume(0.1 * half.shell_weights()) * mask for half in sums)
    fsc, both = subtomogram_fsc(one, other, sums[0].ball), sums[0].merged(sums[1])
    agreed = fsc.clamp(1e-3, 0.999)
    floor = both.shell_weights() * (1 - agreed) / (2 * agreed)
    floor[0] = 0.1 * both.shell_weights()[0]
    return Estimate(both.volume(floor) * mask, noise, fsc, evidence, poses)


def subtomogram_fsc(one: torch.Tensor, other: torch.Tensor, ball: HalfBall) -> torch.Tensor:
    """(shells,) float32 Fourier shell correlation of two volumes."""
    a, b = (ball.coefficients(volume[None])[0] for volume in (one, other))
    power = ball.ring_sum(a.abs().square()) * ball.ring_sum(b.abs().square())
    return (ball.ring_sum((a * b.conj()).real) / power.sqrt().clamp(min=1e-30)).float()


FLOOR = 0.05  # of the mean weight of a shell: added to all weights, so that what hardly any measured stays small


def half_averages(
    subtomograms: SubtomogramSet,
    indices: np.ndarray,
    angles: np.ndarray,
    shifts_zyx: np.ndarray,
    contrast: str = "bright",
    device: torch.device | None = None,
    shares: np.ndarray | None = None,
    halves: np.ndarray | None = None,
) -> typing.Any:
    """The average of all, and the averages of two halves: those of the set's half sets, else every other one; copies
    of a subtomogram are in the same.
    They are (box, box, box) float32 tensors on the CPU, of the set's box and pixel size, protein bright. indices: rows
    of the SubtomogramSet. angles: (m, 3) rot, tilt, psi in degrees, shifts_zyx: (m, 3) px, of these rows. contrast: of
    protein in the files. shares: (m,) weight of each of these subtomograms, 1 if None. halves: (m,) 1 or 2, if other
    half sets are wanted. Each counts alike, whatever its grey values, but for data multiplied by their CTF. Memory does
    not grow with their number. Raises ValueError for no subtomograms."""
    rows = np.arange(len(subtomograms))[indices].reshape(-1)
    if not len(rows):
        raise ValueError(f"{subtomograms.path}: there are no subtomograms to average.")
    ball = HalfBall(subtomograms.box, subtomograms.box / 2 - 1, device)
    parts = [Sums(ball), Sums(ball)]
    matrices = matrices_of(np.asarray(angles, float).reshape(-1, 3), device)
    shifts = torch.as_tensor(np.asarray(shifts_zyx, float).reshape(-1, 3), dtype=torch.float32, device=device)
    share = torch.as_tensor(np.ones(len(rows)) if shares is None else shares, dtype=torch.float32).to(ball.device)
    if halves is None and subtomograms.halves is not None:
        halves = subtomograms.halves[rows]
    if halves is None:
        halves = np.unique(subtomograms.same_images()[rows], return_inverse=True)[1] + 1
    which = (halves - 1) % 2
    step, sign = max(1, int(CHUNK_VOXELS / subtomograms.box**3)), -1.0 if contrast == "dark" else 1.0
    usual = 0.0
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        volumes = subtomograms.volumes(rows[part]).to(ball.device)
        volumes, width = (volumes - volumes.mean((1, 2, 3), keepdim=True)), volumes.std((1, 2, 3), keepdim=True)
        usual = usual or float(width.median())  # so that the average has the grey values of the subtomograms
        volumes = volumes if subtomograms.multiplied else volumes * usual / width.clamp(min=1e-12)
        weights = ball.on_grid(subtomograms.sums(rows[part]).to(ball.device)) * share[part, None]
        values = sign * ball.coefficients(volumes) * weights * ball.ramp(-shifts[part])
        for half in (0, 1):
            mine = torch.as_tensor(which[part] == half, device=ball.device)
            parts[half].add(values[mine], weights[mine], matrices[part][mine])
    return tuple(_mean(sums) for sums in (parts[0].merged(parts[1]), *parts))


def _mean(sums: Sums) -> torch.Tensor:
    shells = sums.shell_weights()
    # sums of CTF² fall with the frequency
    return sums.volume(FLOOR * torch.maximum(shells, 0.1 * shells.mean()).clamp(min=1e-6)).cpu().contiguous()


def resolution_of(one: torch.Tensor, other: torch.Tensor, pixel_size: float, diameter: float) -> float:
    """Å of the last shell before the Fourier shell correlation of two half averages falls below 0.5 for good: in two
    shells running, or in the last one. diameter: of the particle, Å. Shells coarser than half of it do not count: the
    CTF of uncorrected data leaves no signal there, and a single shell may lie in a later zero of it."""
    box = one.shape[0]
    curve = subtomogram_fsc(one, other, HalfBall(box, box / 2 - 1))
    return box * pixel_size / last_shell(curve.numpy(), int(np.ceil(2 * box * pixel_size / diameter)))


def last_shell(curve: np.ndarray, first: int) -> int:
    """The last shell before a curve (shells,) is below 0.5 in two shells running, or in its last; at least 1. Looked
    for from shell `first` on; the one before it if nothing agrees."""
    below = [float(value) < 0.5 for value in curve] + [True]
    start = min(first, len(below) - 2)
    return max(1, next((k for k in range(start, len(below) - 1) if below[k] and below[k + 1]), len(below) - 1) - 1)
