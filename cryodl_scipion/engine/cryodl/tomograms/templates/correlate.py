# SPDX-License-Identifier: GPL-3.0-or-later
"""Locally normalised cross-correlation of a tile with a template in many orientations, by Fourier transforms. At each
place the weighted correlation coefficient within the sphere: the local mean and width of the tomogram are those of the
voxels that the sphere covers there (Roseman 2003, Ultramicroscopy 94:225). The template is seen as the tomogram shows
it: with its missing wedge, resolution, whitening and CTF, which its factors hold."""

import typing

import numpy as np
import torch

from ...core.optics import ctf_rfft
from ...core.volumes import rfft_frequencies, wedge
from ...simulate.rotations import rotated
from .template import FINER, Template

RINGS = 48  # of the spectrum, from 0 to the corner of the cube of frequencies
EDGE = 0.15  # of the highest frequency over which the low-pass falls
MIN_POWER = 1e-4  # of the largest ring's, so that empty rings are not blown up
MICROSCOPE = dict(voltage_kv=300.0, cs_mm=2.7, amplitude_contrast=0.07)
_CTF_SIDE = 512


def volume_ring_power(volumes: typing.Iterable[torch.Tensor]) -> torch.Tensor:
    """(RINGS,) mean power of the coefficients of each ring of frequencies over some volumes (z, y, x)."""
    total, count = torch.zeros(RINGS, dtype=torch.float64), torch.zeros(RINGS, dtype=torch.float64)
    for volume in volumes:
        ring = (rfft_frequencies(volume.shape) * (RINGS / 3**0.5 * 2)).long().clamp(max=RINGS - 1).flatten()
        power = torch.fft.rfftn(volume - volume.mean()).abs().square().flatten().double().cpu()
        total += torch.bincount(ring, power / volume.numel(), RINGS)
        count += torch.bincount(ring, minlength=RINGS)
    power = total / count.clamp(min=1)
    return power.clamp(min=MIN_POWER * float(power.max()))


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
        frequency = rfft_frequencies(shape)
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
            frequency = rfft_frequencies((box,) * 3)
            factor = factor * torch.from_numpy(np.interp(frequency.numpy(), positions, self.transfer)).float()
        return factor

    @staticmethod
    def _at(rings: np.ndarray, frequency: torch.Tensor) -> torch.Tensor:
        """A figure of each ring, interpolated at frequencies."""
        middles = (np.arange(RINGS) + 0.5) * (3**0.5 / 2) / RINGS
        return torch.from_numpy(np.interp(frequency.numpy(), middles, rings)).float()


AT_ONCE = 8  # orientations that are rotated together
MIN_WIDTH = 0.5  # of the median local width: quieter positions are not blown up


class Kernels:
    """A template in orientations, filtered, with mean 0 and norm 1 under the sphere: what a tile is correlated with."""

    def __init__(self, template: Template, filters: Filters, device: torch.device) -> None:
        self.template, self.device = template, device
        self.density, self.mask = template.density.to(device), template.mask.to(device)
        self.wide = 2 * template.box  # filtered in a wider box, so that nothing wraps into the sphere
        self.factor = filters.of_template(self.wide).to(device)

    def at(self, angles: np.ndarray) -> torch.Tensor:
        """(n, b, b, b) kernels at (n, 3) rot, tilt, psi in degrees."""
        particle = rotated(self.density, angles, box=self.wide, sampling=FINER)
        seen = torch.fft.irfftn(
            torch.fft.rfftn(particle, dim=(1, 2, 3)) * self.factor, s=particle.shape[1:], dim=(1, 2, 3)
        )
        start = self.wide // 2 - self.template.box // 2
        inner = slice(start, start + self.template.box)
        seen = seen[:, inner, inner, inner]
        seen = seen - ((seen * self.mask).sum((1, 2, 3), keepdim=True) / self.mask.sum())
        return seen * self.mask / (seen.square() * self.mask).sum((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)


class SearchTile:
    """A part of the tomogram, filtered, ready to be compared with kernels. voxels: (z, y, x) tensor with box // 2
    voxels around what is kept, on the device. mask: (b, b, b) tensor. typical: median of the local widths of the
    tomogram, None to take the tile's own."""

    def __init__(self, voxels: torch.Tensor, filters: Filters, mask: torch.Tensor, typical: float | None) -> None:
        self.shape, self.box = tuple(voxels.shape), mask.shape[0]
        self.transform = torch.fft.rfftn(voxels) * filters.of_tomogram(self.shape).to(voxels.device)
        self.seen = torch.fft.irfftn(self.transform, s=self.shape)
        sphere = transform_of(mask, self.shape)
        total, weight = self._correlated(sphere, self.transform), mask.sum()
        squares = self._correlated(sphere, torch.fft.rfftn(self.seen.square()))
        width = (squares - total.square() / weight).clamp(min=0).sqrt()
        self.typical = float(width.median())
        self.inverse = 1 / width.clamp(min=max(MIN_WIDTH * (typical or self.typical), 1e-12))

    def _correlated(self, kernel: torch.Tensor, transform: torch.Tensor) -> torch.Tensor:
        found = torch.fft.irfftn(transform * kernel.conj(), s=self.shape)
        return found[tuple(slice(0, n - self.box + 1) for n in self.shape)]

    def scores(self, kernel: torch.Tensor) -> torch.Tensor:
        """Correlation coefficients at the positions that are kept: (z - b + 1, ...). kernel: its transform_of."""
        return self._correlated(kernel, self.transform).mul_(self.inverse)


def transform_of(kernel: torch.Tensor, shape: typing.Sequence[int]) -> torch.Tensor:
    """The transform of a small cube in a corner of a larger box, axis by axis: most of it would be zeros."""
    transform = torch.fft.rfft(kernel, n=shape[2], dim=2)
    transform = torch.fft.fft(transform, n=shape[1], dim=1)
    return torch.fft.fft(transform, n=shape[0], dim=0)


def best_scores(
    tiles: typing.Sequence[SearchTile], kernels: Kernels, progress: typing.Callable[[int], object] | None = None
) -> list[tuple[torch.Tensor, torch.Tensor, float]]:
    """For each tile of one shape the highest score over all orientations at each place, the number of its orientation,
    and the lowest score of all."""
    angles = kernels.template.angles
    best = [torch.full(tile.inverse.shape, -1.0, device=tile.inverse.device) for tile in tiles]
    which = [torch.zeros(b.shape, dtype=torch.int32, device=b.device) for b in best]
    lowest = [0.0 for _ in tiles]
    for start in range(0, len(angles), AT_ONCE):
        for number, kernel in enumerate(kernels.at(angles[start : start + AT_ONCE]), start):
            transform = transform_of(kernel, tiles[0].shape)
            for position, tile in enumerate(tiles):
                scores = tile.scores(transform)
                lowest[position] = min(lowest[position], float(scores.amin()))
                better = scores > best[position]
                best[position] = torch.where(better, scores, best[position])
                which[position].masked_fill_(better, number)
        if progress:
            progress(min(AT_ONCE, len(angles) - start))
    return list(zip(best, which, lowest))
