# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels from 2-D classes: picks whose particles were kept are certain, those whose particles were rejected are
removed."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
from scipy.spatial import cKDTree

from ...core.geometry import inside
from .store import Pick

if typing.TYPE_CHECKING:
    from ...io.particle_positions import ParticlePositions

SAME = 0.25  # particle diameters within which two positions are the same particle: half of its radius
_SCALES = (0.125, 0.25, 1 / 3, 0.5, 2 / 3, 1.5, 2.0, 3.0, 4.0, 8.0)
# Of the kept particles that must lie on picks. Of dense micrographs wrong coordinates still hit a quarter by chance.
MIN_ON_PICKS = 0.5
_NOWHERE = np.zeros((0, 2))


@dataclasses.dataclass(frozen=True)
class Extracted:
    """Particles of one micrograph. extracted, centres: (n, 2) yx px of the micrograph: where the box was cut, and where
    the alignment says that the particle is."""

    extracted: np.ndarray
    centres: np.ndarray

    def __len__(self) -> int:
        return len(self.extracted)


NOTHING = Extracted(_NOWHERE, _NOWHERE)


def placed(found: ParticlePositions, scale: float, pixel_size: float) -> Extracted:
    """Extracted of particles of a file. scale: px of these micrographs per px of the file. pixel_size: Å/px."""
    return Extracted(found.yx * scale, found.yx * scale - found.origins / pixel_size)


def rejected_of(classified: Extracted, kept: Extracted, reach: float) -> Extracted:
    """The classified particles that are none of the kept ones. reach: px within which they are the same."""
    if not len(kept) or not len(classified):
        return classified
    same = _near(classified.extracted, kept.extracted, reach) | _near(classified.centres, kept.centres, reach)
    return Extracted(classified.extracted[~same], classified.centres[~same])


@dataclasses.dataclass(frozen=True)
class ClassLabels:
    """Labels of one micrograph: picks (certain and unconfirmed ones), removed picks, and how many particles were left
    out because a kept one is at the same position."""

    picks: list[Pick]
    removed: list[Pick]
    merged: int


def labels_of_classes(
    kept: Extracted,
    rejected: Extracted,
    picks: tuple[np.ndarray, np.ndarray],
    shape: tuple[int, ...],
    reach: float,
    minimum: float | None = None,
) -> ClassLabels:
    """Labels of one micrograph.

    Parameters
    ----------
    kept, rejected
        Particles.
    picks
        Positions (n, 2) and scores (n,) of the picks that were extracted; those that are neither kept nor rejected are
        unconfirmed.
    shape
        (h, w) px of the micrograph.
    reach
        Px within which two positions are the same particle.
    minimum
        Score of its pick below which a kept particle is unconfirmed; None for none.
    """
    yx, scores = picks
    on = inside(kept.centres, shape[-2:])
    single = _apart(kept.centres[on], reach)
    certain, at = kept.centres[on][single], kept.extracted[on][single]
    wrong = ~_near(rejected.extracted, np.concatenate([certain, at]), reach) & inside(rejected.extracted, shape[-2:])
    gone = rejected.extracted[wrong]
    free = ~_near(yx, np.concatenate([certain, kept.extracted, rejected.extracted]), reach)
    sure = lambda score: minimum is None or score >= minimum
    found = [Pick(float(y), float(x), s, sure(s)) for (y, x), s in zip(certain, _scores_at(at, yx, scores, reach))]
    found += [Pick(float(y), float(x), float(s), False) for (y, x), s in zip(yx[free], scores[free])]
    removed = [Pick(float(y), float(x), s, True) for (y, x), s in zip(gone, _scores_at(gone, yx, scores, reach))]
    merged = len(kept) - len(certain) + len(rejected) - len(gone)
    return ClassLabels(found, removed, merged)


def part_on(particles: typing.Mapping[str, Extracted], picks: typing.Mapping[str, np.ndarray], reach: float) -> float:
    """Fraction of the particles that were extracted at one of the picks; 1 without particles."""
    hits = [_near(one.extracted, picks.get(name, _NOWHERE), reach) for name, one in particles.items()]
    every = np.concatenate([np.zeros(0, bool), *hits])
    return float(every.mean()) if len(every) else 1.0


def better_frame(
    particles: typing.Mapping[str, Extracted],
    picks: typing.Mapping[str, np.ndarray],
    heights: typing.Mapping[str, int],
    reach: float,
    given: float,
) -> str:
    """What would bring the particles onto the picks: a sentence, or '' if nothing that was tried does.

    given: the scale that was used.
    """

    def on(scale: float, mirrored: bool) -> float:
        moved = {}
        for name, one in particles.items():
            yx = one.extracted * scale
            yx = np.stack([heights[name] - 1 - yx[:, 0], yx[:, 1]], 1) if mirrored else yx
            moved[name] = Extracted(yx, yx)
        return part_on(moved, picks, reach)

    tried = [(on(scale, mirrored), scale, mirrored) for mirrored in (False, True) for scale in (1.0, *_SCALES)]
    best, scale, mirrored = max(tried, key=lambda one: one[0])
    if best < MIN_ON_PICKS or (scale == 1 and not mirrored):
        return ""
    if not mirrored:
        return f"With a scale of {given * scale:.4g} (--scale), {100 * best:.0f} % are."
    more = "" if scale == 1 else f" and a scale of {given * scale:.4g} (--scale)"
    return (
        f"With y counted from the other edge{more}, {100 * best:.0f} % are: mirror the coordinates "
        "(csparc2star.py --inverty)."
    )


def _near(yx: np.ndarray, others: np.ndarray, reach: float) -> np.ndarray:
    """(n,) bool: positions with one of the others within reach."""
    if not len(yx) or not len(others):
        return np.zeros(len(yx), bool)
    return np.asarray(cKDTree(others).query(yx)[0] < reach)


def _apart(yx: np.ndarray, reach: float) -> np.ndarray:
    """(n,) bool: positions of which no earlier one that stays is within reach."""
    stays = np.ones(len(yx), bool)
    pairs = cKDTree(yx).query_pairs(reach, output_type="ndarray") if len(yx) else np.zeros((0, 2), int)
    for first, second in sorted(map(tuple, np.sort(pairs, axis=1))):
        if stays[first]:
            stays[second] = False
    return stays


def _scores_at(places: np.ndarray, yx: np.ndarray, scores: np.ndarray, reach: float) -> list[float]:
    """Score of the pick at each position; 1 where there is none, as of a pick that a human puts."""
    if not len(places) or not len(yx):
        return [1.0] * len(places)
    distance, index = cKDTree(yx).query(places)
    return [float(scores[i]) if d < reach else 1.0 for d, i in zip(distance, index)]
