# SPDX-License-Identifier: GPL-3.0-or-later
"""Subtomograms as the likelihood sees them: measured Fourier coefficients and their weights. With noise of power s(k) a
subtomogram of coefficients x, measured where w is 1, is more probable with a structure of coefficients a than without,
by the factor exp(sum of (2 Re conj(a) x - |a|²) w / s) (Scheres 2012, section 2, in 3-D). The transform of a structure
in any orientation, and its opposite: coefficients summed into the structure's frame. A rotation matrix turns the
subtomogram's xyz frame into the structure's (core.projections.rotation_matrices): the coefficient of a subtomogram at k
is that of the structure at R k."""

import dataclasses
import typing

import numpy as np
import torch
import torch.nn.functional as F

from ...core.fourier import fourier_resize, from_middle, resampled_side
from ...core.half_transforms import HalfBall
from ...core.volumes import cube_crop
from ...io.subtomograms import SubtomogramSet

PADDING = 2  # the transform is sampled so many times as finely as the box asks for, for linear interpolation
CORNERS = [(z, y, x) for z in (0, 1) for y in (0, 1) for x in (0, 1)]


def coefficient_positions(ball: HalfBall, matrices: torch.Tensor) -> torch.Tensor:
    """(n, d, 3) xyz, on the padded transform's grid, of the coefficients of a HalfBall rotated by (n, 3, 3)."""
    return (matrices @ (ball.waves.flip(0).float() * PADDING)).transpose(1, 2)


class Rotated:
    """A structure whose transform is looked up in any orientation. volume: (box, box, box), origin at voxel box // 2,
    on the scale of the subtomograms."""

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
    """Weighted coefficients, and their weights, summed in the structure's frame. values: (s, s, s) complex64, weights:
    (s, s, s) float32, s = 2 reach + 1, zyx, frequency 0 in the middle."""

    def __init__(self, ball: HalfBall) -> None:
        self.ball, self.reach = ball, reach(ball)
        side = 2 * self.reach + 1
        self.values = torch.zeros(side**3, dtype=torch.complex64, device=ball.device)
        self.weights = torch.zeros(side**3, device=ball.device)

    def add(self, values: torch.Tensor, weights: torch.Tensor, matrices: torch.Tensor) -> None:
        """Add (n, d) complex coefficients (already times their weights) and (n, d) weights seen in (n, 3, 3)."""
        side, xyz = 2 * self.reach + 1, coefficient_positions(self.ball, matrices).reshape(-1, 3)
        low = xyz.floor()
        part, corner = xyz - low, low.long() + self.reach
        values, weights, sides = values.reshape(-1), weights.reshape(-1), torch.stack([1 - part, part])
        for z, y, x in CORNERS:
            corner_weight = sides[x, :, 0] * sides[y, :, 1] * sides[z, :, 2]
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

    def merged(self, other: "Sums") -> "Sums":
        """The sums of both."""
        both = Sums(self.ball)
        both.values, both.weights = self.values + other.values, self.weights + other.weights
        return both

    def volume(self, floor: typing.Any) -> torch.Tensor:
        """(box, box, box) the weighted mean: sums over sums of weights plus a floor. floor: (shells,), or a number;
        what is added to the weights of each shell, so that hardly measured coefficients stay small."""
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
            torch.zeros(self.ball.rings + 1, device=shell.device).index_add(0, shell.flatten(), w)
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
        return radius.round().long().clamp(max=self.ball.rings)


def reach(ball: HalfBall) -> int:
    """Positions of the padded transform from its middle to its border."""
    return PADDING * (int(ball.radius) + 1) + 1


def undamping(box: int, device: torch.device | None = None) -> torch.Tensor:
    """(box, box, box): linear interpolation in the padded transform damps by sinc² along each axis; its inverse."""
    axis = 1 / torch.sinc((torch.arange(box, device=device) - box // 2) / (PADDING * box)) ** 2
    return axis * axis[:, None] * axis[:, None, None]


CHUNK_VOXELS = 4e6  # of volumes in memory at a time
WAVES = 12  # most waves per box that are compared: 33 Å of 400 Å
PIXELS = 3.0  # in the finest detail
QUIETEST = 0.4  # divided by less, a masked subtomogram outweighs all others


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
    """The Frame for a SubtomogramSet. diameter: Å; 0.8 of the box if None. resolution: Å of the finest detail; if None,
    three pixels, or a twelfth of the box where that is coarser. The pixels are those of the set, or coarser ones that
    hold the detail."""
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

    def __getitem__(self, part: typing.Any) -> "ObservedSubtomograms":
        return ObservedSubtomograms(self.values[part], self.weights[part], self.ball)

    def within(self, radius: float) -> "ObservedSubtomograms":
        """The same up to a lower radius."""
        inside, ball = self.ball.within(radius)
        return ObservedSubtomograms(self.values[:, inside], self.weights[:, inside], ball)

    def power(self) -> torch.Tensor:
        """(shells,) mean power of the measured coefficients of each shell."""
        total = self.ball.ring_sum(self.weights * self.values.abs().square())
        return (total / self.ball.ring_sum(self.weights).clamp(min=1e-6)).float()


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
        volumes = subtomograms.volumes(rows[part]).to(ball.device)
        volumes = working_volumes(volumes, subtomograms.pixel_size, frame)
        measured = weights_on(ball.waves, subtomograms.weights(rows[part]).to(ball.device), ratio)
        weights[part] = measured
        values[part] = sign * ball.coefficients(volumes) * (measured > 0)
    return ObservedSubtomograms(values, weights, ball)


def working_volumes(volumes: torch.Tensor, pixel_size: float, frame: Frame) -> torch.Tensor:
    """(n, box, box, box) volumes resampled to a Frame, of mean 0 and variance 1 outside of the particle. volumes: (n,
    b, b, b) of `pixel_size` Å/px. Fields of view that are larger are cut, smaller ones filled up with their mean."""
    side, exact = resampled_side(volumes.shape[-1], pixel_size, frame.pixel_size)
    volumes = fourier_resize(volumes, side, 3)
    mean, width = around_particle(volumes, frame.diameter / exact)
    return cube_crop((volumes - mean) / width, frame.box)


def around_particle(volumes: torch.Tensor, diameter_px: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation (n, 1, 1, 1) of volumes (n, d, d, d) outside of the particle; the latter at least
    QUIETEST of how far the values inside are from that mean. In a box no larger than the particle: of all of it."""
    outside = particle_sphere(volumes.shape[-1], diameter_px, volumes.device) <= 0.5
    inside = volumes[:, ~outside]
    around = volumes[:, outside] if outside.any() else inside
    mean = around.mean(1, keepdim=True)
    least = QUIETEST * (inside - mean).square().mean(1).sqrt()
    return mean[..., None, None], torch.maximum(around.std(1), least).clamp(min=1e-12)[:, None, None, None]


def weights_on(waves: torch.Tensor, weights: torch.Tensor, ratio: float = 1.0) -> torch.Tensor:
    """(n, d) of weights (n, b, b, b // 2 + 1) on the grid of rfftn. waves: (3, d) frequencies z, y, x. ratio: width of
    the weights' cube over that in which the waves are counted; the nearest frequency is taken."""
    box = weights.shape[1]
    z, y, x = (waves * ratio).round().long().clamp(-(box // 2) + 1, box // 2 - 1) % box
    return weights[:, z, y, x]


def particle_sphere(
    box: int, diameter_px: float, device: torch.device | None = None, edge: float = 3.0
) -> torch.Tensor:
    """(box, box, box): 1 within half a diameter of voxel box // 2, 0 outside, with a soft edge of some px."""
    return ((diameter_px / 2 + edge / 2 - from_middle(box, 3, device)) / edge).clamp(0, 1)
