# SPDX-License-Identifier: GPL-3.0-or-later
"""The inside of a simulated tomogram: densities and labels of things that do not overlap."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

BYTES_PER_VOXEL = 40  # of memory that a simulated tomogram takes at its peak


@dataclasses.dataclass(frozen=True)
class Part:
    """Something to put into a cell. Positions are (n, 3) zyx voxels; those outside of the cell are left out.

    claimed: where nothing else may be labelled. labelled: those of them that get its label. density: function that
    gives positions (n, 3) and densities (n,), 1 being protein; it is only called when there is room.
    """

    claimed: np.ndarray
    labelled: np.ndarray
    density: typing.Callable[[], tuple[np.ndarray, np.ndarray]]


class Cell:
    """density: (z, y, x) float32, solvent 0. labels: (z, y, x) int8, 0 for solvent."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = tuple(shape)
        self.density = np.zeros(self.shape, np.float32)
        self.labels = np.zeros(self.shape, np.int8)

    def is_free(self, positions: np.ndarray) -> bool:
        """True if none of the positions (n, 3) is labelled."""
        return not self.labels.ravel()[self._flat(positions)[0]].any()

    def labelled(self, positions: np.ndarray) -> np.ndarray:
        """(...,) bool for positions (..., 3): within the cell, and labelled."""
        inside = self.inside(positions)
        result = np.zeros(inside.shape, bool)
        result[inside] = self.labels[tuple(positions[inside].T)] > 0
        return result

    def inside(self, positions: np.ndarray) -> np.ndarray:
        """(...,) bool for positions (..., 3)."""
        return np.all((positions >= 0) & (positions < self.shape), axis=-1)

    def put(self, part: Part, label: int) -> bool:
        """True if the part was put in: all of it that lies in the cell was free, and there is some."""
        labelled, _ = self._flat(part.labelled)
        if not len(labelled) or not self.is_free(part.claimed):
            return False
        positions, values = part.density()
        flat, inside = self._flat(positions)
        np.add.at(self.density.ravel(), flat, values[inside].astype(np.float32))
        self.labels.ravel()[labelled] = label
        return True

    def _flat(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flat places of those inside, and which (n,) bool these are."""
        inside = self.inside(positions)
        return np.ravel_multi_index(tuple(positions[inside].T), self.shape), inside


def put_many(cell: Cell, make: typing.Callable[[], Part | None], count: int, label: int, tries: int = 60) -> int:
    """Put `count` things into a cell. make: function without arguments that proposes a Part, or None. Returns how many
    found room; there is none when `tries` proposals, one after the other, did not fit."""
    placed = failures = 0
    while placed < count and failures < tries:
        part = make()
        fits = part is not None and cell.put(part, label)
        placed, failures = (placed + 1, 0) if fits else (placed, failures + 1)
    return placed


def ball_offsets(radius: float) -> np.ndarray:
    """(n, 3) whole offsets within `radius` px, one more on all sides for centres between voxels."""
    reach = int(np.ceil(radius)) + 1
    grid = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return grid[np.linalg.norm(grid, axis=1) <= radius + 1]


def balls(centres: np.ndarray, radius: float) -> np.ndarray:
    """(n, 3) voxels, each once, within `radius` px of any of the centres (m, 3)."""
    offsets, whole = ball_offsets(radius), np.rint(centres).astype(int)
    low = whole.min(0) + offsets.min(0)
    block = np.zeros(whole.max(0) + offsets.max(0) - low + 1, bool)
    for centre, voxel in zip(centres, whole):
        positions = voxel + offsets
        block[tuple((positions[np.square(positions - centre).sum(1) <= radius**2] - low).T)] = True
    return np.argwhere(block) + low


def blobs(centres: np.ndarray, sigma: float, mass: float) -> tuple[np.ndarray, np.ndarray]:
    """Sum of Gaussians: positions (n, 3) and densities (n,). centres: (m, 3) px. sigma: px. mass: sum of each one."""
    offsets = ball_offsets(3 * sigma)
    whole = np.rint(centres).astype(int)
    positions = (whole[:, None] + offsets).reshape(-1, 3)
    square = np.square((whole - centres)[:, None] + offsets).sum(-1)
    return positions, (mass / (2 * np.pi * sigma**2) ** 1.5 * np.exp(-square / (2 * sigma**2))).ravel()
