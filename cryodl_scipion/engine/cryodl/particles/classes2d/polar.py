# SPDX-License-Identifier: GPL-3.0-or-later
"""Images on rings of Fourier space: exact samples, angular harmonics, shifts and rotations.

The contrast transfer function at the samples of a polar grid."""

import dataclasses
import functools
import math
import typing

import numpy as np
import torch
from scipy.special import jv

from ...core.fourier import from_middle
from ...core.optics import Optics, optics_values, wavelength
from ...io.particle_sets import treated_ctf


@dataclasses.dataclass(frozen=True)
class PolarGrid:
    """Rings of Fourier space on which images of one box are compared.

    box: side of the images, px. rings: number of rings; ring r (from 1) has r waves per box. half: samples on half a
    ring; the other half of a real image's ring is its conjugate. mask_px: radius of the circle outside of which an
    image is not looked at, px; its edge is two pixels wide."""

    box: int
    rings: int
    half: int
    mask_px: float

    @property
    def orders(self) -> int:
        """Number of angular orders, 0 and above, that are kept."""
        return self.half - self.half // 4

    @functools.cached_property
    def theta(self) -> torch.Tensor:
        """(half,) angles of the samples, radians from the x axis (columns) towards the y axis (rows)."""
        return torch.arange(self.half) * (math.pi / self.half)

    @functools.cached_property
    def radii(self) -> torch.Tensor:
        """(rings,) float waves per box."""
        return torch.arange(1, self.rings + 1).float()

    @functools.cached_property
    def frequencies_yx(self) -> torch.Tensor:
        """(rings, half, 2) cycles per px along y and x."""
        return self.radii[:, None, None] / self.box * torch.stack([self.theta.sin(), self.theta.cos()], -1)

    @functools.cached_property
    def weights(self) -> torch.Tensor:
        """(rings,) number of independent Fourier coefficients of the whole plane that each ring stands for."""
        return 2 * math.pi * self.radii

    @functools.cached_property
    def noise_share(self) -> torch.Tensor:
        """(rings, orders) part of the power of white noise within the mask that each order has of its ring; with the
        orders below 0 they sum to 1. Lommel's integral of the squared Bessel function over the mask's radius."""
        at, order = 2 * math.pi * self.radii[:, None].numpy() * self.mask_px / self.box, np.arange(self.orders)
        power = jv(order, at) ** 2 - jv(order - 1, at) * jv(order + 1, at)
        return torch.from_numpy(power / (2 * power.sum(1) - power[:, 0])[:, None]).float()

    @functools.cached_property
    def mask(self) -> torch.Tensor:
        """(box, box) float: 1 in the circle, 0 outside of it."""
        return (0.5 + (self.mask_px - from_middle(self.box)) / 2).clamp(0, 1)

    @functools.cached_property
    def _positions(self) -> torch.Tensor:
        return self.mask.flatten().nonzero()[:, 0]

    @functools.cached_property
    def _sampling(self) -> torch.Tensor:
        """(pixels, 2 * rings * half) matrix of the exact Fourier transform at the samples, origin at box // 2."""
        yx = torch.stack([self._positions // self.box, self._positions % self.box], -1).double() - self.box // 2
        phase = -2 * math.pi * yx @ self.frequencies_yx.double().reshape(-1, 2).T
        return (torch.cat([phase.cos(), phase.sin()], 1) * self.mask.flatten()[self._positions, None].double()).float()

    def sample(self, images: torch.Tensor) -> torch.Tensor:
        """(n, rings, half) complex Fourier samples of (n, box, box) images within the mask."""
        flat = images.reshape(len(images), -1)[:, self._positions.to(images.device)]
        both = flat @ _to(self, "_sampling", images.device)
        return torch.complex(*both.reshape(len(images), 2, self.rings, self.half).unbind(1))

    @functools.cached_property
    def _harmonics(self) -> torch.Tensor:
        """(half, orders) complex: exp(-i m theta) / half."""
        phase = -self.theta[:, None].double() * torch.arange(self.orders)
        return torch.polar(torch.full_like(phase, 1 / self.half), phase).to(torch.complex64)

    def harmonics(self, samples: torch.Tensor) -> torch.Tensor:
        """(..., rings, orders) angular Fourier coefficients a_m of (..., rings, half) samples.

        Of a real image a_-m is (-1)^m times the conjugate of a_m, so that orders 0 and above tell all. Rotating the
        image by phi (from x towards y) multiplies a_m by exp(-i m phi)."""
        matrix = _to(self, "_harmonics", samples.device)
        even = torch.view_as_complex(_times(samples.real, matrix[:, 0::2]))
        odd = torch.view_as_complex(_times(samples.imag, matrix[:, 1::2])) * 1j
        result = even.new_empty((*samples.shape[:-1], self.orders))
        result[..., 0::2], result[..., 1::2] = even, odd
        return result

    def samples_of(self, harmonics: torch.Tensor) -> torch.Tensor:
        """(..., rings, half) samples of (..., rings, orders) angular coefficients: the inverse of `harmonics`."""
        matrix = _to(self, "_harmonics", harmonics.device).conj().T * self.half
        factor = torch.full((self.orders,), 2.0, device=harmonics.device)
        factor[0] = 1.0
        scaled = harmonics * factor[: harmonics.shape[-1]]
        even = (scaled[..., 0::2] @ matrix[: harmonics.shape[-1]][0::2]).real
        return torch.complex(even, (scaled[..., 1::2] @ matrix[: harmonics.shape[-1]][1::2]).imag)

    def shift_phases(self, shifts_yx: torch.Tensor) -> torch.Tensor:
        """(n, rings, half) factors that move images by (n, 2) px."""
        phase = -2 * math.pi * torch.einsum("rhd,nd->nrh", self.frequencies_yx.to(shifts_yx.device), shifts_yx.float())
        return torch.polar(torch.ones_like(phase), phase)

    def rotation(self, phi: torch.Tensor) -> torch.Tensor:
        """(n, 1, orders) factors that rotate coefficients by (n,) radians, from x towards y."""
        phase = -phi[:, None, None] * torch.arange(self.orders, device=phi.device)
        return torch.polar(torch.ones_like(phase), phase)


def polar_ring_power(harmonics: torch.Tensor) -> torch.Tensor:
    """(..., rings) mean over the ring of the squared modulus, of (..., rings, orders) coefficients."""
    power = harmonics.real.square() + harmonics.imag.square()
    return 2 * power.sum(-1) - power[..., 0]


def rotated_yx(shifts_yx: torch.Tensor, phi: torch.Tensor) -> torch.Tensor:
    """(n, 2) shifts rotated by (n,) radians, from x towards y."""
    y, x = shifts_yx.unbind(-1)
    return torch.stack([x * phi.sin() + y * phi.cos(), x * phi.cos() - y * phi.sin()], -1)


def _times(real: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    return (real @ torch.view_as_real(matrix).flatten(1)).reshape(*real.shape[:-1], -1, 2)


@functools.lru_cache(maxsize=4)  # two of them for each of two grids
def _to(grid: PolarGrid, name: str, device: torch.device) -> torch.Tensor:
    """A constant of the grid on a device, copied there once."""
    return getattr(grid, name).to(device)


def polar_ctf(
    grid: PolarGrid, optics: typing.Sequence[Optics], width: float, state: str, device: torch.device
) -> torch.Tensor:
    """CTF of particles at the samples of a grid, as `ctf_of_optics` gives it on the grid of an FFT, (n, rings, half).
    width: side of the box, Å. state: what was done to the images with their CTF, see ParticleSet.ctf_state."""
    columns = torch.as_tensor(optics_values(optics), dtype=torch.float64, device=device)[..., None, None]
    u, v, angle, voltage, cs, amplitude, phase, b_factor, scale = columns.unbind(1)
    squared = (grid.radii.to(device).double() / width).square()[:, None]
    defocus = (u + v) / 2 + (u - v) / 2 * (2 * (grid.theta.to(device).double() - torch.deg2rad(angle))).cos()
    length = wavelength(voltage)
    chi = math.pi * length * squared * (defocus - 5e6 * cs * length.square() * squared)
    envelope = scale * (-b_factor / 4 * squared).exp()
    return treated_ctf((envelope * (chi + amplitude.asin() + torch.deg2rad(phase)).sin()).float(), state)
