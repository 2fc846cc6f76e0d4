# SPDX-License-Identifier: GPL-3.0-or-later
"""Back-projection: the transforms of images inserted as slices into the transform of a map, and a map got from it."""

import itertools
import typing

import numpy as np
import torch
from torch.nn.functional import grid_sample, interpolate

from .fourier import from_middle
from .projections import centre_crop, padded_side, phase_ramp, rotation_matrices
from .symmetry import operations

CHUNK_BYTES = 5e7  # of the slices of images that are inserted at a time
TOGETHER = 2**15  # positions of slices that are spread at once, or those of one slice
SLAB = 8  # planes of a transform that are worked on at a time
CORNER_EDGE = 3.0  # px: width of the soft edge of the sphere that is kept of a map
FLOOR = 1e-3  # of a shell's mean weight: places with less are as unsure as if they had it, so that no noise is blown up


class Transforms:
    """Halves of the transforms of maps, being filled: 12 x count x padded² x (padded / 2 + 2) bytes. padded: side."""

    def __init__(self, padded: int, count: int = 1, device: torch.device | None = None) -> None:
        # one more column before frequency 0 along x: slices that touch it from the other side add there to what is
        # dropped
        self.padded, self.shape = padded, (padded, padded, padded // 2 + 2)
        self.values = torch.zeros((count, int(np.prod(self.shape))), dtype=torch.complex64, device=device)
        self.weights = torch.zeros(self.values.shape, device=device)

    def insert(self, position: torch.Tensor, values: torch.Tensor, weights: torch.Tensor) -> None:
        """Spread slices over the neighbours of their positions (3, n), xyz. values, weights: (count, n)."""
        below = position[0] < 0
        position = torch.where(below, -position, position)
        values = torch.where(below, values.conj(), values)
        self._scatter(position, values, weights)
        near = position[0] < 1  # their conjugates touch column 0, too
        self._scatter(-position[:, near], values[:, near].conj(), weights[:, near])

    def _scatter(self, position: torch.Tensor, values: torch.Tensor, weights: torch.Tensor) -> None:
        totals = *torch.view_as_real(self.values).unbind(-1), self.weights
        parts = values.real.contiguous(), values.imag.contiguous(), weights
        for index, share in corners(position, self.padded, self.shape[2], 1):
            for total, part in zip(totals, parts):
                for one, value in zip(total, part):  # of each map
                    one.scatter_add_(0, index, share * value)

    def sums(self, number: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums of the slices of a map, and of their weights, (padded, padded, padded // 2 + 1) tensors."""
        return self.values[number].reshape(self.shape)[:, :, 1:], self.weights[number].reshape(self.shape)[:, :, 1:]


def corners(position: torch.Tensor, padded: int, columns: int, first: int) -> typing.Iterator[typing.Any]:
    """The eight neighbours of positions (3, n), xyz, in a flat (padded, padded, columns) array whose column `first` is
    x = 0: their places (n,), and the parts of a position that they have (n,)."""
    low = position.floor()
    part, low = (position - low).float(), low.long()
    for corner in itertools.product((0, 1), repeat=3):
        share = torch.ones_like(part[0])
        for axis, step in enumerate(corner):
            share = share * (part[axis] if step else 1 - part[axis])
        x, y, z = (low[axis] + step for axis, step in enumerate(corner))
        yield ((z % padded) * padded + y % padded) * columns + x + first, share


def slices_at(transform: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """(n,) values at positions (3, n), xyz, of a half transform (padded, padded, padded // 2 + 1) whose frequency 0 is
    in the middle of the first two axes, by straight lines."""
    below, half = position[0] < 0, len(transform) // 2
    position = torch.where(below, -position, position) + position.new_tensor([[0], [half], [half]])
    around = corners(position, 2 * half, half + 1, 0)
    values: torch.Tensor = torch.stack([share * transform.reshape(-1)[index] for index, share in around]).sum(0)
    return torch.where(below, values.conj(), values)


class Slices(Transforms):
    """The transform of a map, being filled with images. box: px of images and map; padded is twice that, or 1.5 times
    a large one (0.35 GB for 256 px)."""

    def __init__(self, box: int, device: torch.device | None = None) -> None:
        super().__init__(padded_side(box), device=device)
        grid = torch.meshgrid(
            torch.fft.fftfreq(self.padded, 1 / self.padded, device=device),
            torch.arange(self.padded // 2 + 1, device=device, dtype=torch.float32),
            indexing="ij",
        )
        self.kept = (grid[0] ** 2 + grid[1] ** 2) < (self.padded // 2 - 1) ** 2
        # of the pairs of conjugates in column 0, one each; but frequency 0 is its own
        self.kept &= (grid[1] > 0) | (grid[0] >= 0)
        self.plane = torch.stack([grid[1][self.kept], grid[0][self.kept]])  # x, y
        # slices lie the denser the nearer to frequency 0: without this, each position would take after its inner
        # neighbours
        self.sparsity = self.plane.norm(dim=0).clamp(min=0.5)

    def chunk(self) -> int:
        """Images that should be added at a time."""
        return max(1, int(CHUNK_BYTES / (32 * self.plane.shape[1])))

    def add(
        self,
        images: torch.Tensor,
        angles: np.ndarray,
        shifts_yx: typing.Any,
        match: torch.Tensor | None,
        weight: torch.Tensor | None,
    ) -> None:
        """Insert (m, box, box) images at angles (m, 3) and shifts (m, 2) px.

        match, weight: (m, padded, padded // 2 + 1) on the grid of rfft2, or None for 1: factors of the slices, and what
        is to be divided by at the end: the CTF and its square."""
        device = self.weights.device
        centred = torch.fft.ifftshift(centre_crop(images.to(device), self.padded), dim=(-2, -1))
        transform = torch.fft.rfft2(centred) * phase_ramp(centred.shape[-2:], -np.asarray(shifts_yx, float), device)
        values = (transform if match is None else transform * match.to(device))[:, self.kept]
        weights = torch.ones_like(values.real) if weight is None else weight.to(device)[:, self.kept]
        positions = (
            torch.as_tensor(rotation_matrices(angles)[:, :, :2], dtype=torch.float32, device=device) @ self.plane
        )
        # small slices together: each alone, the calls take longer than the sums
        for part in torch.arange(len(values)).split(max(1, TOGETHER // self.plane.shape[1])):
            sums = ((one[part] * self.sparsity).flatten()[None] for one in (values, weights))
            self.insert(positions[part].transpose(0, 1).flatten(1), *sums)

    def finished(self, symmetry: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums of slices and of their weights, (padded, padded, padded // 2 + 1) each, with a group's symmetry."""
        group = operations(symmetry)
        return self.sums() if len(group) == 1 else symmetrised(*self.sums(), group)


def symmetrised(value: torch.Tensor, weight: torch.Tensor, group: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums over a group (s, 3, 3) of half transforms, frequency 0 first, and of their weights, between positions by
    straight lines."""
    size = value.shape[0]
    half, device = size // 2, value.device
    # frequency 0 to the middle, so that neighbours are neighbours
    source = torch.stack([torch.fft.fftshift(v, dim=(0, 1)) for v in (value.real, value.imag, weight)])[None]
    axis = torch.fft.fftfreq(size, 1 / size, device=device)
    y, x = torch.meshgrid(axis, torch.arange(half + 1, device=device, dtype=torch.float32), indexing="ij")
    total, weights = torch.zeros_like(value), torch.zeros_like(weight)
    for z, rotation in itertools.product(range(size), torch.as_tensor(group, dtype=torch.float32, device=device)):
        position = torch.einsum("ij,jyx->iyx", rotation, torch.stack([x, y, axis[z].expand_as(x)]))
        below = position[0] < 0
        position = torch.where(below, -position, position)
        grid = torch.stack([position[0] / half, *(position[1:] + half) / (size - 1)], -1) * 2 - 1
        found = grid_sample(source, grid[None, None], align_corners=True)[0, :, 0]
        total[z] += torch.complex(found[0], torch.where(below, -found[1], found[1]))
        weights[z] += found[2]
    return total, weights


def solve(value: torch.Tensor, weight: torch.Tensor, box: int, wiener: torch.Tensor | None = None) -> torch.Tensor:
    """The map of summed slices and weights, (box, box, box). The damping caused by interpolation at insertion is
    compensated. value, weight: (padded, padded, padded // 2 + 1). box: px. wiener: (box // 2 + 1,), constants added to
    the weights, in parts of the shell's mean weight; FLOOR for all if None."""
    mean = shell_means(weight, torch.ones(weight.shape[-1], device=weight.device))[: weight.shape[-1]]
    curve = torch.full((2,), FLOOR) if wiener is None else wiener.float()  # of another number of shells
    part = interpolate(curve.to(mean.device)[None, None], len(mean), mode="linear", align_corners=True)[0, 0]
    return _without_corners(map_of_sums(value, weight, box, mean * part.clamp(min=FLOOR), len(mean) - 0.5))


def map_of_sums(
    value: torch.Tensor, weight: torch.Tensor, box: int, constants: torch.Tensor, radius: float, step: int = 1
) -> torch.Tensor:
    """The map (box, box, box) of sums of slices over sums of their weights, undamped, slab by slab: with less memory
    than the sums take. value, weight: (padded, padded, padded // 2 + 1). constants: (shells,), added to the weights.
    radius: highest frequency that is kept, in points of the transform. step: points per shell."""
    padded, device = value.shape[0], value.device
    near = torch.arange(-(box // 2), box - box // 2, device=device) % padded
    rows = value.new_empty((box, padded, padded // 2 + 1))
    for part in torch.arange(padded).split(SLAB):
        frequency = _frequency(padded, part, device)
        constant = constants[(frequency / step).round().long().clamp(max=len(constants) - 1)]
        quotient = value[:, part] / (weight[:, part] + constant).clamp(min=1e-20)
        rows[:, part] = torch.fft.ifft(quotient * (frequency <= radius), dim=0)[near]
    volume = weight.new_empty((box,) * 3)
    for part in torch.arange(box).split(SLAB):
        volume[part] = torch.fft.irfft(torch.fft.ifft(rows[part], dim=1)[:, near], padded)[..., near]
    return undamped(volume, padded)


def _frequency(padded: int, rows: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Of some rows of a half transform, in points of it, (padded, rows, padded // 2 + 1)."""
    axis = torch.fft.fftfreq(padded, 1 / padded, device=device) ** 2
    return torch.sqrt(axis[:, None, None] + axis[rows][:, None] + axis[: padded // 2 + 1])


def undamped(volume: torch.Tensor, padded: int) -> torch.Tensor:
    """A map (d, d, d) without the damping that insertion into a transform of side `padded` caused."""
    undamp = 1 / torch.sinc((torch.arange(len(volume), device=volume.device) - len(volume) // 2) / padded) ** 2
    return volume * undamp * undamp[:, None] * undamp[:, None, None]


def _without_corners(volume: torch.Tensor) -> torch.Tensor:
    """A map whose corners, outside of the sphere that the box holds, are their mean, as RELION's: no particle lies
    there, and the noise is blown up."""
    beyond = from_middle(len(volume), 3, volume.device) - len(volume) / 2
    kept = 0.5 + 0.5 * torch.cos(torch.pi * (beyond / CORNER_EDGE).clamp(0, 1))
    return kept * volume + (1 - kept) * ((volume * (1 - kept)).sum() / (1 - kept).sum().clamp(min=1e-6))


def shell_means(weight: torch.Tensor, columns: torch.Tensor, step: int = 1) -> torch.Tensor:
    """(shells,) means of a half transform (padded, padded, padded // 2 + 1) over shells `step` points wide. columns:
    (padded // 2 + 1,), how often each column counts."""
    sums = torch.zeros((2, len(weight) // step + 1), dtype=torch.float64, device=weight.device)
    for part in torch.arange(len(weight)).split(SLAB):
        shell = (_frequency(len(weight), part, weight.device) / step).round().long()
        for total, values in zip(sums, (weight[:, part] * columns, columns.expand(shell.shape))):
            total += torch.bincount(shell.flatten(), values.flatten().double(), len(total))
    return (sums[0] / sums[1].clamp(min=1)).float()
