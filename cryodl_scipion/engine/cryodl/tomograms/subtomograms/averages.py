# SPDX-License-Identifier: GPL-3.0-or-later
"""Averages of aligned subtomograms that compensate for the missing wedge: each coefficient is the mean of those who
measured it."""

from __future__ import annotations

import typing

import numpy as np
import torch

from ...core.volumes import HalfBall
from .maximise import subtomogram_fsc
from .rotated import Sums
from .search import matrices_of

if typing.TYPE_CHECKING:
    from ...io.subtomograms import SubtomogramSet

CHUNK_VOXELS = 4e6  # of volumes in memory at a time
FLOOR = 0.05  # of the mean weight of a shell: added to all weights, so that what hardly any measured stays small


def average(
    subtomograms: SubtomogramSet,
    indices: np.ndarray,
    angles: np.ndarray,
    shifts_zyx: np.ndarray,
    box: int | None = None,
    contrast: str = "bright",
    device: torch.device | None = None,
) -> torch.Tensor:
    """(box, box, box) float32 tensor on the CPU: the mean of subtomograms in the structure's frame, protein bright.

    See half_averages for the arguments.
    """
    return _mean(_sums(subtomograms, indices, angles, shifts_zyx, box, contrast, device)[0])


def half_averages(
    subtomograms: SubtomogramSet,
    indices: np.ndarray,
    angles: np.ndarray,
    shifts_zyx: np.ndarray,
    box: int | None = None,
    contrast: str = "bright",
    device: torch.device | None = None,
    shares: np.ndarray | None = None,
    halves: np.ndarray | None = None,
) -> typing.Any:
    """The average of all, and the averages of two halves: those of the set's half sets, else of even and odd numbers.

    subtomograms: SubtomogramSet. indices: its rows. angles: (m, 3) rot, tilt, psi in degrees, shifts_zyx: (m, 3) px, of
    these rows. box: px of the result, which has the set's pixel size; that of the set if None. contrast: of protein in
    the files. shares: (m,) weight of each of these subtomograms, 1 if None. halves: (m,) 1 or 2, if other half sets are
    wanted. Memory does not grow with the number of subtomograms. Raises ValueError for no subtomograms.
    """
    whole, parts = _sums(subtomograms, indices, angles, shifts_zyx, box, contrast, device, shares, halves)
    return (_mean(whole), *(_mean(part) for part in parts))


def resolution_of(one: torch.Tensor, other: torch.Tensor, pixel_size: float, diameter: float) -> float:
    """Å of the last shell before the Fourier shell correlation of two half averages falls below 0.5 for good: in two
    shells running, or in the last one.

    diameter: of the particle, Å. Shells coarser than half of it do not count: the CTF of uncorrected data leaves no
    signal there, and a single shell may lie in a later zero of it.
    """
    box = one.shape[0]
    curve = subtomogram_fsc(one, other, HalfBall(box, box / 2 - 1))
    return box * pixel_size / last_shell(curve.numpy(), int(np.ceil(2 * box * pixel_size / diameter)))


def last_shell(curve: np.ndarray, first: int) -> int:
    """The last shell before a curve (shells,) is below 0.5 in two shells running, or in its last; at least 1. Looked
    for from shell `first` on; the one before it if nothing agrees."""
    below = [float(value) < 0.5 for value in curve] + [True]
    start = min(first, len(below) - 2)
    lost = next((k for k in range(start, len(below) - 1) if below[k] and below[k + 1]), len(below) - 1)
    return max(1, lost - 1)


def _sums(
    subtomograms: SubtomogramSet,
    indices: np.ndarray,
    angles: np.ndarray,
    shifts_zyx: np.ndarray,
    box: int | None,
    contrast: str,
    device: torch.device | None,
    shares: np.ndarray | None = None,
    halves: np.ndarray | None = None,
) -> typing.Any:
    rows = np.arange(len(subtomograms))[indices].reshape(-1)
    if not len(rows):
        raise ValueError(f"{subtomograms.path}: there are no subtomograms to average.")
    ball = HalfBall(subtomograms.box, subtomograms.box / 2 - 1, device)
    parts, box = [Sums(ball), Sums(ball)], box or subtomograms.box
    matrices = matrices_of(np.asarray(angles, float).reshape(-1, 3), device)
    shifts = torch.as_tensor(np.asarray(shifts_zyx, float).reshape(-1, 3), dtype=torch.float32, device=device)
    share = torch.ones(len(rows)) if shares is None else torch.as_tensor(shares, dtype=torch.float32)
    share = share.to(ball.x.device)
    if halves is None and subtomograms.halves is not None:
        halves = subtomograms.halves[rows]
    which = np.arange(len(rows)) % 2 if halves is None else (halves - 1) % 2
    step, sign = max(1, int(CHUNK_VOXELS / subtomograms.box**3)), -1.0 if contrast == "dark" else 1.0
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        volumes = subtomograms.volumes(rows[part]).to(ball.x.device)
        volumes = volumes - volumes.mean((1, 2, 3), keepdim=True)
        weights = ball.on_grid(subtomograms.sums(rows[part]).to(ball.x.device)) * share[part, None]
        values = sign * ball.of_volumes(volumes) * weights * ball.ramp(-shifts[part])
        for half in (0, 1):
            mine = torch.as_tensor(which[part] == half, device=ball.x.device)
            parts[half].add(values[mine], weights[mine], matrices[part][mine])
    whole = parts[0].merged(parts[1])
    return (whole, box), [(part, box) for part in parts]


def _mean(found: typing.Any) -> torch.Tensor:
    from ...core.volumes import cube_crop

    sums, box = found
    shells = sums.shell_weights()
    floor = FLOOR * torch.maximum(shells, 0.1 * shells.mean()).clamp(min=1e-6)  # sums of CTF² fall with the frequency
    return cube_crop(sums.volume(floor)[None].cpu(), box)[0].contiguous()
