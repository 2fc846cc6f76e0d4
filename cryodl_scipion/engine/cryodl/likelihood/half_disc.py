# SPDX-License-Identifier: GPL-3.0-or-later
"""The Fourier coefficients of images that are compared: a half-disc, each coefficient once."""

import torch


class HalfDisc:
    """The Fourier coefficients of a (box, box) image between two frequencies, each of a pair of conjugates once.

    box: px. radius: highest frequency, waves per box; below Nyquist. y, x: (d,) int64 whole frequencies. ring: (d,)
    int64 nearest ring. rings: their number. Coefficients are sorted by frequency."""

    def __init__(self, box: int, radius: float, device: torch.device | None = None) -> None:
        radius = min(radius, box / 2 - 1)
        steps = torch.arange(-int(radius) - 1, int(radius) + 2, device=device)
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        square = y**2 + x**2
        # frequency 0, the mean, tells nothing of a normalised particle
        kept = (square <= radius**2) & (square > 0) & ((x > 0) | ((x == 0) & (y > 0)))
        self.box, self.radius = box, radius
        order = torch.argsort(square[kept], stable=True)
        self.y, self.x = y[kept][order], x[kept][order]
        self.device = self.y.device
        self.ring = square[kept][order].float().sqrt().round().long()
        self.rings = int(self.ring[-1]) + 1

    def __len__(self) -> int:
        return len(self.y)

    def of_images(self, images: torch.Tensor) -> torch.Tensor:
        """(n, d) complex64 coefficients of (n, box, box) images, pixel box // 2 taken as the origin."""
        transform = torch.fft.rfft2(images)[:, self.y % self.box, self.x]
        result: torch.Tensor = transform * self.ramp(torch.full((1, 2), -float(self.box // 2), device=self.device))
        return result

    def to_images(self, values: torch.Tensor) -> torch.Tensor:
        """(n, box, box) images of (n, d) coefficients, zero elsewhere; the inverse of of_images."""
        centred = values * self.ramp(torch.full((1, 2), float(self.box // 2), device=self.device))
        grid = torch.zeros((len(values), self.box, self.box // 2 + 1), dtype=centred.dtype, device=self.device)
        grid[:, self.y % self.box, self.x] = centred
        own = self.x == 0  # of pairs of conjugates within one column, irfft2 needs both
        grid[:, (-self.y[own]) % self.box, 0] = centred[:, own].conj()
        result: torch.Tensor = torch.fft.irfft2(grid, s=(self.box, self.box))
        return result

    def on_grid(self, values: torch.Tensor) -> torch.Tensor:
        """(n, d) of values (n, box, box // 2 + 1) on the grid of rfft2."""
        return values[:, self.y % self.box, self.x]

    def ramp(self, shifts_yx: torch.Tensor) -> torch.Tensor:
        """(n, d) complex64 factors that move images by (n, 2) px, a tensor."""
        phases = (shifts_yx[:, :1] * self.y + shifts_yx[:, 1:] * self.x) * (-2 * torch.pi / self.box)
        return torch.polar(torch.ones_like(phases), phases)

    def ring_sum(self, values: torch.Tensor) -> torch.Tensor:
        """(rings,) float64 sums over the coefficients of each ring and over all before. values: (..., d)."""
        flat = values.reshape(-1, len(self)).double().sum(0)
        return torch.zeros(self.rings, dtype=torch.float64, device=self.device).index_add(0, self.ring, flat)
