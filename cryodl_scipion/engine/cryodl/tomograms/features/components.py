# SPDX-License-Identifier: GPL-3.0-or-later
"""Connected components of label volumes that are read slab by slab; a component across slabs is one component."""

import dataclasses
import itertools
import os
import typing

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...io.memory import GIGABYTE
from ...io.tomograms import Tomogram, working_pixel_size
from .scores import as_probabilities, labels_in

MAX_VOXELS = 2**26  # of a part that is read at once; larger ones are read on bins


class Segmentation:
    """The mask of one feature. path: of the volume. label: its value in a label volume, or None for scores, of which
    the mask is what reaches the threshold. pixel_size: Å/px, None for the header's. Raises ValueError if a volume
    without label cannot hold scores, or has no pixel size, or one with a label holds scores. note: for the user."""

    def __init__(
        self, path: str | os.PathLike[str], label: int | None, threshold: float, pixel_size: float | None = None
    ) -> None:
        self._volume = Tomogram(path)
        self.path, self.shape = self._volume.path, self._volume.shape
        self.label, self._threshold = label, threshold
        self.pixel_size, self.note = working_pixel_size(self._volume, pixel_size)
        if label is None and self._volume.dtype not in (np.int8, np.float16, np.float32):
            raise ValueError(
                f"{path} has the data type {self._volume.dtype}, which scores cannot have. If it is a label volume, "
                "give the feature's value (--label)."
            )
        found = labels_in(path) if label is None else None
        if found and (found[0] or max(found[1]) < 100 * threshold):
            values = ", ".join(f"{value} {found[0].get(value, '')}".rstrip() for value in found[1])
            raise ValueError(
                f"{path} holds the whole numbers 0, {values} and does not say that they are scores, which are "
                "hundredths: it looks like a label volume. Say which value to pick (--label)."
            )

    def read(self, *ranges: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Mask (z, y, x) bool of the places [start, stop) for the first axes, and the scores there, None for labels."""
        if self.label is not None:
            return self._volume.labels(*ranges, otherwise="If they are scores, leave out --label.") == self.label, None
        scores = as_probabilities(self._volume.raw(*ranges), self.path)
        return scores >= self._threshold, scores

    def crop(self, box: np.ndarray) -> tuple[np.ndarray, int]:
        """Mask of a box, on bins if it is large, and the voxels of a bin. A bin is in the mask if any of its voxels is.
        box: (3, 2) first voxel and end along z, y, x."""
        sizes = np.diff(box, axis=1)[:, 0]
        step = int(np.ceil((np.prod(sizes, dtype=float) / MAX_VOXELS) ** (1 / 3)))
        if step <= 1:
            return self.read(*map(tuple, box))[0], 1
        slices, parts = max(1, int(MAX_VOXELS / (sizes[1] * sizes[2] * step))), []
        for start in range(int(box[0][0]), int(box[0][1]), slices * step):
            part = (start, min(start + slices * step, int(box[0][1])))
            parts.append(any_bins(self.read(part, *map(tuple, box[1:]))[0], step))
        return np.concatenate(parts), step


def any_bins(mask: np.ndarray, step: int) -> np.ndarray:
    """A mask (z, y, x) on bins of `step` voxels along each axis; a bin is in it if any of its voxels is."""
    for axis in range(3):
        mask = np.logical_or.reduceat(mask, np.arange(0, mask.shape[axis], step), axis)
    return mask


def slabs(shape: tuple[int, ...], bytes_per_voxel: float, memory: float) -> list[tuple[int, int]]:
    """[(start, stop)] of z that cover a volume (z, y, x), each of whole slices and at least one. memory: GB."""
    step = max(1, int(memory * GIGABYTE / (bytes_per_voxel * shape[1] * shape[2])))
    return [(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]


TOUCH = np.ones((3, 3, 3), bool)  # voxels touch by a face, an edge or a corner
BYTES = 34  # per voxel of a slab, at most: labels of its components, and places of all voxels


@dataclasses.dataclass(frozen=True)
class Components:
    """The n components of a volume, numbered from its first slice on; component i has the number i + 1. labels: (n,)
    label of each. voxels: (n,). centres: (n, 3) zyx centres of mass, voxels. boxes: (n, 3, 2) first voxel and end along
    z, y, x. firsts: (n, 3) zyx of one voxel. scores: (n,) mean of what was given with the labels, or ones."""

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
                yield label, position, np.pad(self._number_of[first : first + count], (1, 0))[parts]


def isolated(segmentation: Segmentation, components: Components, number: int) -> tuple[np.ndarray, int, np.ndarray]:
    """One component by itself: its mask (z, y, x) bool in its box, on bins if that is large, the voxels of a bin, and
    the first voxel (3,) of the box. number: of the component, from 0."""
    from skimage.segmentation import flood

    box = components.boxes[number]
    mask, step = segmentation.crop(box)
    seed = (components.firsts[number] - box[:, 0]) // step
    return flood(mask.view(np.uint8), tuple(seed.tolist()), connectivity=3), step, box[:, 0]  # labels take five times


class ComponentFinder:
    """Finds components in slabs that come in the order of z. wanted: labels to look for."""

    def __init__(self, wanted: typing.Sequence[int]) -> None:
        self._wanted, self._count, self._offsets = tuple(wanted), 0, dict[tuple[int, int], int]()
        self._pairs, self._measured = list[np.ndarray](), list[dict[str, np.ndarray]]()
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
            self._measured.append(_measure(parts, count, label, offset, None if scores is None else scores[position]))
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
        parts = {key: np.concatenate([m[key] for m in self._measured] or [empty]) for key, empty in _EMPTY.items()}
        pairs = np.concatenate(self._pairs or [np.zeros((0, 2), np.int64)])
        pairs = pairs[parts["labels"][pairs[:, 0]] == parts["labels"][pairs[:, 1]]]
        found, component_of = connected(pairs, self._count)
        total = lambda values: np.bincount(component_of, values, found)
        voxels = total(parts["voxels"])
        low, high = np.full((found, 3), np.iinfo(np.int64).max), np.zeros((found, 3), np.int64)
        np.minimum.at(low, component_of, parts["boxes"][:, :, 0])
        np.maximum.at(high, component_of, parts["boxes"][:, :, 1])
        first = np.unique(component_of, return_index=True)[1]
        return Components(
            parts["labels"][first],
            voxels.astype(np.int64),
            np.stack([total(parts["sums"][:, axis]) for axis in range(3)], 1) / voxels[:, None],
            np.stack([low, high], 2),
            parts["firsts"][first],
            total(parts["scores"]) / voxels,
            component_of + 1,
            self._offsets,
        )


def connected(pairs: np.ndarray, count: int) -> tuple[int, np.ndarray]:
    """How many connected parts so many things have, and the number of the part of each, (count,). pairs: (n, 2) of
    things that belong together."""
    graph = coo_array((np.ones(len(pairs), bool), pairs.T), shape=(count, count))
    return connected_components(graph, directed=False) if count else (0, np.zeros(0, int))


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
    position = next(iter(ndimage.find_objects(mask.view(np.int8))), (slice(0, 0),) * 3)
    return (position, *ndimage.label(mask[position], TOUCH))


def _measure(
    parts: np.ndarray, count: int, label: int, offset: tuple[int, ...], scores: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Columns of _EMPTY of the parts of one slab. offset: zyx of their array's first voxel."""
    positions = np.flatnonzero(parts)
    number = parts.reshape(-1)[positions] - 1
    _, first = np.unique(number, return_index=True)
    first = np.stack(np.unravel_index(positions[first], parts.shape), 1)
    boxes = np.array([[(s.start, s.stop) for s in slices] for slices in ndimage.find_objects(parts)])
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
    pairs = []
    for beside in itertools.chain(*sliding_window_view(np.pad(above, 1), below.shape)):  # moved by -1 to 1 px each way
        both = (below > 0) & (beside > 0)
        pairs.append(np.stack([below[both], beside[both]], 1))
    return np.unique(np.concatenate(pairs), axis=0) - 1
