# SPDX-License-Identifier: GPL-3.0-or-later
"""Projections of a structure as lists of Fourier coefficients, up to a resolution."""

from __future__ import annotations

import typing

import numpy as np
import torch
import torch.nn.functional as F

from ..core.projections import rotation_matrices

if typing.TYPE_CHECKING:
    from ..core.projections import Projector


class HalfDisc:
    """The Fourier coefficients of a (box, box) image between two frequencies, each of a pair of conjugates once.

    box: px. radius: highest frequency, waves per box; below Nyquist. y, x: (d,) int64 whole frequencies. ring: (d,)
    int64 nearest ring. rings: their number.
    """

    def __init__(self, box: int, radius: float, device: torch.device | None = None) -> None:
        radius = min(radius, box / 2 - 1)
        steps = torch.arange(-int(radius) - 1, int(radius) + 2, device=device)
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        square = y**2 + x**2
        # frequency 0, the mean, tells nothing of a normalised particle
        kept = (square <= radius**2) & (square > 0) & ((x > 0) | ((x == 0) & (y > 0)))
        self.box, self.radius = box, radius
        self.y, self.x = y[kept], x[kept]
        self.ring = square[kept].float().sqrt().round().long()
        self.rings = int(self.ring.max()) + 1

    @property
    def device(self) -> torch.device:
        """Where its coefficients are."""
        return self.y.device

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


class Reference:
    """Central slices of a structure on a half disc.

    projector: core.projections.Projector of the structure. disc: HalfDisc. gain: (rings,) factors of the rings'
    amplitudes (1 if None): how strongly the images show the structure. zoom: the projector's pixel size over that of
    the images.
    """

    def __init__(
        self, projector: Projector, disc: HalfDisc, gain: torch.Tensor | None = None, zoom: float = 1.0
    ) -> None:
        self.disc, self.scale = disc, projector.padded * zoom / disc.box
        self.radius = int(np.ceil(disc.radius * self.scale)) + 1
        self.cube = middle_of(projector.transform, self.radius).to(disc.device)
        ones = torch.ones(disc.rings, device=disc.device)
        self.gain = ones if gain is None else gain.to(disc.device, torch.float32)

    def with_gain(self, gain: torch.Tensor) -> Reference:
        """The same structure shown with other strengths (rings,); its transform is shared."""
        other = object.__new__(Reference)
        other.__dict__.update(self.__dict__, gain=gain.to(self.disc.device, torch.float32))
        return other

    def at_angles(self, angles: np.ndarray) -> torch.Tensor:
        """(n, d) complex64 projections at (n, 3) rot, tilt, psi in degrees."""
        return self.at(torch.as_tensor(rotation_matrices(angles), dtype=torch.float32, device=self.disc.device))

    def at(self, matrices: torch.Tensor) -> torch.Tensor:
        """(..., d) complex64 projections at rotation matrices (..., 3, 3), a tensor: from image to density, as
        core.projections.rotation_matrices gives them."""
        shape = matrices.shape[:-2]
        plane = torch.stack([self.disc.x, self.disc.y]).float() * (self.scale / self.radius)
        positions = (matrices.reshape(-1, 3, 3)[:, :, :2] @ plane).transpose(1, 2)  # n, d, xyz
        values = F.grid_sample(self.cube, positions.reshape(1, 1, len(positions), -1, 3), align_corners=True)[0, :, 0]
        values = torch.complex(values[0], values[1]) * self.gain[self.disc.ring]
        return values.reshape(*shape, -1)


def middle_of(transform: torch.Tensor, radius: int) -> torch.Tensor:
    """(1, 2, s, s, s) real and imaginary part of the frequencies up to `radius` of a half transform (n, n, n // 2 + 1)
    whose frequency 0 lies in the middle of axes 0 and 1; s = 2 radius + 1. Beyond the transform it is zero."""
    size = transform.shape[0]
    radius_there = min(radius, size // 2 - 1)
    middle = slice(size // 2 - radius_there, size // 2 + radius_there + 1)
    half = transform[middle, middle, : radius_there + 1]
    whole = torch.cat([half[:, :, 1:].conj().flip(0, 1, 2), half], dim=2)
    beyond = radius - radius_there
    return F.pad(torch.stack([whole.real, whole.imag]), (beyond,) * 6)[None].contiguous()
