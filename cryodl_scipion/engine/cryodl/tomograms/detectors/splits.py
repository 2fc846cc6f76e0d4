# SPDX-License-Identifier: GPL-3.0-or-later
"""Split of tomograms into training and validation data of a detector."""

import typing

import numpy as np

from ...io.messages import warn
from .labels import Labelled

THINNEST = 8  # px along y of either part of a tomogram


def split_tomograms(
    tomograms: typing.Sequence[Labelled], fraction: float, rng: np.random.Generator, diameter: float = 0.0
) -> tuple[list[Labelled], list[Labelled], str]:
    """Labelled to learn from, those held out, and how they were split, in words. Whole tomograms are held out if each
    species then has particles on both sides; of a single one, and else of all, the last part along y, or where no
    particle lies in it, the part with the last particles along y. diameter: px, of the largest particle; parts whose
    particles are nearer than that along y are warned of."""
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
    _warn_if_near(learnt, held, diameter)
    return learnt, held, "of each tomogram the part with its last particles along y held out"


def _all_species(part: typing.Sequence[Labelled]) -> bool:
    return all(sum(len(one.points[s]) for one in part) for s in range(len(part[0].points)))


def _particles(part: typing.Sequence[Labelled]) -> int:
    return sum(len(points) for one in part for points in one.points)


def _last_part(one: Labelled, fraction: float) -> int:
    return max(THINNEST, one.volume.shape[1] - max(THINNEST, round(fraction * one.volume.shape[1])))


def _last_particles(one: Labelled, fraction: float) -> int:
    """Position along y of the plane before the last particles of a tomogram, or of _last_part if it has too few. It
    lies in the widest gap between particles that leaves half to twice the fraction of them behind it: a particle close
    to it is seen on both sides."""
    y = np.sort(np.concatenate([points[:, 1] for points in one.points]))
    if len(y) < 2:
        return _last_part(one, fraction)
    wanted = fraction * len(y)
    counts = np.arange(max(1, round(wanted / 2)), max(1, round(2 * wanted)) + 1)  # of those held out
    firsts = len(y) - counts[counts < len(y)]
    gaps = y[firsts] - y[firsts - 1]
    widest = firsts[gaps == gaps.max()]
    first = widest[np.abs(len(y) - widest - wanted).argmin()]
    position = int(np.ceil((y[first - 1] + y[first]) / 2))
    return int(np.clip(position, THINNEST, max(THINNEST, one.volume.shape[1] - THINNEST)))


def _warn_if_near(learnt: typing.Sequence[Labelled], held: typing.Sequence[Labelled], diameter: float) -> None:
    near = {}
    for before, behind in zip(learnt, held):
        if _particles([before]) and _particles([behind]):
            last = max(points[:, 1].max() for points in before.points if len(points))
            first = min(points[:, 1].min() for points in behind.points if len(points)) + before.volume.shape[1]
            near[before.name] = first - last
    if near and min(near.values()) < diameter:
        name = min(near, key=lambda n: near[n])
        warn(
            f"In {name}, particles held out for validation begin {near[name] / diameter:.2g} diameters (of the largest "
            "particle) along y behind the last one that is learned from, so validation sees parts of the same "
            "particles and its figures are too high. Label a further tomogram."
        )


def _cut_all(
    tomograms: typing.Sequence[Labelled], positions: typing.Sequence[int]
) -> tuple[list[Labelled], list[Labelled]]:
    parts = [_cut(one, position) for one, position in zip(tomograms, positions)]
    return [before for before, _ in parts], [behind for _, behind in parts]


def _cut(one: Labelled, position: int) -> tuple[Labelled, Labelled]:
    before = tuple(p[p[:, 1] < position] for p in one.points)
    behind = tuple(p[p[:, 1] >= position] - [0, position, 0] for p in one.points)
    return Labelled(one.name, one.volume[:, :position], before), Labelled(one.name, one.volume[:, position:], behind)
