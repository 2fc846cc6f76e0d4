# SPDX-License-Identifier: GPL-3.0-or-later
"""Examples for training and for validation, never of the same position: whole tomograms, single tiles, or one side."""

from __future__ import annotations

import typing

if typing.TYPE_CHECKING:
    import numpy as np

    from .examples import Example

MIN_LEFT = 0.55  # part of the tiles with the feature that must stay for training when whole tomograms are kept
MAX_LOST = 0.2  # part of the tiles with the feature that may go because they lie too near to a validation tile
DRAWS = 50  # of tiles with the feature for validation; the one that costs the least of the others is taken
NEAR_SLICES = 8  # tiles that are nearer than this along z, and overlap, show the same


def split_examples(
    examples: typing.Sequence[Example], fraction: float, rng: np.random.Generator
) -> tuple[list[Example], list[Example], str]:
    """Training and validation examples, two lists, and how they were split, in words.

    examples: list of Example, some of which have the feature. fraction: for validation. rng: numpy Generator.
    Examples that overlap with one of the other part are left out. If there is only one with the feature it is in both
    lists.
    """
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
    training, validation = _one_side(examples, fraction)
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
    positions: dict[str, list[Example]] = {}
    for example in validation:
        positions.setdefault(example.tomogram, []).append(example)
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
    if not enough or without and (chosen.isdisjoint(without) or chosen.issuperset(without)):
        return None
    return chosen


def _single_tiles(examples: typing.Sequence[Example], fraction: float, rng: np.random.Generator) -> set[int]:
    """Numbers of random examples of both kinds, by which few with the feature are lost for training."""
    positives, negatives = ([i for i, e in enumerate(examples) if e.positive is kind] for kind in (True, False))
    near = {i: {j for j in positives if j != i and _overlap(examples[i], examples[j])} for i in positives}
    number = max(1, int(round(fraction * len(positives))))
    draws = [set(rng.permutation(positives)[:number].tolist()) for _ in range(DRAWS)]
    held = min(draws, key=lambda drawn: len(set().union(*(near[i] for i in drawn)) - drawn))
    learnt = [examples[i] for i in positives if i not in held and near[i].isdisjoint(held)]
    order = sorted(
        rng.permutation(negatives).tolist(), key=lambda i: sum(_overlap(examples[i], other) for other in learnt)
    )
    return held | set(order[: max(1, int(round(fraction * len(order))))] if len(order) > 1 else ())


def _one_side(examples: typing.Sequence[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    """Training and validation examples: those beyond a plane across an axis are for validation, where about this
    fraction of those with the feature lie. Of the axes and their two ends the one is taken that leaves most for
    training.
    """
    parts = [_parted(examples, _beyond(examples, fraction, axis, sign)) for axis in range(3) for sign in (1, -1)]
    return max(parts, key=lambda part: sum(e.positive for e in part[0]))


def _beyond(examples: typing.Sequence[Example], fraction: float, axis: int, sign: int) -> set[int]:
    """Numbers of the examples beyond a plane in each tomogram."""
    held: set[int] = set()
    for name in dict.fromkeys(e.tomogram for e in examples):
        inside = [i for i, e in enumerate(examples) if e.tomogram == name]
        position = {i: sign * examples[i].centre_zyx[axis] for i in inside}
        sorted_positions = sorted(position[i] for i in inside if examples[i].positive)
        if sorted_positions:
            cut = sorted_positions[min(len(sorted_positions) - 1, int((1 - fraction) * len(sorted_positions)))]
            held.update(i for i in inside if position[i] >= cut)
    return held
