# SPDX-License-Identifier: GPL-3.0-or-later
"""The transform of a structure in any orientation, and its opposite: coefficients summed into the structure's frame.

A rotation matrix turns the subtomogram's xyz frame into the structure's (core.projections.rotation_matrices): the
coefficient of a subtomogram at k is that of the structure at R k.
"""

from __future__ import annotations

import typing

import torch
import torch.nn.functional as F

if typing.TYPE_CHECKING:
    from ...core.volumes import HalfBall

PADDING = 2  # the transform is sampled so many times as finely as the box asks for, for linear interpolation
CORNERS = [(z, y, x) for z in (0, 1) for y in (0, 1) for x in (0, 1)]


def coefficient_positions(ball: HalfBall, matrices: torch.Tensor) -> torch.Tensor:
    """(n, d, 3) xyz, on the padded transform's grid, of the coefficients of a HalfBall rotated by (n, 3, 3)."""
    k = torch.stack([ball.x, ball.y, ball.z]).float() * PADDING
    return (matrices @ k).transpose(1, 2)


class Rotated:
    """A structure whose transform is looked up in any orientation.

    volume: (box, box, box), origin at voxel box // 2, on the scale of the subtomograms. ball: HalfBall.
    """

    def __init__(self, volume: torch.Tensor, ball: HalfBall) -> None:
        self.ball, box = ball, ball.box
        padded, middle = PADDING * box, box // 2
        transform = torch.fft.fftn(volume.float() * undamping(box, volume.device), s=(padded,) * 3)
        k = torch.fft.fftfreq(padded, device=volume.device)
        axis = torch.polar(torch.ones_like(k), 2 * torch.pi * k * middle)
        transform = transform * axis * axis[:, None] * axis[:, None, None] / box**1.5
        self.reach = reach(ball)
        rows = torch.arange(-self.reach, self.reach + 1, device=volume.device) % padded
        cube = transform[rows][:, rows][:, :, rows]
        self.cube = torch.stack([cube.real, cube.imag])[None].contiguous()

    def at(self, matrices: torch.Tensor) -> torch.Tensor:
        """(n, d) complex64 coefficients in the orientations (n, 3, 3), a float32 tensor."""
        grid = (coefficient_positions(self.ball, matrices) / self.reach)[None, None]
        values = F.grid_sample(self.cube, grid.reshape(1, 1, len(matrices), -1, 3), align_corners=True)[0, :, 0]
        return torch.complex(values[0], values[1])


class Sums:
    """Weighted coefficients, and their weights, summed in the structure's frame.

    values: (s, s, s) complex64, weights: (s, s, s) float32, s = 2 reach + 1, zyx, frequency 0 in the middle.
    """

    def __init__(self, ball: HalfBall) -> None:
        self.ball, self.reach = ball, reach(ball)
        side = 2 * self.reach + 1
        self.values = torch.zeros(side**3, dtype=torch.complex64, device=ball.device)
        self.weights = torch.zeros(side**3, device=ball.device)

    def add(self, values: torch.Tensor, weights: torch.Tensor, matrices: torch.Tensor) -> None:
        """Add (n, d) complex coefficients (already times their weights) and (n, d) weights seen in (n, 3, 3)."""
        side = 2 * self.reach + 1
        xyz = coefficient_positions(self.ball, matrices).reshape(-1, 3)
        low = xyz.floor()
        part = xyz - low
        corner = low.long() + self.reach
        values, weights = values.reshape(-1), weights.reshape(-1)
        for z, y, x in CORNERS:
            corner_weight = _axis_weight(part[:, 0], x) * _axis_weight(part[:, 1], y) * _axis_weight(part[:, 2], z)
            index = ((corner[:, 2] + z) * side + corner[:, 1] + y) * side + corner[:, 0] + x
            self.values.index_add_(0, index, values * corner_weight)
            self.weights.index_add_(0, index, weights * corner_weight)

    def add_nearest(self, values: torch.Tensor, weights: torch.Tensor, matrices: torch.Tensor) -> None:
        """The same without interpolation, for many orientations: several times as fast, and good for coarse detail."""
        z, y, x = (
            (coefficient_positions(self.ball, matrices).reshape(-1, 3).round().long() + self.reach).flip(1).unbind(1)
        )
        index = (z * (2 * self.reach + 1) + y) * (2 * self.reach + 1) + x
        self.values.index_add_(0, index, values.reshape(-1))
        self.weights.index_add_(0, index, weights.reshape(-1))

    def merged(self, other: Sums) -> Sums:
        """The sums of both."""
        both = Sums(self.ball)
        both.values, both.weights = self.values + other.values, self.weights + other.weights
        return both

    def volume(self, floor: typing.Any) -> torch.Tensor:
        """(box, box, box) the weighted mean: sums over sums of weights plus a floor.

        floor: (shells,), or a number; what is added to the weights of each shell, so that hardly measured coefficients
        stay small.
        """
        box, padded, side = self.ball.box, PADDING * self.ball.box, 2 * self.reach + 1
        values, weights = (a.reshape(side, side, side) for a in (self.values, self.weights))
        values = values + values.flip(0, 1, 2).conj()  # the other half of the ball
        weights = weights + weights.flip(0, 1, 2)
        mean = values / (weights + self._deviation(floor)).clamp(min=1e-12)
        mean = torch.where(weights > 0, mean, torch.zeros_like(mean))
        rows = torch.arange(-self.reach, self.reach + 1, device=mean.device) % padded
        whole = mean.new_zeros(padded, padded, padded)
        whole[rows[:, None, None], rows[None, :, None], rows[None, None, :]] = mean
        volume = torch.fft.ifftn(whole).real * box**1.5
        volume = volume.roll((box // 2,) * 3, (0, 1, 2))[:box, :box, :box]
        return volume * undamping(box, volume.device)

    def shell_weights(self) -> torch.Tensor:
        """(shells,) mean weight of a coefficient of each shell of the ball."""
        shell, side = self._shells(), 2 * self.reach + 1
        weights = self.weights.reshape(side, side, side)
        weights = (weights + weights.flip(0, 1, 2)).flatten()
        total, count = (
            torch.zeros(self.ball.shells + 1, device=shell.device).index_add(0, shell.flatten(), w)
            for w in (weights, torch.ones_like(weights))
        )
        return (PADDING**3 * total / count)[:-1]

    def _deviation(self, floor: typing.Any) -> typing.Any:
        """Floor of each place of the grid. Each coefficient is shared among PADDING³ times as many positions."""
        if not torch.is_tensor(floor):
            return floor / PADDING**3
        return floor.float()[self._shells().clamp(max=len(floor) - 1)] / PADDING**3

    def _shells(self) -> torch.Tensor:
        """(s, s, s) shell of each position; the number of shells for those beyond the ball."""
        axis = torch.arange(-self.reach, self.reach + 1, device=self.weights.device).float() / PADDING
        radius = (axis**2 + axis[:, None] ** 2 + axis[:, None, None] ** 2).sqrt()
        return radius.round().long().clamp(max=self.ball.shells)


def reach(ball: HalfBall) -> int:
    """Positions of the padded transform from its middle to its border."""
    return PADDING * (int(ball.radius) + 1) + 1


def _axis_weight(part: torch.Tensor, corner: int) -> torch.Tensor:
    return part if corner else 1 - part


def undamping(box: int, device: torch.device | None = None) -> torch.Tensor:
    """(box, box, box): linear interpolation in the padded transform damps by sinc² along each axis; its inverse."""
    axis = 1 / torch.sinc((torch.arange(box, device=device) - box // 2) / (PADDING * box)) ** 2
    return axis * axis[:, None] * axis[:, None, None]
