# SPDX-License-Identifier: GPL-3.0-or-later
"""Split of tomograms into training and validation data of a detector."""

from __future__ import annotations

import typing

import numpy as np

from .labels import Labelled


def split_tomograms(
    tomograms: typing.Sequence[Labelled], fraction: float, rng: np.random.Generator
) -> tuple[list[Labelled], list[Labelled], str]:
    """Labelled to learn from, those held out, and how they were split, in words.

    Whole tomograms are held out if each species then has particles on both sides; of a single one, and else of all, the
    last part along y.
    """
    if len(tomograms) > 1:
        count = max(1, round(fraction * len(tomograms)))
        for _ in range(50):
            order = rng.permutation(len(tomograms))
            held, learnt = ([tomograms[i] for i in sorted(part)] for part in (order[:count], order[count:]))
            if learnt and _all_species(held) and _all_species(learnt):
                return learnt, held, f"{len(held)} of {len(tomograms)} tomograms held out"
    parts = [_cut(one, fraction) for one in tomograms]
    return [a for a, _ in parts], [b for _, b in parts], f"the last {fraction:.0%} of each tomogram along y held out"


def _all_species(part: typing.Sequence[Labelled]) -> bool:
    return all(sum(len(one.points[s]) for one in part) for s in range(len(part[0].points)))


def _cut(one: Labelled, fraction: float) -> tuple[Labelled, Labelled]:
    """The part before a plane across y, and that behind it."""
    position = one.volume.shape[1] - max(8, round(fraction * one.volume.shape[1]))
    position = max(8, position)
    before = tuple(p[p[:, 1] < position] for p in one.points)
    behind = tuple(p[p[:, 1] >= position] - [0, position, 0] for p in one.points)
    return Labelled(one.name, one.volume[:, :position], before), Labelled(one.name, one.volume[:, position:], behind)
