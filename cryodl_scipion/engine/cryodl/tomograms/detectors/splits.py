# SPDX-License-Identifier: GPL-3.0-or-later
"""Split of tomograms into training and validation data of a detector."""

from __future__ import annotations

import typing

import numpy as np

from .labels import Labelled

THINNEST = 8  # px along y of either part of a tomogram


def split_tomograms(
    tomograms: typing.Sequence[Labelled], fraction: float, rng: np.random.Generator
) -> tuple[list[Labelled], list[Labelled], str]:
    """Labelled to learn from, those held out, and how they were split, in words.

    Whole tomograms are held out if each species then has particles on both sides; of a single one, and else of all, the
    last part along y, or where no particle lies in it, the part with the last particles along y.
    """
    if len(tomograms) > 1:
        count = max(1, round(fraction * len(tomograms)))
        for _ in range(50):
            order = rng.permutation(len(tomograms))
            held, learnt = ([tomograms[i] for i in sorted(part)] for part in (order[:count], order[count:]))
            if learnt and _all_species(held) and _all_species(learnt):
                return learnt, held, f"{len(held)} of {len(tomograms)} tomograms held out"
    learnt, held = _cut_all(tomograms, [_last_part(one, fraction) for one in tomograms])
    if _particles(held):
        return learnt, held, f"the last {fraction:.0%} of each tomogram along y held out"
    learnt, held = _cut_all(tomograms, [_last_particles(one, fraction) for one in tomograms])
    return learnt, held, f"of each tomogram the part with the last {fraction:.0%} of its particles along y held out"


def _all_species(part: typing.Sequence[Labelled]) -> bool:
    return all(sum(len(one.points[s]) for one in part) for s in range(len(part[0].points)))


def _particles(part: typing.Sequence[Labelled]) -> int:
    return sum(len(points) for one in part for points in one.points)


def _last_part(one: Labelled, fraction: float) -> int:
    """Position along y of the plane before the last part of a tomogram."""
    return max(THINNEST, one.volume.shape[1] - max(THINNEST, round(fraction * one.volume.shape[1])))


def _last_particles(one: Labelled, fraction: float) -> int:
    """Position along y of the plane before the last particles of a tomogram, or of _last_part if it has too few."""
    y = np.sort(np.concatenate([points[:, 1] for points in one.points]))
    if len(y) < 2:
        return _last_part(one, fraction)
    first = len(y) - min(len(y) - 1, max(1, round(fraction * len(y))))  # of those held out
    position = int(np.ceil((y[first - 1] + y[first]) / 2))
    return int(np.clip(position, THINNEST, max(THINNEST, one.volume.shape[1] - THINNEST)))


def _cut_all(
    tomograms: typing.Sequence[Labelled], positions: typing.Sequence[int]
) -> tuple[list[Labelled], list[Labelled]]:
    parts = [_cut(one, position) for one, position in zip(tomograms, positions)]
    return [before for before, _ in parts], [behind for _, behind in parts]


def _cut(one: Labelled, position: int) -> tuple[Labelled, Labelled]:
    """The part before a plane across y, and that behind it."""
    before = tuple(p[p[:, 1] < position] for p in one.points)
    behind = tuple(p[p[:, 1] >= position] - [0, position, 0] for p in one.points)
    return Labelled(one.name, one.volume[:, :position], before), Labelled(one.name, one.volume[:, position:], behind)
