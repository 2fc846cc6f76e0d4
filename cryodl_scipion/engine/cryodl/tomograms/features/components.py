# SPDX-License-Identifier: GPL-3.0-or-later
"""Connected components of label volumes that are read slab by slab; a component across slabs is one component."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

TOUCH = np.ones((3, 3, 3), bool)  # voxels touch by a face, an edge or a corner
BYTES = 34  # per voxel of a slab, at most: labels of its components, and places of all voxels


@dataclasses.dataclass(frozen=True)
class Components:
    """The n components of a volume, numbered from its first slice on; component i has the number i + 1.

    labels: (n,) label of each. voxels: (n,). centres: (n, 3) zyx centres of mass, voxels. boxes: (n, 3, 2) first voxel
    and end along z, y, x. firsts: (n, 3) zyx of one voxel. scores: (n,) mean of what was given with the labels, or
    ones.
    """

    labels: np.ndarray
    voxels: np.ndarray
    centres: np.ndarray
    boxes: np.ndarray
    firsts: np.ndarray
    scores: np.ndarray
    _number_of: np.ndarray  # of each part of a slab
    _offsets: dict[tuple[int, int], int]  # first part of (z, label)

    def __len__(self) -> int:
        return len(self.voxels)

    def numbered(
        self, z: int, slab: np.ndarray, wanted: np.ndarray | typing.Sequence[int]
    ) -> typing.Iterator[tuple[int, tuple[slice, ...], np.ndarray]]:
        """Yields (label, slices, numbers) of the same slab as was added at z: numbers (z, y, x) of the components, 0
        for none, in the part of the slab that `slices` cuts out."""
        for label in wanted:
            position, parts, count = _parts(slab == label)
            if count:
                first = self._offsets[z, label]
                yield label, position, np.concatenate([[0], self._number_of[first : first + count]])[parts]


class ComponentFinder:
    """Finds components in slabs that come in the order of z. wanted: labels to look for."""

    def __init__(self, wanted: typing.Sequence[int]) -> None:
        self._wanted, self._count, self._offsets, self._pairs = (
            tuple(wanted),
            0,
            dict[tuple[int, int], int](),
            list[np.ndarray](),
        )
        self._measured = list[dict[str, np.ndarray]]()
        self._bottom: np.ndarray | None = None

    def add(self, z: int, slab: np.ndarray, scores: np.ndarray | None = None) -> None:
        """The slices from z on. slab: (n, y, x) whole numbers. scores: of the same shape, or None."""
        top, bottom = np.zeros((2, *slab.shape[1:]), np.int64)
        for label in self._wanted:
            position, parts, count = _parts(slab == label)
            if not count:
                continue
            self._offsets[z, label] = self._count
            offset = (z + position[0].start, position[1].start, position[2].start)
            values = None if scores is None else scores[position]
            self._measured.append(_measure(parts, count, label, offset, values))
            numbers = np.concatenate([[0], np.arange(self._count + 1, self._count + count + 1)])
            if position[0].start == 0:
                top[position[1:]] += numbers[parts[0]]
            if position[0].stop == len(slab):
                bottom[position[1:]] += numbers[parts[-1]]
            self._count += count
        if self._bottom is not None:
            self._pairs.append(_touching(self._bottom, top))
        self._bottom = bottom

    def components(self) -> Components:
        """The Components of all slabs."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        parts = {key: np.concatenate([m[key] for m in self._measured] or [empty]) for key, empty in _EMPTY.items()}
        pairs = np.concatenate(self._pairs or [np.zeros((0, 2), np.int64)])
        pairs = pairs[parts["labels"][pairs[:, 0]] == parts["labels"][pairs[:, 1]]]
        graph = coo_array((np.ones(len(pairs), bool), pairs.T), shape=(self._count,) * 2)
        found, component_of = connected_components(graph, directed=False) if self._count else (0, np.zeros(0, int))
        total = lambda values: np.bincount(component_of, values, found)
        voxels = total(parts["voxels"])
        low, high = np.full((found, 3), np.iinfo(np.int64).max), np.zeros((found, 3), np.int64)
        np.minimum.at(low, component_of, parts["boxes"][:, :, 0])
        np.maximum.at(high, component_of, parts["boxes"][:, :, 1])
        first = np.unique(component_of, return_index=True)[1]
        centres = np.stack([total(parts["sums"][:, axis]) for axis in range(3)], 1) / voxels[:, None]
        return Components(
            parts["labels"][first],
            voxels.astype(np.int64),
            centres,
            np.stack([low, high], 2),
            parts["firsts"][first],
            total(parts["scores"]) / voxels,
            component_of + 1,
            self._offsets,
        )


_EMPTY = dict(
    labels=np.zeros(0, np.int64),
    voxels=np.zeros(0, np.int64),
    sums=np.zeros((0, 3)),
    boxes=np.zeros((0, 3, 2), np.int64),
    firsts=np.zeros((0, 3), np.int64),
    scores=np.zeros(0),
)


def _parts(mask: np.ndarray) -> tuple[tuple[slice, ...], np.ndarray, int]:
    """Slices that cut out all of a mask, (z, y, x) int32 numbers of its parts there, and how many there are."""
    from scipy.ndimage import label

    position = []
    for axis in range(3):
        there = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(there):
            return (slice(0, 0),) * 3, np.zeros((0, 0, 0), np.int32), 0
        position.append(slice(int(there[0]), int(there[-1]) + 1))
    return (tuple(position), *label(mask[tuple(position)], TOUCH))


def _measure(
    parts: np.ndarray, count: int, label: int, offset: tuple[int, ...], scores: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Columns of _EMPTY of the parts of one slab. offset: zyx of their array's first voxel."""
    from scipy.ndimage import find_objects

    positions = np.flatnonzero(parts)
    number = parts.reshape(-1)[positions] - 1
    _, first = np.unique(number, return_index=True)
    first = np.stack(np.unravel_index(positions[first], parts.shape), 1)
    boxes = np.array([[(s.start, s.stop) for s in slices] for slices in find_objects(parts)])
    weights = None if scores is None else scores.reshape(-1)[positions]
    voxels = np.bincount(number, minlength=count)
    total = voxels.astype(float) if weights is None else np.bincount(number, weights, count)
    sums = np.empty((count, 3))
    for axis, inner in ((2, 1), (1, parts.shape[2]), (0, parts.shape[1] * parts.shape[2])):
        sums[:, axis] = np.bincount(number, positions // inner % parts.shape[axis], count) + voxels * offset[axis]
    shift = np.array(offset)
    return dict(
        labels=np.full(count, label),
        voxels=voxels,
        sums=sums,
        boxes=boxes + shift[:, None],
        firsts=first + shift,
        scores=total,
    )


def _touching(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """(m, 2) pairs of parts that touch. below, above: (y, x) numbers of parts from 1, of neighbouring slices."""
    height, width = below.shape
    pairs = []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            a = below[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
            b = above[max(0, dy) : height - max(0, -dy), max(0, dx) : width - max(0, -dx)]
            both = (a > 0) & (b > 0)
            pairs.append(np.stack([a[both], b[both]], 1) - 1)
    return np.unique(np.concatenate(pairs), axis=0)
