# SPDX-License-Identifier: GPL-3.0-or-later
"""Training data of a segmenter: parts of tomograms around annotated tiles, with their drawings."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch
import torch.nn.functional as F

from ...contract import UNANNOTATED
from ..annotations.tiles import cut_tile
from .resample import resample_whole
from .segmenter import LIMIT

if typing.TYPE_CHECKING:
    from ...io.tomograms import Tomogram
    from .method import SegmenterMethod

TILE = 64  # working px: of a tile, as published
PATCH = 116  # working px that are kept around a tile, so that it can be rotated


@dataclasses.dataclass(frozen=True)
class Example:
    """An annotated tile at the working pixel size, with what surrounds it.

    tomogram: name. centre_zyx, size: of the tile, px of the tomogram. positive: its own slice has the feature. image:
    (d, s, s) float16 tensor, normalised; the tile's slice is the middle one. target: (n, s, s) float16 in [0, 1], edges
    of the feature soft; known: (n, s, s) bool; the tile's slice is the middle one of n. located: it is known where in
    its tomogram it lies.
    """

    tomogram: str
    centre_zyx: tuple[float, ...]
    size: int
    positive: bool
    image: torch.Tensor
    target: torch.Tensor
    labelled: torch.Tensor
    located: bool = True


@dataclasses.dataclass(frozen=True)
class Depth:
    """Slices that examples of a method have: of the image, and of the drawing. Both odd."""

    image: int
    drawing: int

    @classmethod
    def of(cls, method: SegmenterMethod) -> Depth:
        """The annotated slice may be any of those that the network answers for."""
        around = method.slices_out - 1
        return cls(2 * (around + method.context) + 1, 2 * around + 1)


@dataclasses.dataclass(frozen=True)
class Gathered:
    """examples: list of Example. feature, annotator: names. pixel_size: Å/px that the network works at;
    trained_pixel_size: of the tomograms (the coarsest). notes: sentences for the log, warnings: for the user.
    """

    examples: list[Example]
    feature: str
    annotator: str
    pixel_size: float
    trained_pixel_size: float
    notes: list[str]
    warnings: list[str]


def make_example(
    image: np.ndarray | torch.Tensor,
    labels: np.ndarray,
    label: int,
    name: str,
    centre: tuple[int, ...],
    size: int,
    statistics: tuple[float, float],
) -> Example:
    """Example of arrays at the working pixel size.

    image: (d, s, s). labels: (n, s, s) with the value `label` where the feature is and UNANNOTATED where nothing is
    known. statistics: (middle, width) of the tomogram.
    """
    middle, width = statistics
    labelled = torch.from_numpy(labels != UNANNOTATED)
    feature = torch.from_numpy(labels == label).float() * labelled
    near = F.avg_pool2d(labelled.float(), 3, 1, 1)
    soft = F.avg_pool2d(feature, 3, 1, 1) / near.clamp(min=1e-3)
    normalised = ((torch.as_tensor(image) - middle) / width).clamp(-LIMIT, LIMIT)
    position = tuple(int(c) for c in centre)
    positive = bool(feature[len(feature) // 2].any())  # validation looks at the tile's own slice alone
    return Example(name, position, int(size), positive, normalised.half(), soft.half(), labelled)


def cut_example(
    tomogram: Tomogram,
    read_labels: typing.Callable[..., np.ndarray],
    label: int,
    name: str,
    centre: tuple[int, int, int],
    size: int,
    statistics: tuple[float, float],
    factor: float,
    depth: Depth,
) -> Example:
    """Example around a place of a tomogram. Beyond its border the image is reflected; of what lies outside of the
    tile nothing is known, since it may be part of a tile that is kept for validation.

    tomogram: io.tomograms.Tomogram. read_labels(slices, rows, columns): labels of ranges within the tomogram, (n, h,
    w). centre: (z, y, x) px. size: of the tile, px. factor: voxels of the working grid for each of the tomogram's.
    """
    side = int(round(PATCH / factor))
    offsets = lambda n: [int(round(k / factor)) for k in range(-(n // 2), n // 2 + 1)]
    reach = offsets(depth.image)[-1]
    image = torch.from_numpy(cut_tile(tomogram, centre, side, reach))
    labels = np.stack(
        [_labels_around(read_labels, tomogram.shape, centre, side, size, dz) for dz in offsets(depth.drawing)]
    )
    if factor != 1.0:
        image = resample_whole(image, (depth.image, PATCH, PATCH))
        labels = _resample_labels(labels, label)
    return make_example(image, labels, label, name, centre, size, statistics)


def _labels_around(
    read_labels: typing.Callable[..., np.ndarray],
    shape: tuple[int, ...],
    centre: tuple[int, ...],
    side: int,
    size: int,
    dz: int,
) -> np.ndarray:
    """(side, side) labels of a slice, those of the tile of `size` px in its middle; the rest is UNANNOTATED."""
    result = np.full((side, side), UNANNOTATED, np.int32)
    z = centre[0] + dz
    if not 0 <= z < shape[0]:
        return result
    start = [max(c - size // 2, 0) for c in centre[1:]]
    stop = [min(c - size // 2 + size, n) for c, n in zip(centre[1:], shape[1:])]
    inside = tuple(slice(a - c + side // 2, b - c + side // 2) for a, b, c in zip(start, stop, centre[1:]))
    result[inside] = read_labels((z, z + 1), (start[0], stop[0]), (start[1], stop[1]))[0]
    return result


def _resample_labels(labels: np.ndarray, label: int) -> np.ndarray:
    """(n, PATCH, PATCH) labels of (n, side, side): the feature where it takes half of what is known."""
    shape = (len(labels), PATCH, PATCH)
    labelled = resample_whole(torch.from_numpy(labels != UNANNOTATED).float(), shape)
    feature = resample_whole(torch.from_numpy(labels == label).float(), shape)
    result = torch.where(feature >= 0.5 * labelled.clamp(min=1e-6), label, 0)
    return torch.where(labelled < 0.5, UNANNOTATED, result).numpy().astype(np.int32)
