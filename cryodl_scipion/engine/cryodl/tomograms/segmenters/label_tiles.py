# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiles of label volumes to learn from: those that somebody annotated, or some of a volume that is annotated
throughout.
"""

from __future__ import annotations

import typing

import numpy as np
from scipy.ndimage import find_objects
from scipy.ndimage import label as label_components

from ...contract import UNANNOTATED
from ..annotations.label_volumes import MAX_UNANNOTATED, MIN_PART, PLENTY, Position

if typing.TYPE_CHECKING:
    from ..annotations.label_volumes import LabelVolume

CELLS = 8  # for each tile side: how finely annotated areas are told apart
MAX_AROUND = 12  # tiles around voxels of a feature, in a slice that is labelled throughout
LARGER = 1.5  # sides up to which an annotated area is one tile


def find_tiles(
    volume: LabelVolume, number: int, label: int, size: int, wanted: int, rng: np.random.Generator
) -> tuple[list[Position], list[Position], set[int]]:
    """Positions with the feature and without it, two lists of annotations.label_volumes.Position; and the values seen,
    a set without UNANNOTATED.

    Every slice is looked at, in random order, until there are several times as many tiles of both kinds as wanted:
    tiles that were annotated one by one are all found. volume: LabelVolume. number: of the volume, for Position. size:
    of a tile, px. wanted: tiles of each kind. rng: numpy Generator.
    """
    found, seen = (list[Position](), list[Position]()), set[int]()
    for z in rng.permutation(volume.shape[0]):
        if min(len(positions) for positions in found) >= PLENTY * wanted:
            break
        labels = volume.labels((z, z + 1))[0]
        labelled = labels != UNANNOTATED
        seen.update(np.unique(labels[labelled]).tolist())
        corners = _corners(labelled, size, rng)
        if labelled.all():  # somebody labelled all of it: a grid alone would leave most of a rare feature out
            corners += [(corner, False) for corner in _around(labels == label, size, rng)]
        for corner, small in dict.fromkeys(corners):
            feature, labelled, other = _parts(labels, corner, size, label)
            if feature > 0 and (small or feature >= MIN_PART):
                found[0].append(Position(number, int(z), corner))
            elif feature == 0 and labelled > 0 and (small or labelled >= MAX_UNANNOTATED):
                found[1].append(Position(number, int(z), corner, bool(other >= MIN_PART)))
    return (*found, seen)


def _corners(labelled: np.ndarray, size: int, rng: np.random.Generator) -> typing.Any:
    """Corners (y, x) of tiles that cover what is annotated in a slice, and whether each is an area of its own.

    labelled: (h, w) bool. A corner may lie up to half a tile beyond the border.
    """
    if labelled.all():
        return [
            (corner, False) for corner in _grid((slice(0, labelled.shape[0]), slice(0, labelled.shape[1])), size, rng)
        ]
    corners = []
    for area in _areas(labelled, max(1, size // CELLS)):
        height, width = (part.stop - part.start for part in area)
        if max(height, width) <= LARGER * size:
            middle = [(part.start + part.stop) // 2 for part in area]
            corners.append(((middle[0] - size // 2, middle[1] - size // 2), True))
        else:
            corners += [(corner, False) for corner in _grid(area, size)]
    return corners


def _around(feature: np.ndarray, size: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Corners (y, x) of tiles around random voxels of the feature, one for each eighth of a tile's area
    that it takes; at most MAX_AROUND. feature: (h, w) bool."""
    positions = np.argwhere(feature)
    count = min(MAX_AROUND, -(-8 * len(positions) // size**2), len(positions))
    maximum = [max(0, n - size) for n in feature.shape]
    chosen = positions[rng.choice(len(positions), count, replace=False)] if count else positions
    return [(int(y), int(x)) for y, x in np.clip(chosen - size // 2, 0, maximum)]


def _areas(labelled: np.ndarray, cell: int) -> list[tuple[slice, ...]]:
    """Rows and columns, two slices each, of the connected annotated areas. What is nearer than a cell is connected."""
    if not labelled.any():
        return []
    padded = np.pad(labelled, [(0, -n % cell) for n in labelled.shape])
    coarse = padded.reshape(padded.shape[0] // cell, cell, padded.shape[1] // cell, cell).any(axis=(1, 3))
    numbered, _ = label_components(coarse, np.ones((3, 3)))
    areas = []
    for position in find_objects(numbered):
        window = tuple(slice(part.start * cell, part.stop * cell) for part in position)
        rows, columns = (np.flatnonzero(labelled[window].any(axis=axis)) for axis in (1, 0))
        areas.append(
            tuple(
                slice(int(part.start + found[0]), int(part.start + found[-1]) + 1)
                for part, found in zip(window, (rows, columns))
            )
        )
    return areas


def _grid(area: tuple[slice, ...], size: int, rng: np.random.Generator | None = None) -> list[tuple[int, int]]:
    """Corners of tiles that cover an area: side by side from anywhere on with an rng; without one, spread evenly."""
    starts = []
    for part in area:
        room = max(0, part.stop - part.start - size)
        if rng is None:
            positions = np.linspace(part.start, part.start + room, 1 + -(-room // size))
        else:  # the first and the last are moved into the slice, so that all of it is covered
            positions = np.arange(int(rng.integers(0, size)) - size, part.stop - part.start, size)
            positions = part.start + np.unique(np.clip(positions, 0, room))
        starts.append([int(position) for position in positions])
    return [(y, x) for y in starts[0] for x in starts[1]]


def _parts(labels: np.ndarray, corner: tuple[int, int], size: int, label: int) -> tuple[float, float, float]:
    """Parts of a tile that are the feature, annotated, and another feature."""
    tile = labels[tuple(slice(max(c, 0), max(c, 0) + size + min(c, 0)) for c in corner)]
    feature, unannotated, nothing = ((tile == value).mean() for value in (label, UNANNOTATED, 0))
    return feature, 1 - unannotated, 1 - feature - unannotated - nothing
