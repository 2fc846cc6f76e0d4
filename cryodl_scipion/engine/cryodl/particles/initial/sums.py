# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums of weighted slices in a small transform, and the map that they make: the transpose of likelihood.Reference."""

from __future__ import annotations

import itertools
import typing

import torch

if typing.TYPE_CHECKING:
    from ...likelihood.reference import HalfDisc

OVERSAMPLING = 2  # places of the transform for each frequency of the box


class SliceSums:
    """Slices on a HalfDisc inserted into the transform of a cube of `side` voxels over the same width.

    table: ((2 side)³, 3) real and imaginary parts and weights, frequency 0 first.
    """

    def __init__(self, disc: HalfDisc, side: int) -> None:
        self.disc, self.side, self.padded = disc, side, OVERSAMPLING * side
        self.table = torch.zeros(self.padded**3, 3, device=disc.device)
        self.plane = torch.stack([disc.x, disc.y]).float() * OVERSAMPLING

    def add_faded(self, earlier: SliceSums, kept: float) -> None:
        """Add a part of earlier sums."""
        self.table += kept * earlier.table

    def add(self, matrices: torch.Tensor, values: torch.Tensor, weights: torch.Tensor) -> None:
        """Insert slices (n, d), and their weights (n, d), at rotation matrices (n, 3, 3) from image to density."""
        position = (matrices[:, :, :2] @ self.plane).transpose(0, 1).reshape(3, -1)
        values, weights = values.reshape(-1), weights.reshape(-1)
        low = position.floor()
        part, low = position - low, low.long()
        table = torch.stack([values.real, values.imag, weights], 1)
        for corner in itertools.product((0, 1), repeat=3):
            share = torch.ones_like(weights)
            index = torch.zeros_like(low[0])
            for axis in (2, 1, 0):  # zyx
                share = share * (part[axis] if corner[axis] else 1 - part[axis])
                index = index * self.padded + (low[axis] + corner[axis]) % self.padded
            self.table.index_add_(0, index, table * share[:, None])

    def map(self, constant: torch.Tensor) -> torch.Tensor:
        """The (side, side, side) density. constant: (rings,) added to the weights of each shell, beyond the last one
        nothing is kept."""
        shape = (self.padded,) * 3
        value = torch.complex(self.table[:, 0], self.table[:, 1]).reshape(shape)
        weight = self.table[:, 2].reshape(shape)
        value = value + value.flip(0, 1, 2).roll((1, 1, 1), (0, 1, 2)).conj()
        weight = weight + weight.flip(0, 1, 2).roll((1, 1, 1), (0, 1, 2))
        axis = torch.fft.fftfreq(self.padded, 1 / self.padded, device=value.device) / OVERSAMPLING
        radius = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).sqrt()
        shell = radius.round().long()
        known = constant.to(value.device)[shell.clamp(max=len(constant) - 1)]
        kept = radius <= self.disc.radius + 0.5
        transform = torch.where(kept, value / (weight + known).clamp(min=1e-20), torch.zeros_like(value))
        density = torch.fft.fftshift(torch.fft.ifftn(transform).real)
        start = self.padded // 2 - self.side // 2
        inside = slice(start, start + self.side)
        undamp = 1 / torch.sinc((torch.arange(self.side, device=value.device) - self.side // 2) / self.padded) ** 2
        density = density[inside, inside, inside] * undamp * undamp[:, None] * undamp[:, None, None]
        return density
