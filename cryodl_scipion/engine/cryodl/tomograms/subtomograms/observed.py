# SPDX-License-Identifier: GPL-3.0-or-later
"""Subtomograms as the likelihood sees them: measured Fourier coefficients and their weights.

With noise of power s(k) a subtomogram of coefficients x, measured where w is 1, is more probable with a structure of
coefficients a than without, by the factor exp(sum of (2 Re conj(a) x - |a|²) w / s) (Scheres 2012, section 2, in 3-D).
"""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch

from ...core.fourier import resampled_side
from ...core.volumes import HalfBall, cube_crop, resized

if typing.TYPE_CHECKING:
    from ...io.subtomograms import SubtomogramSet

CHUNK_VOXELS = 4e6  # of volumes in memory at a time
WAVES = 12  # most waves per box that are compared: 33 Å of 400 Å
PIXELS = 3.0  # in the finest detail


@dataclasses.dataclass(frozen=True)
class Frame:
    """What subtomograms are compared in. box: px, even. pixel_size: Å/px. diameter: Å, of a sphere that holds every
    particle. radius: waves per box of the finest detail."""

    box: int
    pixel_size: float
    diameter: float
    radius: float

    @property
    def width(self) -> float:
        """Side of the box, Å."""
        return self.box * self.pixel_size

    def ball(self, device: torch.device | None = None) -> HalfBall:
        """The HalfBall of its coefficients."""
        return HalfBall(self.box, self.radius, device)


def frame_of(subtomograms: SubtomogramSet, diameter: float | None = None, resolution: float | None = None) -> Frame:
    """The Frame for a SubtomogramSet.

    diameter: Å; 0.8 of the box if None. resolution: Å of the finest detail; if None, three pixels, or a twelfth of the
    box where that is coarser. The pixels are those of the set, or coarser ones that hold the detail.
    """
    width = subtomograms.box * subtomograms.pixel_size
    finest = max(PIXELS * subtomograms.pixel_size, width / WAVES) if resolution is None else resolution
    finest = max(finest, 2.2 * subtomograms.pixel_size)
    box = min(subtomograms.box, max(16, 2 * int(np.ceil(1.4 * width / finest))))
    box += box % 2
    return Frame(box, width / box, diameter or 0.8 * width, min(width / finest, (box - 1) // 2))


@dataclasses.dataclass(frozen=True)
class ObservedSubtomograms:
    """n subtomograms. values: (n, d) complex64 coefficients, zero where nothing was measured; outside of the particle
    the subtomograms have variance 1. weights: (n, d) in [0, 1], what was measured. ball: HalfBall."""

    values: torch.Tensor
    weights: torch.Tensor
    ball: HalfBall

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: typing.Any) -> ObservedSubtomograms:
        return ObservedSubtomograms(self.values[part], self.weights[part], self.ball)

    def within(self, radius: float) -> ObservedSubtomograms:
        """The same up to a lower radius."""
        inside, ball = self.ball.within(radius)
        return ObservedSubtomograms(self.values[:, inside], self.weights[:, inside], ball)

    def power(self) -> torch.Tensor:
        """(shells,) mean power of the measured coefficients of each shell."""
        total = self.ball.shell_sum(self.weights * self.values.abs().square())
        return (total / self.ball.shell_sum(self.weights).clamp(min=1e-6)).float()


def observe(
    subtomograms: SubtomogramSet,
    rows: np.ndarray | slice,
    frame: Frame,
    contrast: str = "bright",
    device: torch.device | None = None,
) -> ObservedSubtomograms:
    """Observed subtomograms of a SubtomogramSet. rows: indices. contrast: 'bright' or 'dark', of
    protein in the files."""
    rows, ball = np.arange(len(subtomograms))[rows].reshape(-1), frame.ball(device)
    sign = -1.0 if contrast == "dark" else 1.0
    step = max(1, int(CHUNK_VOXELS / max(subtomograms.box, frame.box) ** 3))
    ratio = subtomograms.box * subtomograms.pixel_size / frame.width
    values = torch.empty((len(rows), len(ball)), dtype=torch.complex64, device=device)
    weights = torch.empty((len(rows), len(ball)), device=device)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        volumes = subtomograms.volumes(rows[part]).to(ball.x.device)
        volumes = working_volumes(volumes, subtomograms.pixel_size, frame)
        measured = weights_on(ball, subtomograms.weights(rows[part]).to(ball.x.device), ratio)
        weights[part] = measured
        values[part] = sign * ball.of_volumes(volumes) * (measured > 0)
    return ObservedSubtomograms(values, weights, ball)


def working_volumes(volumes: torch.Tensor, pixel_size: float, frame: Frame) -> torch.Tensor:
    """(n, box, box, box) volumes resampled to a Frame, of mean 0 and variance 1 outside of the particle.

    volumes: (n, b, b, b) of `pixel_size` Å/px. Fields of view that are larger are cut, smaller ones filled up with
    their mean.
    """
    side, exact = resampled_side(volumes.shape[-1], pixel_size, frame.pixel_size)
    volumes = resized(volumes, side)
    inside = particle_sphere(side, frame.diameter / exact, volumes.device) > 0.5
    if inside.all():  # the box is no larger than the particle
        inside = torch.zeros_like(inside)
    around = volumes[:, ~inside]
    mean, width = around.mean(1), around.std(1).clamp(min=1e-12)
    return cube_crop((volumes - mean[:, None, None, None]) / width[:, None, None, None], frame.box)


def weights_on(ball: HalfBall, weights: torch.Tensor, ratio: float = 1.0) -> torch.Tensor:
    """(n, d) of weights (n, b, b, b // 2 + 1) on the grid of rfftn, at the coefficients of a HalfBall.

    ratio: width of the weights' cube over that of the ball's; the nearest frequency is taken.
    """
    box = weights.shape[1]
    z, y, x = ((axis * ratio).round().long().clamp(-(box // 2) + 1, box // 2 - 1) for axis in (ball.z, ball.y, ball.x))
    return weights[:, z % box, y % box, x]


def particle_sphere(
    box: int, diameter_px: float, device: torch.device | None = None, edge: float = 3.0
) -> torch.Tensor:
    """(box, box, box): 1 within half a diameter of voxel box // 2, 0 outside, with a soft edge of some px."""
    axis = torch.arange(box, device=device) - box // 2
    radius = (axis**2 + axis[:, None] ** 2 + axis[:, None, None] ** 2).float().sqrt()
    return ((diameter_px / 2 + edge / 2 - radius) / edge).clamp(0, 1)
