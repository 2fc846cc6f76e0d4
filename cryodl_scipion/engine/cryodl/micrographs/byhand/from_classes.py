# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels from 2-D classes: picks of kept particles are certain, those of rejected ones are removed."""

import dataclasses
import typing
from collections.abc import Mapping

import numpy as np
from scipy.spatial import cKDTree

from ...contract import LabelsFromClassesConfig, counted, some_names
from ...core.geometry import inside
from ...core.peaks import separate
from ...io import particle_positions, pick_sets
from ...running.runner import Run
from .store import Pick

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


def placed(found: particle_positions.ParticlePositions, scale: float, pixel_size: float) -> Extracted:
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
    """Labels of one micrograph. kept, rejected: particles. picks: positions (n, 2) and scores (n,) of the picks that
    were extracted; those that are neither kept nor rejected are unconfirmed. shape: (h, w) px of the micrograph. reach:
    px within which two positions are the same particle. minimum: score of its pick below which a kept particle is
    unconfirmed; None for none."""
    yx, scores = picks
    on = inside(kept.centres, shape[-2:])
    single = separate(kept.centres[on], reach)
    certain, at = kept.centres[on][single], kept.extracted[on][single]
    wrong = ~_near(rejected.extracted, np.concatenate([certain, at]), reach) & inside(rejected.extracted, shape[-2:])
    gone = rejected.extracted[wrong]
    free = ~_near(yx, np.concatenate([certain, kept.extracted, rejected.extracted]), reach)
    sure = lambda score: minimum is None or score >= minimum
    found = [Pick(float(y), float(x), s, sure(s)) for (y, x), s in zip(certain, _scores_at(at, yx, scores, reach))]
    found += [Pick(float(y), float(x), float(s), False) for (y, x), s in zip(yx[free], scores[free])]
    removed = [Pick(float(y), float(x), s, True) for (y, x), s in zip(gone, _scores_at(gone, yx, scores, reach))]
    return ClassLabels(found, removed, len(kept) - len(certain) + len(rejected) - len(gone))


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
    """What would bring the particles onto the picks: a sentence, or '' if nothing tried does. given: the scale used."""

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
    return np.asarray(cKDTree(others).query(yx)[0] < reach)


def _scores_at(places: np.ndarray, yx: np.ndarray, scores: np.ndarray, reach: float) -> list[float]:
    """Score of the pick at each position; 1 where there is none, as of a pick that a human puts."""
    distance, index = cKDTree(yx).query(places)
    return [float(scores[i]) if d < reach else 1.0 for d, i in zip(distance, index)]


MAX_OUTSIDE = 0.02  # of the particles of a file: the alignment of a few moves them over the edge


def within_micrographs(
    particles: Mapping[str, Extracted],
    source: str,
    named: Mapping[str, str],
    shapes: Mapping[str, tuple[int, int]],
    config: LabelsFromClassesConfig,
    run: Run,
) -> dict[str, Extracted]:
    """The particles within their micrographs; a few others are warned of. source: file and parameter. Raises ValueError
    if many lie outside."""
    far = config.particle_diameter / config.pixel_size / 2  # px that no alignment explains
    inner, gone, every, furthest, example = dict[str, Extracted](), 0, 0, 0.0, ""
    for name, one in particles.items():
        height, width = shapes[name]
        by = np.maximum(-one.extracted, one.extracted - (height, width)).max(axis=1, initial=-np.inf)
        inner[name] = Extracted(one.extracted[by <= 0], one.centres[by <= 0])
        every, gone = every + len(one), gone + int((by > 0).sum())
        if (by > 0).any() and by.max() > furthest:
            furthest, (y, x) = float(by.max()), one.extracted[by.argmax()]
            example = f"for example x {x:g}, y {y:g} of {named[name]} ({width} x {height} px)"
    if not gone:
        return inner
    start = f"{counted(gone, 'particle')} of {every} of {source} lie outside their micrograph, {example}"
    if gone > MAX_OUTSIDE * every and furthest > far:
        raise ValueError(
            f"{start}. If they were extracted from micrographs of another binning, give the factor to these "
            "micrographs (--scale 0.5 if those had twice as many pixels along each edge)."
        )
    run.warn(f"{start}. They are not used.")
    return inner


def check_corner(
    particles: typing.Sequence[tuple[str, Extracted]],
    shapes: Mapping[str, tuple[int, int]],
    config: LabelsFromClassesConfig,
) -> list[str]:
    """A note that nothing compares the particles with picks. Raises ValueError if all of many lie in one corner, as
    particles of binned micrographs do."""
    places = np.concatenate([np.zeros((0, 2)), *(one.extracted / shapes[name] for name, one in particles)])
    part = float(places.max(initial=0.0))
    if len(places) >= pick_sets.MIN_IN_CORNER and part < pick_sets.CORNER:
        raise ValueError(
            f"All particles of {config.kept} (--kept) lie in one corner of their micrographs, within "
            f"{100 * part:.0f} % of width and height, as those of binned micrographs do. Give the factor to these "
            f"micrographs (--scale {config.scale * max(1, round(1 / part)):g}, for example), or the picks "
            "(--coordinates), with which they are then compared."
        )
    return [
        "No picks were given (--coordinates), so it was not checked whether the particles lie at the right places of "
        "these micrographs (binning, mirrored y). Look at the labels with `cryodl pick-by-hand`, or give the picks."
    ]


def check_scores(
    kept: Mapping[str, Extracted],
    picks: Mapping[str, tuple[np.ndarray, np.ndarray]],
    reach: float,
    config: LabelsFromClassesConfig,
) -> list[str]:
    """A note if a minimum score is given, and particles are on no pick. Raises ValueError if picks have no scores."""
    if config.minimum_score is None:
        return []
    found = {name: picks[name] for name in kept if name in picks}
    if not (bare := [name for name, (yx, scores) in found.items() if len(yx) and not scores.any()]):
        part = part_on(kept, {name: yx for name, (yx, _) in found.items()}, reach)
        if not (count := round((1 - part) * sum(map(len, kept.values())))):
            return []
        return [
            f"{counted(count, 'kept particle')} of {config.kept} (--kept) lie on no pick of {config.coordinates} "
            "(--coordinates) and so have no score: --minimum-score does not apply to them."
        ]
    raise ValueError(
        f"--minimum-score is {config.minimum_score:g}, but the picks of {config.coordinates} (--coordinates) have no "
        f"scores on {counted(len(bare), 'micrograph')}: {some_names(bare)}. Leave --minimum-score out, or give picks "
        "with scores (the folder candidates of `cryodl pick`)."
    )


def check_on_picks(
    kept: Mapping[str, Extracted],
    picks: Mapping[str, tuple[np.ndarray, np.ndarray]],
    shapes: Mapping[str, tuple[int, int]],
    reach: float,
    config: LabelsFromClassesConfig,
) -> list[str]:
    """A note if many particles are not at a pick. Raises ValueError if none is, or another scale brings them there."""
    places = {name: yx for name, (yx, _) in picks.items()}
    part = part_on(kept, places, reach)
    if part >= MIN_ON_PICKS:
        return []
    count = sum(map(len, kept.values()))
    start = (
        f"Of {counted(count, 'kept particle')} of these micrographs, {100 * part:.0f} % are within "
        f"{reach * config.pixel_size:.0f} Å of a pick of {config.coordinates} (--coordinates)"
    )
    better = better_frame(kept, places, {name: height for name, (height, _) in shapes.items()}, reach, config.scale)
    if better:
        raise ValueError(f"{start}. {better}")
    if not part:
        raise ValueError(
            f"{start}. Give the picks that were extracted, and the micrographs that they were picked on; if the "
            "particles are of micrographs of another binning, state the factor (--scale)."
        )
    return [f"{start}. Check that these are the picks from which the particles were extracted."]
