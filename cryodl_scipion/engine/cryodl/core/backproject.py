# SPDX-License-Identifier: GPL-3.0-or-later
"""Back-projection: the transforms of images inserted as slices into the transform of a map, and a map got from it."""

import itertools
import typing

import numpy as np
import torch
from torch.nn.functional import grid_sample

from .fourier import from_middle, rings
from .projections import centre_crop, padded_side, phase_ramp, rotation_matrices
from .symmetry import operations

CHUNK_BYTES = 5e7  # of the slices of images that are inserted at a time
TOGETHER = 2**15  # positions of slices that are spread at once, or those of one slice
CORNER_EDGE = 3.0  # px: width of the soft edge of the sphere that is kept of a map
FLOOR = 1e-3  # of a shell's mean weight: places with less are as unsure as if they had it, so that no noise is blown up


class Slices:
    """The transform of a map, being filled. box: px of images and map. Memory: 12 bytes x padded² x (padded / 2 + 2),
    padded being twice the box, or 1.5 times a large one (0.35 GB for 256 px)."""

    def __init__(self, box: int, device: torch.device | None = None) -> None:
        self.box, self.padded = box, padded_side(box)
        # one more column before frequency 0 along x: slices that touch it from the other side add there to what is
        # dropped
        self.shape = (self.padded, self.padded, self.padded // 2 + 2)
        self.real, self.imag, self.weight = (torch.zeros(int(np.prod(self.shape)), device=device) for _ in range(3))
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
        device = self.real.device
        centred = torch.fft.ifftshift(centre_crop(images.to(device), self.padded), dim=(-2, -1))
        transform = torch.fft.rfft2(centred) * phase_ramp(centred.shape[-2:], -np.asarray(shifts_yx, float), device)
        values = (transform if match is None else transform * match.to(device))[:, self.kept]
        weights = torch.ones_like(values.real) if weight is None else weight.to(device)[:, self.kept]
        matrices = torch.as_tensor(rotation_matrices(angles), dtype=torch.float32, device=device)
        positions = matrices[:, :, :2] @ self.plane  # m, xyz, d
        # small slices together: each alone, the calls take longer than the sums
        step = max(1, TOGETHER // self.plane.shape[1])
        parts = (part.split(step) for part in (positions, values * self.sparsity, weights * self.sparsity))
        for position, value, one in zip(*parts):
            self._insert(position.transpose(0, 1).flatten(1), value.flatten(), one.flatten())

    def _insert(self, position: torch.Tensor, value: torch.Tensor, weight: torch.Tensor) -> None:
        """Spread slices over the neighbours of their positions (3, n), xyz."""
        below = position[0] < 0
        position, value = torch.where(below, -position, position), torch.where(below, value.conj(), value)
        self._scatter(position, value, weight)
        near = position[0] < 1  # their conjugates touch column 0, too
        self._scatter(-position[:, near], value[near].conj(), weight[near])

    def _scatter(self, position: torch.Tensor, value: torch.Tensor, weight: torch.Tensor) -> None:
        part, low = position - position.floor(), position.floor().long()
        for corner in itertools.product((0, 1), repeat=3):
            corner_weight = torch.ones_like(weight)
            for axis, step in enumerate(corner):
                corner_weight = corner_weight * (part[axis] if step else 1 - part[axis])
            x, y, z = (low[axis] + step for axis, step in enumerate(corner))
            index = ((z % self.padded) * self.padded + y % self.padded) * self.shape[2] + x + 1
            self.real.scatter_add_(0, index, corner_weight * value.real)
            self.imag.scatter_add_(0, index, corner_weight * value.imag)
            self.weight.scatter_add_(0, index, corner_weight * weight)

    def finished(self, symmetry: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums of the slices and of their weights, (padded, padded, padded // 2 + 1) tensors, with a point group's
        symmetry."""
        value = torch.complex(self.real.reshape(self.shape)[:, :, 1:], self.imag.reshape(self.shape)[:, :, 1:])
        weight, group = self.weight.reshape(self.shape)[:, :, 1:], operations(symmetry)
        return (value, weight) if len(group) == 1 else symmetrised(value, weight, group)


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
        grid = torch.stack(
            [
                position[0] / half * 2 - 1,
                (position[1] + half) / (size - 1) * 2 - 1,
                (position[2] + half) / (size - 1) * 2 - 1,
            ],
            -1,
        )
        found = grid_sample(source, grid[None, None], align_corners=True)[0, :, 0]
        total[z] += torch.complex(found[0], torch.where(below, -found[1], found[1]))
        weights[z] += found[2]
    return total, weights


def solve(value: torch.Tensor, weight: torch.Tensor, box: int, wiener: torch.Tensor | None = None) -> torch.Tensor:
    """The map of summed slices and weights, (box, box, box). The damping caused by interpolation at insertion is
    compensated. value, weight: (padded, padded, padded // 2 + 1). box: px. wiener: (box // 2 + 1,), constants added to
    the weights, in parts of the shell's mean weight; FLOOR for all if None."""
    padded, device = value.shape[0], value.device
    shell = rings((padded,) * 3, device)
    inside = shell <= padded // 2
    mean = _shell_means(weight, shell, inside)
    part = torch.full_like(mean, FLOOR)
    if wiener is not None:  # over the same frequencies, with another number of points
        curve = wiener.to(device)[None, None].float()
        part = torch.nn.functional.interpolate(curve, len(mean), mode="linear", align_corners=True)[0, 0]
    constant = (mean * part.clamp(min=FLOOR))[shell.clamp(max=len(mean) - 1)]
    transform = torch.where(inside, value / (weight + constant).clamp(min=1e-20), torch.zeros((), device=device))
    volume, start = torch.fft.fftshift(torch.fft.irfftn(transform, s=(padded,) * 3)), padded // 2 - box // 2
    volume = volume[start : start + box, start : start + box, start : start + box]
    return _without_corners(undamped(volume, padded))


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


def _shell_means(values: torch.Tensor, shell: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    count = shell.shape[0] // 2 + 1
    total = values.new_zeros(count, dtype=torch.float64).index_add(0, shell[inside], values[inside].double())
    return (total / torch.bincount(shell[inside], minlength=count)).float()
