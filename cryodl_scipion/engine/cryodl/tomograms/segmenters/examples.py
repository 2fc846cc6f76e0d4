# SPDX-License-Identifier: GPL-3.0-or-later
"""Training data of a segmenter: parts of tomograms around annotated tiles, with their drawings. Examples for training
and for validation, never of the same position: whole tomograms, single tiles, or one side."""

import dataclasses
import typing

import numpy as np
import torch
import torch.nn.functional as F

from ...contract import UNANNOTATED
from ...io import files, tomograms
from ..annotations.tiles import cut_tile
from .method import SegmenterMethod
from .working_scale import GreyValues, resample_whole

MIN_LEFT = 0.55  # part of the tiles with the feature that must stay for training when whole tomograms are kept
MAX_LOST = 0.2  # part of the tiles with the feature that may go because they lie too near to a validation tile
DRAWS = 50  # of tiles with the feature for validation; the one that costs the least of the others is taken
NEAR_SLICES = 8  # tiles that are nearer than this along z, and overlap, show the same
TILE = 64  # working px: of a tile, as published
PATCH = 116  # working px that are kept around a tile, so that it can be rotated


@dataclasses.dataclass(frozen=True)
class Example:
    """An annotated tile at the working pixel size, with what surrounds it. tomogram: name. centre_zyx, size: of the
    tile, px of the tomogram. positive: its own slice has the feature. image: (d, s, s) float16 tensor, normalised; the
    tile's slice is the middle one. target: (n, s, s) float16 in [0, 1], edges of the feature soft; known: (n, s, s)
    bool; the tile's slice is the middle one of n. located: it is known where in its tomogram it lies."""

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
    def of(cls, method: SegmenterMethod) -> typing.Self:
        """The annotated slice may be any of those that the network answers for."""
        around = method.slices_out - 1
        return cls(2 * (around + method.context) + 1, 2 * around + 1)


@dataclasses.dataclass(frozen=True)
class Gathered:
    """examples: list of Example. feature, annotator: names. pixel_size: Å/px that the network works at;
    trained_pixel_size: of the tomograms (the coarsest). notes: sentences for the log, warnings: for the user. files:
    tomograms that annotations name."""

    examples: list[Example]
    feature: str
    annotator: str
    pixel_size: float
    trained_pixel_size: float
    notes: list[str]
    warnings: list[str]
    files: list[str] = dataclasses.field(default_factory=list)


def split_examples(
    examples: typing.Sequence[Example], fraction: float, rng: np.random.Generator
) -> tuple[list[Example], list[Example], str]:
    """Training and validation examples, two lists, and how they were split, in words. examples: list of Example, some
    of which have the feature. fraction: for validation. Examples that overlap with one of the other part are left out.
    If there is only one with the feature it is in both lists."""
    positives = [i for i, e in enumerate(examples) if e.positive]
    if len(positives) == 1:
        return (
            list(examples),
            [examples[positives[0]]],
            "the only tile with the feature, which is also in the training data",
        )
    held = _whole_tomograms(examples, fraction, rng)
    if held is not None:
        return _parted(examples, held) + ("whole tomograms",)
    held = _single_tiles(examples, fraction, rng)
    training, validation = _parted(examples, held)
    if len(positives) - sum(e.positive for e in training + validation) <= MAX_LOST * len(positives):
        return training, validation, "single tiles"
    # beyond a plane across an axis; of the axes and their two ends the one that leaves most for training
    parts = [_parted(examples, _beyond(examples, fraction, axis, sign)) for axis in range(3) for sign in (1, -1)]
    training, validation = max(parts, key=lambda part: sum(e.positive for e in part[0]))
    if any(e.positive for e in training):
        return training, validation, "one side of each tomogram"
    return (
        [e for i, e in enumerate(examples) if i not in held],
        [examples[i] for i in sorted(held)],
        "single tiles next to training tiles, because the feature occurs at one position only",
    )


def _parted(examples: typing.Sequence[Example], held: typing.Collection[int]) -> tuple[list[Example], list[Example]]:
    """Lists of what is not held and does not overlap with what is, and of what is held."""
    validation = [examples[i] for i in sorted(held)]
    positions = files.lists_by_key((example.tomogram, example) for example in validation)
    training = [
        e
        for i, e in enumerate(examples)
        if i not in held and not any(_overlap(e, other) for other in positions.get(e.tomogram, ()))
    ]
    return training, validation


def _overlap(one: Example, other: Example) -> bool:
    if not (one.located and other.located):
        return False
    dz, dy, dx = (abs(a - b) for a, b in zip(one.centre_zyx, other.centre_zyx))
    near = NEAR_SLICES if one.positive or other.positive else 1  # background beside background gives nothing away
    return dz < near and max(dy, dx) < (one.size + other.size) / 2


def _whole_tomograms(examples: typing.Sequence[Example], fraction: float, rng: np.random.Generator) -> set[int] | None:
    """Numbers of the examples of some tomograms, or None if too little would be left."""
    names = list(dict.fromkeys(e.tomogram for e in examples))
    count = {n: sum(e.positive for e in examples if e.tomogram == n) for n in names}
    total, kept, held = sum(count.values()), 0, []
    for name in rng.permutation(names):
        if count[name] and kept + count[name] <= (1 - MIN_LEFT) * total:
            held.append(name)
            kept += count[name]
        if kept >= fraction * total:
            break
    chosen = {i for i, e in enumerate(examples) if e.tomogram in held}
    without = [i for i, e in enumerate(examples) if not e.positive]
    enough = kept >= 0.5 * fraction * total and len(held) < len(names)
    return chosen if enough and not (without and (chosen.isdisjoint(without) or chosen.issuperset(without))) else None


def _single_tiles(examples: typing.Sequence[Example], fraction: float, rng: np.random.Generator) -> set[int]:
    """Numbers of random examples of both kinds, by which few with the feature are lost for training."""
    positives, negatives = ([i for i, e in enumerate(examples) if e.positive is kind] for kind in (True, False))
    near = {i: {j for j in positives if j != i and _overlap(examples[i], examples[j])} for i in positives}
    number = max(1, int(round(fraction * len(positives))))
    draws = [set(rng.permutation(positives)[:number].tolist()) for _ in range(DRAWS)]
    held = min(draws, key=lambda drawn: len(set().union(*(near[i] for i in drawn)) - drawn))
    learnt = [examples[i] for i in positives if i not in held and near[i].isdisjoint(held)]
    order = sorted(rng.permutation(negatives).tolist(), key=lambda i: sum(_overlap(examples[i], one) for one in learnt))
    return held | set(order[: max(1, int(round(fraction * len(order))))] if len(order) > 1 else ())


def _beyond(examples: typing.Sequence[Example], fraction: float, axis: int, sign: int) -> set[int]:
    held: set[int] = set()
    for name in dict.fromkeys(e.tomogram for e in examples):
        inside = [i for i, e in enumerate(examples) if e.tomogram == name]
        position = {i: sign * examples[i].centre_zyx[axis] for i in inside}
        sorted_positions = sorted(position[i] for i in inside if examples[i].positive)
        if sorted_positions:
            cut = sorted_positions[min(len(sorted_positions) - 1, int((1 - fraction) * len(sorted_positions)))]
            held.update(i for i in inside if position[i] >= cut)
    return held


def make_example(
    image: np.ndarray | torch.Tensor,
    labels: np.ndarray,
    label: int,
    name: str,
    centre: tuple[int, ...],
    size: int,
    statistics: GreyValues,
) -> Example:
    """Example of arrays at the working pixel size. image: (d, s, s). labels: (n, s, s) with the value `label` where the
    feature is and UNANNOTATED where nothing is known. statistics: of the tomogram."""
    labelled = torch.from_numpy(labels != UNANNOTATED)
    feature = torch.from_numpy(labels == label).float() * labelled
    soft = F.avg_pool2d(feature, 3, 1, 1) / F.avg_pool2d(labelled.float(), 3, 1, 1).clamp(min=1e-3)
    grey = statistics.normalised(torch.as_tensor(image)).half()
    positive = bool(feature[len(feature) // 2].any())  # validation looks at the tile's own slice alone
    return Example(name, tuple(int(c) for c in centre), int(size), positive, grey, soft.half(), labelled)


def cut_example(
    tomogram: tomograms.Tomogram,
    read_labels: typing.Callable[..., np.ndarray],
    label: int,
    name: str,
    centre: tuple[int, int, int],
    size: int,
    statistics: GreyValues,
    factor: float,
    depth: Depth,
) -> Example:
    """Example around a place of a tomogram. Beyond its border the image is reflected; of what lies outside of the tile
    nothing is known, since it may be part of a tile that is kept for validation. read_labels(slices, rows, columns):
    labels of ranges within the tomogram, (n, h, w). centre: (z, y, x) px. size: of the tile, px. factor: voxels of the
    working grid for each of the tomogram's."""
    side = int(round(PATCH / factor))
    offsets = lambda n: [int(round(k / factor)) for k in range(-(n // 2), n // 2 + 1)]
    image = cut_tile(tomogram, centre, side, offsets(depth.image)[-1])
    around = zip(centre, image.shape, tomogram.shape)
    places = [tomograms.mirrored(middle - n // 2, middle - n // 2 + n, size) for middle, n, size in around]
    known = statistics.unfilled(image, places, tomogram.shape)
    labels = np.stack(
        [_labels_around(read_labels, tomogram.shape, centre, side, size, dz) for dz in offsets(depth.drawing)]
    )
    seen = resample_whole(known, (depth.image, PATCH, PATCH))
    return make_example(seen, _resample_labels(labels, label), label, name, centre, size, statistics)


def _labels_around(
    read_labels: typing.Callable[..., np.ndarray],
    shape: tuple[int, ...],
    centre: tuple[int, ...],
    side: int,
    size: int,
    dz: int,
) -> np.ndarray:
    """(side, side) labels of a slice, those of the tile of `size` px in its middle; the rest is UNANNOTATED."""
    result, z = np.full((side, side), UNANNOTATED, np.int32), centre[0] + dz
    if not 0 <= z < shape[0]:
        return result
    start = [max(c - size // 2, 0) for c in centre[1:]]
    stop = [min(c - size // 2 + size, n) for c, n in zip(centre[1:], shape[1:])]
    inside = tuple(slice(a - c + side // 2, b - c + side // 2) for a, b, c in zip(start, stop, centre[1:]))
    result[inside] = read_labels((z, z + 1), (start[0], stop[0]), (start[1], stop[1]))[0]
    return result


def _resample_labels(labels: np.ndarray, label: int) -> np.ndarray:
    shape = (len(labels), PATCH, PATCH)
    labelled = resample_whole(torch.from_numpy(labels != UNANNOTATED).float(), shape)
    feature = resample_whole(torch.from_numpy(labels == label).float(), shape)
    result = torch.where(feature >= 0.5 * labelled.clamp(min=1e-6), label, 0)
    return torch.where(labelled < 0.5, UNANNOTATED, result).numpy().astype(np.int32)
