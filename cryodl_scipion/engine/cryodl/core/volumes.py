# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes cropped.

The Fourier coefficients of volumes up to a resolution: one of each pair of conjugates, without frequency 0.
The missing wedge: which Fourier coefficients a tilt series measured. frames.py has the convention of tilts.
Noise that is like a volume: the same amplitudes of its transform, phases drawn at random."""

import numpy as np
import torch
import torch.nn.functional as F


class HalfBall:
    """d coefficients of cubes of one width.

    box: px; frequencies are counted in waves per box. radius: the highest of them, below box / 2. z, y, x: (d,) int64
    frequencies; shell, ring: (d,) int64, the nearest whole radius; shells, rings: number of them, from 0 on."""

    def __init__(self, box: int, radius: float, device: torch.device | None = None) -> None:
        # rounded: a radius of 10.999999999 is 11, or the ball and a part of a larger one would differ on its border
        self.box, self.radius, self.device = box, min(round(float(radius), 6), (box - 1) // 2), device
        axis = torch.arange(-int(self.radius), int(self.radius) + 1, device=device)
        z, y, x = (a.reshape(-1) for a in torch.meshgrid(axis, axis, axis, indexing="ij"))
        inside = (z**2 + y**2 + x**2 <= self.radius**2 + 1e-6) & ((x > 0) | (x == 0) & ((y > 0) | (y == 0) & (z > 0)))
        self.z, self.y, self.x = z[inside], y[inside], x[inside]
        self.shell = self.ring = (self.z**2 + self.y**2 + self.x**2).float().sqrt().round().long()
        self.shells = self.rings = int(self.shell.max()) + 1

    def __len__(self) -> int:
        return len(self.x)

    def of_volumes(self, volumes: torch.Tensor) -> torch.Tensor:
        """(n, d) complex64 coefficients of (n, box, box, box) tensors, origin at voxel box // 2; white noise of
        variance 1 has power 1."""
        middle = self.ramp(torch.full((1, 3), -float(self.box // 2), device=self.device))
        result: torch.Tensor = self.on_grid(torch.fft.rfftn(volumes.float(), dim=(1, 2, 3))) * middle / self.box**1.5
        return result

    def to_volumes(self, coefficients: torch.Tensor) -> torch.Tensor:
        """(n, box, box, box) of (n, d): the opposite of of_volumes; what lies beyond the ball is zero."""
        values = coefficients * self.ramp(torch.full((1, 3), float(self.box // 2), device=self.device))
        grid = values.new_zeros(len(values), self.box, self.box, self.box // 2 + 1)
        grid[:, self.z % self.box, self.y % self.box, self.x] = values
        edge = self.x == 0  # here both of a pair of conjugates are wanted
        grid[:, (-self.z[edge]) % self.box, (-self.y[edge]) % self.box, 0] = values[:, edge].conj()
        result: torch.Tensor = torch.fft.irfftn(grid, s=(self.box,) * 3, dim=(1, 2, 3)) * self.box**1.5
        return result

    def on_grid(self, values: torch.Tensor) -> torch.Tensor:
        """(n, d) of values (n, box, box, box // 2 + 1) on the grid of rfftn."""
        return values[:, self.z % self.box, self.y % self.box, self.x]

    def ramp(self, shifts_zyx: torch.Tensor) -> torch.Tensor:
        """(n, d) complex64 factors that move volumes by (n, 3) px."""
        phases = shifts_zyx.float() @ torch.stack([self.z, self.y, self.x]).float() * (-2 * torch.pi / self.box)
        return torch.polar(torch.ones_like(phases), phases)

    def within(self, radius: float) -> tuple[torch.Tensor, "HalfBall"]:
        """(d,) bool: the coefficients up to a lower radius, and the HalfBall of them, in the same order."""
        smaller = HalfBall(self.box, radius, self.device)
        return self.z**2 + self.y**2 + self.x**2 <= smaller.radius**2 + 1e-6, smaller

    def shell_sum(self, values: torch.Tensor) -> torch.Tensor:
        """(shells,) float64 sums over all before the last axis and coefficients of each shell. values: (..., d)."""
        flat = values.reshape(-1, len(self)).double().sum(0)
        return torch.zeros(self.shells, dtype=torch.float64, device=flat.device).index_add(0, self.shell, flat)


def side_by_side(values: torch.Tensor) -> torch.Tensor:
    """Real parts, then imaginary parts, of complex values: the product of two such is Re sum conj(a) b. values: (...,
    d) complex. Returns (..., 2 d)."""
    return torch.cat([values.real, values.imag], dim=-1)


def wedge(box: int, tilt_min: float, tilt_max: float, device: torch.device | None = None) -> torch.Tensor:
    """1 where a tilt series measured, 0 in the missing wedge. A series is taken to be without gaps. Frequencies on the
    y axis (kx = kz = 0) are in every image. box: px. tilt_min, tilt_max: degrees, about the y axis. Returns
    (box, box, box // 2 + 1) float32, on the grid of rfftn (z, y, x)."""
    kz = torch.fft.fftfreq(box, device=device)[:, None, None]
    kx = torch.fft.rfftfreq(box, device=device)[None, None, :]
    tilt = torch.rad2deg(torch.atan2(kz, kx))  # kx >= 0: between -90 and 90 degrees
    measured = (tilt >= tilt_min - 1e-4) & (tilt <= tilt_max + 1e-4)
    # at kx = 0 and at its Nyquist frequency a coefficient stands for both signs
    both = measured | ((-tilt >= tilt_min - 1e-4) & (-tilt <= tilt_max + 1e-4))
    measured = torch.where((kx == 0) | (kx == 0.5), both, measured) | ((kz == 0) & (kx == 0))
    result: torch.Tensor = measured.float().expand(box, box, box // 2 + 1).contiguous()
    return result


def rotated_wedge(
    box: int, tilt_min: float, tilt_max: float, axes: tuple[int, ...], flips: tuple[int, ...]
) -> torch.Tensor:
    """`wedge` of a cube that was rotated: of volume.permute(axes).flip(flips). box: px. tilt_min, tilt_max: degrees,
    about the y axis. axes: of the cube (z, y, x), in their new order. flips: axes of the rotated cube that are
    reversed. Returns (box, box, box // 2 + 1) float32."""
    half, opposite = wedge(box, tilt_min, tilt_max), -torch.arange(box) % box
    whole = half.new_empty(box, box, box)
    whole[..., : half.shape[-1]] = half
    whole[..., half.shape[-1] :] = half[opposite][:, opposite][..., box - torch.arange(half.shape[-1], box)]
    rotated = whole.permute(axes)
    for axis in flips:
        rotated = rotated.index_select(axis, opposite)
    return rotated[..., : half.shape[-1]].contiguous()


def phases_at_random(volume: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A copy of a volume with its amplitudes and random phases: nothing that has a position is left. The phases are
    those of white noise, so that the copy is real; the mean stays. volume: (z, y, x). Returns (z, y, x)."""
    noise = torch.from_numpy(rng.standard_normal(tuple(volume.shape), dtype=np.float32)).to(volume.device)
    phases = torch.fft.rfftn(noise)
    phases /= phases.abs().clamp_(min=1e-12)
    transform = torch.fft.rfftn(volume)
    mean = transform[0, 0, 0].clone()
    phases *= transform.abs()
    phases[0, 0, 0] = mean
    copy: torch.Tensor = torch.fft.irfftn(phases, s=volume.shape)
    return copy


def cube_crop(volumes: torch.Tensor, box: int) -> torch.Tensor:
    """Volumes cut, or surrounded by zeros, so that voxel d // 2 becomes box // 2, (..., box, box, box).
    volumes: (..., d, d, d). box: px."""
    before = box // 2 - volumes.shape[-1] // 2
    return F.pad(volumes, (before, box - volumes.shape[-1] - before) * 3)
