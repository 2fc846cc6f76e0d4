# SPDX-License-Identifier: GPL-3.0-or-later
"""Locally normalised cross-correlation of a tile with a template in many orientations, by Fourier transforms. At each
place the weighted correlation coefficient within the sphere: the local mean and width of the tomogram are those of the
voxels that the sphere covers there (Roseman 2003, Ultramicroscopy 94:225). The template is seen as the tomogram shows
it: with its missing wedge, resolution, whitening and CTF, which its factors hold."""

import dataclasses
import math
import typing

import numpy as np
import torch

from ...contract import DetectParticlesConfig
from ...core import healpix_grid, projections
from ...core.fourier import frequencies
from ...core.optics import ctf_rfft
from ...core.volumes import cube_crop, wedge
from ...io.structures import dark_notes, load_molecule, structure_names
from ...simulate.micrographs import particle_diameter
from ...simulate.rotations import finer, rotated
from ..subtomograms.observed import particle_sphere

FINER = 2  # times that the density is sampled as finely as the tomogram, so that turning blurs less
PART = 0.25  # of the diameter that is the usual resolution
NYQUIST = 2.5  # working px per resolution: the low-pass has room to fall
SOFT_EDGE = 2.0  # working px of the sphere's soft edge
ROTATION = 2.1  # of resolution / diameter: the usual angular step in radians; what wins a place is refined


@dataclasses.dataclass(frozen=True)
class Template:
    """A structure ready to be rotated. name: of its file. density: (FINER d, ...) tensor. mask: (b, b, b) tensor, 1 in
    the sphere, soft at its edge, b even is the box of what is compared. diameter: Å. pixel_size: Å/px it works at.
    resolution: Å. angles: (n, 3) rot, tilt, psi in degrees. step: degrees. moved: see load_molecule."""

    name: str
    density: torch.Tensor
    mask: torch.Tensor
    diameter: float
    pixel_size: float
    resolution: float
    angles: np.ndarray
    step: float
    moved: float

    @property
    def box(self) -> int:
        """px of its side."""
        return self.mask.shape[0]


def load_template(config: DetectParticlesConfig, pixel_size: float) -> tuple[Template, list[str]]:
    """The Template of a DetectParticlesConfig for tomograms of a pixel size (Å/px), and sentences for the user."""
    path = str(config.template)
    molecule, moved = load_molecule(path, 4.0)
    diameter = config.diameter or particle_diameter(molecule, 4.0)
    if diameter < 4 * pixel_size:
        raise ValueError(
            f"The template {path} is {diameter:.0f} Å wide, less than 4 px of the tomograms ({pixel_size:g} Å/px). "
            "It cannot be distinguished from noise. Check "
            f"{'the diameter (--diameter)' if config.diameter else 'the pixel sizes in the headers'}, or use finer "
            "tomograms."
        )
    resolution = config.resolution or max(PART * diameter, NYQUIST * pixel_size)
    if resolution < 2 * pixel_size:
        raise ValueError(
            f"Resolution (--resolution) is {resolution:g} Å; the Nyquist limit of tomograms of {pixel_size:g} Å/px "
            f"is {2 * pixel_size:g} Å. Give a lower resolution."
        )
    working = max(pixel_size, resolution / NYQUIST)
    box = 2 * math.ceil((diameter / working + 2 * SOFT_EDGE + 2) / 2)
    step = config.angular_step or min(60.0, math.degrees(ROTATION * resolution / diameter))
    template = Template(
        structure_names([str(path)])[0],
        structure_density(path, working, box),
        particle_sphere(box, diameter / working + SOFT_EDGE, edge=SOFT_EDGE),
        diameter,
        working,
        resolution,
        orientations(step, config.symmetry),
        step,
        moved,
    )
    return template, dark_notes(path)


def structure_density(path: str, pixel_size: float, box: int) -> torch.Tensor:
    """(FINER d, ...) density of a structure to be turned at a pixel size (Å/px), d at least the box."""
    density, _ = load_molecule(path, pixel_size)
    return finer(cube_crop(density, max(box, density.shape[-1])), FINER)


def orientations(step: float, symmetry: str) -> np.ndarray:
    """(n, 3) rot, tilt, psi in degrees of all orientations, about a step apart, those that a symmetry leaves. Without
    one the second half are those of the first after half a turn of the particle about the tilt axis."""
    positions, rotations = healpix_grid.directions(step, symmetry), healpix_grid.in_plane_angles(step)
    first = positions[: len(positions) // (2 if symmetry == "C1" else 1)]
    angles = np.concatenate([np.column_stack([first, np.full(len(first), psi)]) for psi in rotations])
    turned = projections.euler_angles(projections.rotation_matrices(angles) * [-1, 1, -1])
    return np.concatenate([angles, turned]) if symmetry == "C1" else angles


RINGS = 48  # of the spectrum, from 0 to the corner of the cube of frequencies
EDGE = 0.15  # of the highest frequency over which the low-pass falls
MIN_POWER = 1e-4  # of the largest ring's, so that empty rings are not blown up
MICROSCOPE = dict(voltage_kv=300.0, cs_mm=2.7, amplitude_contrast=0.07)
_CTF_SIDE = 512
USUAL = np.linspace(20000, 50000, 7)  # Å: defoci of tilt series; their mean CTF stands for one that is not known


def volume_ring_power(volumes: typing.Iterable[torch.Tensor]) -> torch.Tensor:
    """(RINGS,) mean power of the coefficients of each ring of frequencies over some volumes (z, y, x)."""
    total, count = torch.zeros(RINGS, dtype=torch.float64), torch.zeros(RINGS, dtype=torch.float64)
    for volume in volumes:
        ring = (frequencies(volume.shape) * (RINGS / 3**0.5 * 2)).long().clamp(max=RINGS - 1).flatten()
        power = torch.fft.rfftn(volume - volume.mean()).abs().square().flatten().double().cpu()
        total += torch.bincount(ring, power / volume.numel(), RINGS)
        count += torch.bincount(ring, minlength=RINGS)
    power = total / count.clamp(min=1)
    return power.clamp(min=MIN_POWER * float(power.max()))


class Filters:
    """Factors on the grid of rfftn. power: (RINGS,) of the tomogram, by which it is whitened. resolution: Å.
    pixel_size: Å/px. tilts: least and largest, degrees. defocus: Å, 0 for no CTF, None for the mean of USUAL. flipped:
    the tomogram's phases were flipped."""

    def __init__(
        self,
        power: torch.Tensor,
        resolution: float,
        pixel_size: float,
        tilts: tuple[float, float],
        defocus: float | None = 0.0,
        flipped: bool = False,
    ) -> None:
        self.power, self.highest, self.pixel_size, self.tilts = power, pixel_size / resolution, pixel_size, tilts
        self.transfer = None if defocus == 0 else self._ctf(USUAL if defocus is None else [defocus], flipped)

    def _ctf(self, defoci: typing.Iterable[float], flipped: bool) -> np.ndarray:
        """(_CTF_SIDE // 2 + 1,) of frequencies from 0 to 0.5 cycles per voxel."""
        side = (_CTF_SIDE,) * 2
        rows = np.array([ctf_rfft(side, self.pixel_size, one, one, 0.0, **MICROSCOPE)[0].numpy() for one in defoci])
        return np.mean(np.abs(rows) if flipped else rows, axis=0)

    def of_tomogram(self, shape: typing.Sequence[int]) -> torch.Tensor:
        """Factors for a part of the tomogram of a shape: whitening, up to the resolution, without the mean."""
        frequency = frequencies(shape)
        factor = ((self.highest * (1 + EDGE) - frequency) / (2 * EDGE * self.highest)).clamp(0, 1)
        middles = (np.arange(RINGS) + 0.5) * (3**0.5 / 2) / RINGS
        factor = factor / torch.from_numpy(np.interp(frequency.numpy(), middles, self.power.sqrt().numpy())).float()
        factor[0, 0, 0] = 0
        return factor

    def of_template(self, box: int) -> torch.Tensor:
        """Factors for the template in a cubic box: those of the tomogram, the missing wedge, and the CTF."""
        factor = self.of_tomogram((box,) * 3) * wedge(box, *self.tilts)
        if self.transfer is not None:
            positions, frequency = np.linspace(0, 0.5, len(self.transfer)), frequencies((box,) * 3)
            factor = factor * torch.from_numpy(np.interp(frequency.numpy(), positions, self.transfer)).float()
        return factor


AT_ONCE = 8  # orientations that are rotated together
MIN_WIDTH = 0.5  # of the median local width: quieter positions are not blown up


class Kernels:
    """A template in orientations, filtered, with mean 0 and norm 1 under the sphere: what a tile is correlated with."""

    def __init__(self, template: Template, filters: Filters, device: torch.device) -> None:
        self.template, self.device = template, device
        self.density, self.mask = template.density.to(device), template.mask.to(device)
        self.wide = 2 * template.box  # filtered in a wider box, so that nothing wraps into the sphere
        self.turned = min(self.wide, self.density.shape[-1] // FINER)  # what leaves this box lies beyond the sphere
        self.factor = filters.of_template(self.wide).to(device)

    def at(self, angles: np.ndarray) -> torch.Tensor:
        """(n, b, b, b) kernels at (n, 3) rot, tilt, psi in degrees."""
        particle = cube_crop(rotated(self.density, angles, box=self.turned, sampling=FINER), self.wide)
        seen = torch.fft.irfftn(
            torch.fft.rfftn(particle, dim=(1, 2, 3)) * self.factor, s=particle.shape[1:], dim=(1, 2, 3)
        )
        seen = cube_crop(seen, self.template.box)
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
    return torch.fft.fft(torch.fft.fft(torch.fft.rfft(kernel, n=shape[2], dim=2), n=shape[1], dim=1), n=shape[0], dim=0)


def best_scores(
    tile: SearchTile, kernels: Kernels, progress: typing.Callable[[int], object]
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """The highest score over all orientations at each place, the number of its orientation, and the lowest of all."""
    angles, lowest = kernels.template.angles, 0.0
    best = torch.full(tile.inverse.shape, -1.0, device=tile.inverse.device)
    which = torch.zeros_like(best, dtype=torch.int16 if len(angles) < 2**15 else torch.int32)
    for start in range(0, len(angles), AT_ONCE):
        for number, kernel in enumerate(kernels.at(angles[start : start + AT_ONCE]), start):
            scores = tile.scores(transform_of(kernel, tile.shape))
            lowest, better = min(lowest, float(scores.amin())), scores > best
            best = torch.where(better, scores, best)
            which.masked_fill_(better, number)
        progress(min(AT_ONCE, len(angles) - start))
    return best, which, lowest


LOST = 1e-3  # of the kernels' power that patterns may lack: their scores differ by .002 from those of the kernels
TOGETHER = 1024  # places that are compared at a time
FEW, MANY = 600, 20_000  # kernels: of fewer patterns do not pay, more are not held
WIDE = 2500  # voxels of a kernel: the patterns of larger ones take minutes to find


class Patterns:
    """Kernels of several structures in all orientations as sums of a few patterns, which a tile is correlated with.
    Within the sphere and the resolution there is room for some hundred. As half a turn about the tilt axis keeps the
    wedge, half of them are the same after it and make the means of two such kernels, the rest the differences."""

    def __init__(self, kernels: typing.Sequence[Kernels]) -> None:
        self.inside = torch.nonzero(kernels[0].mask)
        self.work = sum(len(one.template.angles) for one in kernels)
        halves = list(zip(*(_means_and_changes(one, self.inside) for one in kernels)))
        every = [torch.linalg.eigh(sum(one.T @ one for one in half)) for half in halves]
        powers = torch.cat([one for one, _ in every]).clamp(min=0).sort().values
        least = powers[powers.cumsum(0) > LOST * powers.sum()][0]
        self.patterns = [patterns[:, one >= least] for one, patterns in every]  # orthonormal
        self.weights = list(zip(*([one @ few for one in half] for half, few in zip(halves, self.patterns))))

    def best_scores(
        self, tile: SearchTile, sides: typing.Sequence[int], progress: typing.Callable[[int], object]
    ) -> list[tuple[torch.Tensor, torch.Tensor, float]]:
        """What `best_scores` says of each structure, at the first places of a tile along each axis, and the lowest
        score of the first structure. sides: how many (3,)."""
        device, strides, lowest = tile.seen.device, (tile.seen[0].numel(), tile.seen.shape[2], 1), 0.0
        near = (self.inside * torch.tensor(strides, device=device)).sum(1)
        axes = [torch.arange(side, device=device) * stride for side, stride in zip(sides, strides)]
        places = (axes[0][:, None, None] + axes[1][:, None] + axes[2]).flatten()
        inverse = tile.inverse[tuple(map(slice, sides))].flatten()
        best = torch.empty((len(self.weights), len(places)), device=device)
        which = torch.empty_like(best, dtype=torch.int32)
        for start in range(0, len(places), TOGETHER):
            part, end = slice(start, start + TOGETHER), min(start + TOGETHER, len(places))
            seen = tile.seen.take(places[part, None] + near)
            means, changes = ((seen @ patterns) * inverse[part, None] for patterns in self.patterns)
            for number, (mean, change) in enumerate(self.weights):
                scores, difference = means @ mean.T, changes @ change.T
                best[number, part], pair = (scores + difference.abs()).max(1)
                which[number, part] = (pair + len(mean) * (difference.gather(1, pair[:, None])[:, 0] < 0)).int()
                lowest = lowest if number else min(lowest, float((scores - difference.abs()).amin()))
            progress(self.work * end // len(places) - self.work * start // len(places))
        return [(one.view(*sides), other.view(*sides), lowest) for one, other in zip(best, which)]


def _means_and_changes(kernels: Kernels, inside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, v) means and half differences of the kernels of pairs of orientations, where these are in two halves as
    without symmetry: the second kernel is the first one turned. Else each is its own pair. inside: (v, 3) voxels."""
    angles, (z, y, x) = kernels.template.angles, inside.T
    half, matrices = len(angles) // 2, projections.rotation_matrices(angles)
    angles, sign = (angles[:half], -1) if np.allclose(matrices[-half:], matrices[:half] * [-1, 1, -1]) else (angles, 1)
    both = (slice(None), torch.stack([z, sign * z]), y, torch.stack([x, sign * x]))
    parts = np.split(angles, range(AT_ONCE, len(angles), AT_ONCE))
    first, second = torch.cat([kernels.at(part)[both] for part in parts]).unbind(1)
    return (first + second) / 2, (first - second) / 2
