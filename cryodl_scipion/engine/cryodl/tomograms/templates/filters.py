# SPDX-License-Identifier: GPL-3.0-or-later
"""Fourier filters of tomogram and template: whitening, resolution, missing wedge, CTF."""

import typing

import numpy as np
import torch

from ...core.optics import ctf_rfft
from ...core.volumes import wedge

RINGS = 48  # of the spectrum, from 0 to the corner of the cube of frequencies
EDGE = 0.15  # of the highest frequency over which the low-pass falls
MIN_POWER = 1e-4  # of the largest ring's, so that empty rings are not blown up
MICROSCOPE = dict(voltage_kv=300.0, cs_mm=2.7, amplitude_contrast=0.07)
_CTF_SIDE = 512


def tile_frequencies(shape: typing.Sequence[int]) -> torch.Tensor:
    """(z, y, x // 2 + 1) cycles per voxel on the grid of rfftn."""
    z, y = (torch.fft.fftfreq(n) for n in shape[:2])
    return (z[:, None, None] ** 2 + y[:, None] ** 2 + torch.fft.rfftfreq(shape[2]) ** 2).sqrt()


def volume_ring_power(volumes: typing.Iterable[torch.Tensor]) -> torch.Tensor:
    """(RINGS,) mean power of the coefficients of each ring of frequencies over some volumes (z, y, x)."""
    total, count = torch.zeros(RINGS, dtype=torch.float64), torch.zeros(RINGS, dtype=torch.float64)
    for volume in volumes:
        ring = _ring(tile_frequencies(volume.shape)).flatten()
        power = torch.fft.rfftn(volume - volume.mean()).abs().square().flatten().double().cpu()
        total += torch.bincount(ring, power / volume.numel(), RINGS)
        count += torch.bincount(ring, minlength=RINGS)
    power = total / count.clamp(min=1)
    return power.clamp(min=MIN_POWER * float(power.max()))


def _ring(frequency: torch.Tensor) -> torch.Tensor:
    return (frequency * (RINGS / 3**0.5 * 2)).long().clamp(max=RINGS - 1)


class Filters:
    """Factors on the grid of rfftn. power: (RINGS,) of the tomogram, or None for no whitening. resolution: Å.
    pixel_size: Å/px. tilts: least and largest, degrees. defocus: Å, 0 for no CTF. flipped: the tomogram's phases were
    flipped."""

    def __init__(
        self,
        power: torch.Tensor | None,
        resolution: float,
        pixel_size: float,
        tilts: tuple[float, float],
        defocus: float = 0.0,
        flipped: bool = False,
    ) -> None:
        self.power, self.highest, self.pixel_size, self.tilts = power, pixel_size / resolution, pixel_size, tilts
        self.transfer = self._ctf(defocus, flipped) if defocus else None

    def _ctf(self, defocus: float, flipped: bool) -> np.ndarray:
        """(_CTF_SIDE // 2 + 1,) of frequencies from 0 to 0.5 cycles per voxel."""
        row = ctf_rfft((_CTF_SIDE, _CTF_SIDE), self.pixel_size, defocus, defocus, 0.0, **MICROSCOPE)[0].numpy()
        return np.abs(row) if flipped else row

    def of_tomogram(self, shape: typing.Sequence[int]) -> torch.Tensor:
        """Factors for a part of the tomogram of a shape: whitening, up to the resolution, without the mean."""
        frequency = tile_frequencies(shape)
        factor = ((self.highest * (1 + EDGE) - frequency) / (2 * EDGE * self.highest)).clamp(0, 1)
        if self.power is not None:
            factor = factor / self._at(self.power.sqrt().numpy(), frequency)
        factor[0, 0, 0] = 0
        return factor

    def of_template(self, box: int) -> torch.Tensor:
        """Factors for the template in a cubic box: those of the tomogram, the missing wedge, and the CTF."""
        factor = self.of_tomogram((box,) * 3) * wedge(box, *self.tilts)
        if self.transfer is not None:
            positions = np.linspace(0, 0.5, len(self.transfer))
            frequency = tile_frequencies((box,) * 3)
            factor = factor * torch.from_numpy(np.interp(frequency.numpy(), positions, self.transfer)).float()
        return factor

    @staticmethod
    def _at(rings: np.ndarray, frequency: torch.Tensor) -> torch.Tensor:
        """A figure of each ring, interpolated at frequencies."""
        middles = (np.arange(RINGS) + 0.5) * (3**0.5 / 2) / RINGS
        return torch.from_numpy(np.interp(frequency.numpy(), middles, rings)).float()
