# SPDX-License-Identifier: GPL-3.0-or-later
"""The Fourier coefficients of volumes up to a resolution: one of each pair of conjugates, without frequency 0."""

import torch


class HalfBall:
    """d coefficients of cubes of one width.

    box: px; frequencies are counted in waves per box. radius: the highest of them, below box / 2. z, y, x: (d,) int64
    frequencies; shell: (d,) int64, the nearest whole radius; shells: number of them, from 0 on.
    """

    def __init__(self, box: int, radius: float, device: torch.device | None = None) -> None:
        # rounded: a radius of 10.999999999 is 11, or the ball and a part of a larger one would differ on its border
        self.box, self.radius, self.device = box, min(round(float(radius), 6), (box - 1) // 2), device
        axis = torch.arange(-int(self.radius), int(self.radius) + 1, device=device)
        z, y, x = (a.reshape(-1) for a in torch.meshgrid(axis, axis, axis, indexing="ij"))
        half = (x > 0) | (x == 0) & ((y > 0) | (y == 0) & (z > 0))
        inside = half & (z**2 + y**2 + x**2 <= self.radius**2 + 1e-6)
        self.z, self.y, self.x = z[inside], y[inside], x[inside]
        self.shell = (self.z**2 + self.y**2 + self.x**2).float().sqrt().round().long()
        self.shells = int(self.shell.max()) + 1

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
        positions = torch.stack([self.z, self.y, self.x]).float()
        phases = shifts_zyx.float() @ positions * (-2 * torch.pi / self.box)
        return torch.polar(torch.ones_like(phases), phases)

    def within(self, radius: float) -> tuple[torch.Tensor, "HalfBall"]:
        """(d,) bool: the coefficients up to a lower radius, and the HalfBall of them, in the same order."""
        smaller = HalfBall(self.box, radius, self.device)
        return self.z**2 + self.y**2 + self.x**2 <= smaller.radius**2 + 1e-6, smaller

    def shell_sum(self, values: torch.Tensor) -> torch.Tensor:
        """(shells,) float64 sums over all before the last axis and over the coefficients of each shell. values: (...,
        d) real."""
        flat = values.reshape(-1, len(self)).double().sum(0)
        return torch.zeros(self.shells, dtype=torch.float64, device=flat.device).index_add(0, self.shell, flat)


def side_by_side(values: torch.Tensor) -> torch.Tensor:
    """Real parts, then imaginary parts, of complex values: the product of two such is Re sum conj(a) b.

    Parameters
    ----------
    values : Tensor, (..., d) complex

    Returns
    -------
    Tensor, (..., 2 d)
    """
    return torch.cat([values.real, values.imag], dim=-1)
