# SPDX-License-Identifier: GPL-3.0-or-later
"""Background and contamination boxes proposed from a prepared micrograph and its labelled particles.

Background: places far from every labelled particle around which nothing looks like the average particle. Contamination:
positions that stand out as no labelled particle does, by their density, their contrast or an edge (ice, aggregates,
carbon). Nothing here is random: the same micrograph and labels give the same boxes.
"""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude, map_coordinates, maximum_filter

from ...core.geometry import inside
from ...core.peaks import LocalCorrelation, separate

TEMPLATE_RADIUS = 0.75  # particle diameters: the particle and the fringe around it
# diameters that a proposed box keeps from labelled particles: two circles may just overlap a little
FREE_DISTANCE = 0.9
APART = 0.6  # diameters between proposed boxes
QUIET_FRACTION = 0.15  # background comes from this part of the free area, that which is least like a particle
# Contamination exceeds the strongest labelled particles by this many standard deviations. Looked at on three real sets:
# at 1.5 pairs of particles that nobody labelled are taken for it, at 3 pale carbon edges are lost.
OUTSTANDING = 2.0


@dataclasses.dataclass(frozen=True)
class Proposal:
    """background, contamination: (n, 2) yx in px of the prepared image, best first."""

    background: np.ndarray
    contamination: np.ndarray


@dataclasses.dataclass(frozen=True)
class LabelledAppearance:
    """What the labelled particles of some micrographs look like.

    diameter: working px. template: (k, k) rotationally averaged mean particle, of zero mean and unit norm; k is odd.
    strongest, deviation: (3,) of the features of `_features` at the particles: about the largest, and the spread.
    """

    diameter: float
    template: np.ndarray
    strongest: np.ndarray
    deviation: np.ndarray


def appearance_of(items: typing.Sequence[typing.Any], diameter: float) -> LabelledAppearance:
    """Look of the particles of prepared micrographs with labels (attributes image, positives).

    Raises ValueError if no particle is labelled.
    """
    if not any(len(item.positives) for item in items):
        raise ValueError(
            "Boxes are proposed by comparison with labelled particles, but no particle is labelled. Label some "
            "particles."
        )
    values = np.hstack(
        [
            [
                map_coordinates(feature, item.positives.T, order=1, mode="nearest")
                for feature in _features(item.image.numpy(), diameter)
            ]
            for item in items
            if len(item.positives)
        ]
    )
    middle = np.median(values, 1)
    deviation = np.array([_deviation(row) for row in values])
    # the quantile of a dozen labels is hardly above their middle
    strongest = np.maximum(np.quantile(values, 0.98, axis=1), middle + 2.5 * deviation)
    return LabelledAppearance(diameter, _average_particle(items, diameter), strongest, deviation)


def proposed_boxes(
    item: typing.Any,
    look: LabelledAppearance,
    count: int,
    always: bool = False,
    seen: np.ndarray | typing.Sequence[np.ndarray] = (),
) -> Proposal:
    """Proposal for one micrograph.

    item: LabelledImage, or what has the attributes image, valid and positives. look: of appearance_of. count: most
    boxes of each kind. always: contamination is proposed even where nothing stands out clearly (the most outstanding
    positions), for methods that cannot do without. seen: (n, 2) positions that another picker takes for particles;
    boxes keep away from them as from labelled ones.
    """
    image, diameter = item.image.numpy(), look.diameter
    free = _free_positions(item, diameter) & _far_from(seen, image.shape, FREE_DISTANCE * diameter)
    outlier_score = outstanding(image, look)
    contamination = _largest_outliers(outlier_score, free, diameter, count, -np.inf if always else OUTSTANDING)
    # half a diameter wide: in crowded fields a wider one reaches the neighbours and says the same everywhere
    near_best = maximum_filter(similarity_map(image, look.template), size=max(3, int(diameter / 2)))
    # neither particles that nobody labelled nor contamination: those teach something else
    quiet = free & (outlier_score < OUTSTANDING) & _far_from(contamination, image.shape, diameter)
    if not quiet.any():
        return Proposal(np.zeros((0, 2)), contamination)
    quiet &= near_best <= np.quantile(near_best[quiet], QUIET_FRACTION)
    return Proposal(_evenly_spaced(quiet, APART * diameter, count), contamination)


def outstanding(image: np.ndarray, look: LabelledAppearance) -> np.ndarray:
    """(h, w) how much each place exceeds the labelled particles in its most outstanding feature, in standard deviations
    of the micrograph's positions or of the particles, whichever are larger."""
    score = np.full(image.shape, -np.inf)
    for feature, strongest, deviation in zip(_features(image, look.diameter), look.strongest, look.deviation):
        ordinary = max(_deviation(feature), 1e-6)
        limit = max(strongest, np.median(feature) + ordinary)
        score = np.maximum(score, (feature - limit) / max(ordinary, deviation))
    return score


def _features(image: np.ndarray, diameter: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three (h, w) maps, of a particle's size: density (either sign), contrast and edges."""
    image = np.asarray(image, float)
    # nothing outside: mirrored at the border, half a particle would look like a whole large one
    blur = dict(sigma=0.4 * diameter, mode="constant")
    return (
        np.abs(gaussian_filter(image, **blur)),
        np.sqrt(gaussian_filter(image**2, **blur)),
        gaussian_gradient_magnitude(image, **blur),
    )


def _average_particle(items: typing.Sequence[typing.Any], diameter: float) -> np.ndarray:
    """Template of Look. A disc where no labelled particle lies whole inside its image."""
    radius = int(round(TEMPLATE_RADIUS * diameter))
    total = np.zeros((2 * radius + 1,) * 2)
    for item in items:
        image = item.image.numpy()
        for y, x in np.rint(item.positives[inside(item.positives, image.shape, radius + 0.5)]).astype(int):
            total += image[y - radius : y + radius + 1, x - radius : x + radius + 1]
    distance = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1])
    ring = np.rint(distance).astype(int)
    if not total.any():
        total = (distance < diameter / 2).astype(float)
    profile = np.bincount(ring.ravel(), total.ravel()) / np.bincount(ring.ravel())
    template = np.where(distance <= radius, profile[ring], 0)
    template[distance <= radius] -= template[distance <= radius].mean()
    return template / max(np.linalg.norm(template), 1e-12)


def similarity_map(image: np.ndarray, template: np.ndarray) -> np.ndarray:
    """(h, w) correlation coefficient of every position with a template of zero mean and unit norm (Look)."""
    as_tensor = lambda array: torch.from_numpy(np.ascontiguousarray(array, float))
    compared = LocalCorrelation(as_tensor(image), as_tensor(template) != 0)
    result: np.ndarray = compared.scores(as_tensor(template)[None])[0].numpy()
    return result


def _deviation(values: np.ndarray) -> float:
    # of a normal distribution; outliers do not count
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _free_positions(item: typing.Any, diameter: float) -> np.ndarray:
    """(h, w) bool: valid pixels that keep a box inside and FREE_DISTANCE from all labelled particles."""
    shape, edge = item.image.shape, int(np.ceil(diameter / 2))
    free = item.valid.numpy().copy()
    free[:edge], free[-edge:], free[:, :edge], free[:, -edge:] = False, False, False, False
    return free & _far_from(item.positives, shape, FREE_DISTANCE * diameter)


def _far_from(points: np.ndarray | typing.Sequence[np.ndarray], shape: tuple[int, ...], distance: float) -> np.ndarray:
    """(h, w) bool: pixels at least `distance` from all points (n, 2)."""
    far = np.ones(shape, bool)
    for y, x in points:
        rows = slice(max(int(y - distance), 0), int(y + distance) + 2)
        columns = slice(max(int(x - distance), 0), int(x + distance) + 2)
        yy, xx = np.ogrid[: shape[0], : shape[1]]
        far[rows, columns] &= (yy[rows] - y) ** 2 + (xx[:, columns] - x) ** 2 >= distance**2
    return far


def _largest_outliers(
    outlier_score: np.ndarray, free: np.ndarray, diameter: float, count: int, minimum: float
) -> np.ndarray:
    """(n, 2) free places of more than the least strangeness, best first, not nearer than a diameter to each other."""
    chosen = outlier_score == maximum_filter(outlier_score, size=max(3, int(diameter) | 1))
    # the maximum of a wall of carbon beside labelled particles lies on forbidden ground: places of a grid will do, too
    chosen[:: max(1, int(diameter / 6)), :: max(1, int(diameter / 6))] = True
    chosen &= free & (outlier_score > minimum)
    yx = np.argwhere(chosen)
    yx = yx[np.argsort(-outlier_score[chosen], kind="stable")].astype(float)
    return yx[separate(yx, diameter)[:count]]


def _evenly_spaced(allowed: np.ndarray, distance: float, count: int) -> np.ndarray:
    """(n, 2) at most `count` places of a mask, evenly spread and at least `distance` apart."""
    # Points of the R2 sequence (Roberts 2018) fill a rectangle evenly, whatever their number.
    steps = np.arange(1, 200 * count + 1)[:, None] * np.array([0.7548776662466927, 0.5698402909980532])
    yx = ((0.5 + steps) % 1 * np.array(allowed.shape)).astype(int)
    yx = yx[allowed[yx[:, 0], yx[:, 1]]].astype(float)
    return yx[separate(yx, distance)[:count]]
