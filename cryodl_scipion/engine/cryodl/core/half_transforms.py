# SPDX-License-Identifier: GPL-3.0-or-later
"""The Fourier coefficients of images and cubes that are compared: up to a resolution, one of each pair of conjugates,
without frequency 0, the mean, which tells nothing of normalised images."""

import torch


class HalfTransform:
    """d coefficients of real images or cubes of one width.

    box: px. radius: highest frequency, waves per box; below Nyquist. waves: (2, d) y and x, or (3, d) z, y and x, int64
    whole frequencies, waves per box. square: (d,) their squared radii. ring: (d,) int64, the nearest whole radius;
    rings: number of them, from 0 on."""

    norm = "backward"  # of torch's transforms

    def __init__(self, box: int, radius: float, waves: torch.Tensor) -> None:
        self.box, self.radius, self.waves, self.device = box, radius, waves, waves.device
        self.square = waves.square().sum(0)
        self.ring = self.square.float().sqrt().round().long()
        self.rings = int(self.ring.max()) + 1

    def __len__(self) -> int:
        return self.waves.shape[1]

    def coefficients(self, values: torch.Tensor) -> torch.Tensor:
        """(n, d) complex64 of (n, box, box) images or (n, box, box, box) cubes, pixel box // 2 taken as the origin."""
        transform = torch.fft.rfftn(values.float(), dim=tuple(range(1, values.dim())), norm=self.norm)
        return self.on_grid(transform) * self._middle(-1)

    def back(self, coefficients: torch.Tensor) -> torch.Tensor:
        """(n, box, box) images or (n, box, box, box) cubes of (n, d) coefficients, zero elsewhere: the opposite of
        `coefficients`."""
        values, axes = coefficients * self._middle(1), len(self.waves)
        grid = values.new_zeros(len(values), *[self.box] * (axes - 1), self.box // 2 + 1)
        grid[(slice(None), *(self.waves % self.box))] = values
        edge = self.waves[-1] == 0  # here both of a pair of conjugates are wanted
        grid[(slice(None), *(-self.waves[:, edge] % self.box))] = values[:, edge].conj()
        return torch.fft.irfftn(grid, s=(self.box,) * axes, norm=self.norm)

    def on_grid(self, values: torch.Tensor) -> torch.Tensor:
        """(n, d) of values (n, box, ..., box // 2 + 1) on the grid of rfftn."""
        return values[(slice(None), *(self.waves % self.box))]

    def ramp(self, shifts: torch.Tensor) -> torch.Tensor:
        """(n, d) complex64 factors that move images by (n, 2) px yx, or cubes by (n, 3) px zyx."""
        phases = shifts.float() @ self.waves.float() * (-2 * torch.pi / self.box)
        return torch.polar(torch.ones_like(phases), phases)

    def _middle(self, sign: int) -> torch.Tensor:
        return self.ramp(torch.full((1, len(self.waves)), float(sign * (self.box // 2)), device=self.device))

    def ring_sum(self, values: torch.Tensor) -> torch.Tensor:
        """(rings,) float64 sums over the coefficients of each ring and over all before. values: (..., d)."""
        flat = values.reshape(-1, len(self)).double().sum(0)
        return torch.zeros(self.rings, dtype=torch.float64, device=flat.device).index_add(0, self.ring, flat)


class HalfDisc(HalfTransform):
    """Of images, sorted by frequency."""

    def __init__(self, box: int, radius: float, device: torch.device | None = None) -> None:
        radius = min(radius, box / 2 - 1)
        steps = torch.arange(-int(radius) - 1, int(radius) + 2, device=device)
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        square = y**2 + x**2
        kept = (square <= radius**2) & (square > 0) & ((x > 0) | ((x == 0) & (y > 0)))
        order = torch.argsort(square[kept], stable=True)
        super().__init__(box, radius, torch.stack([y[kept], x[kept]])[:, order])


class HalfBall(HalfTransform):
    """Of cubes, scaled so that white noise of variance 1 has power 1."""

    norm = "ortho"

    def __init__(self, box: int, radius: float, device: torch.device | None = None) -> None:
        # rounded: a radius of 10.999999999 is 11, or the ball and a part of a larger one would differ on its border
        radius = min(round(float(radius), 6), (box - 1) // 2)
        axis = torch.arange(-int(radius), int(radius) + 1, device=device)
        z, y, x = (a.reshape(-1) for a in torch.meshgrid(axis, axis, axis, indexing="ij"))
        inside = (z**2 + y**2 + x**2 <= radius**2 + 1e-6) & ((x > 0) | (x == 0) & ((y > 0) | (y == 0) & (z > 0)))
        super().__init__(box, radius, torch.stack([z, y, x])[:, inside])

    def within(self, radius: float) -> tuple[torch.Tensor, "HalfBall"]:
        """(d,) bool: the coefficients up to a lower radius, and the HalfBall of them, in the same order."""
        smaller = HalfBall(self.box, radius, self.device)
        return self.square <= smaller.radius**2 + 1e-6, smaller
