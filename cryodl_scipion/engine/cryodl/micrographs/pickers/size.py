# SPDX-License-Identifier: GPL-3.0-or-later
"""Search for the particles' diameter: a general model is run at several scales on some micrographs. Its network says of
every particle how much wider it is than the diameter that the micrograph was rescaled for. Far from that diameter it
was taught to see nothing. So the ladder of diameters has one rung at which the surest particles fill most of the area,
and there the network's own estimates lead to the size."""

import dataclasses
import math
import typing

import numpy as np

from ...contract import counted, particle_size_problem
from ...io.files import read_some
from ...io.micrographs import read_micrograph

SMALLEST, LARGEST, STEP = 50.0, 1000.0, 1.45  # Å: the ladder's first and last rung, and the factor between two
SMALLEST_SOUGHT = 18.0  # px of the file: smaller ones would be enlarged twice, and noise then looks like particles
LARGEST_PART = 1 / 3  # of a micrograph's shorter side
GRID_MICROGRAPHS, MICROGRAPHS = 2, 3  # looked at on the ladder, and at its best rung
SMALL_PART = 0.5  # of the median shorter side: smaller micrographs are not asked
# working px of the middle part that is looked at on the ladder, where fine rungs would cost most, and at its best rung
SIDE, WHOLE = 640, 1200
LIKELY = 0.5  # score below which a candidate says nothing of the size
NEAR = 0.36  # log of the size within which a particle belongs to the rung at which it was found
REACH = 0.56  # the same where a diameter is stated, from which the estimate starts
MINIMUM = 6.0  # sure particles below which there is no size
BELOW = 0.7  # of the smallest rung: nothing is sought there
RATIO = 1.4  # of sure particles to those that the other sign of protein shows: noise and carbon have 1
REPEATS, CLOSE = 3, 0.06  # of the estimate at a rung, and the change of log size that ends them
PRIOR = 0.5  # log of the size at which a rung counts half as much as one at the stated diameter
AGREES = 1.2  # factor between stated and found diameter that is no contradiction
# Sure particles are dirt if both measures of how their heights vary are larger: the robust deviation over the median,
# and the standard deviation of the logarithm. Of particles of 22 simulated and 3 real sets the smaller measure is at
# most 0.59; of dirt alone it is nearly always larger than 0.65.
UNEVEN = 0.65
# With so many sure particles up to so much is in doubt: simulated molecules have up to 0.85, most dirt 0.87 or more.
MANY, DOUBTFUL = 30, 0.9
EVEN = 0.5  # the same at a second rung, where those of the first were dirt
LOW = 0.05  # in standard deviations of the image's noise: lower heights count as so high
OTHER_KIND, APART = 0.3, 1.6  # share of the area and factor in size that make a further kind of particle


@dataclasses.dataclass(frozen=True)
class Size:
    """What was found. diameter: Å of the particles' widest extent. spread: standard deviation of single particles' log
    sizes. particles: how many sure ones were seen on `micrographs`. others: diameters of further kinds, Å. uneven: how
    differently they stand out; above UNEVEN they may be dirt."""

    diameter: float
    spread: float
    particles: float
    micrographs: int
    others: tuple[float, ...] = ()
    uneven: float = 0.0

    def sentence(self, stated: float | None = None) -> str:
        """For the log, and a warning if a stated diameter (Å) is contradicted."""
        found = (
            f"{self.diameter:.0f} Å wide (measured on {self.particles:.0f} confident particles in "
            f"{counted(self.micrographs, 'micrograph')})"
        )
        if stated and self.contradicts(stated):
            return (
                f"The micrographs contradict the particle diameter of {stated:g} Å: their particles are {found}, "
                f"{self.diameter / stated:.2f} times the given diameter. They are picked at {self.diameter:.0f} Å; "
                "boxes fit the larger of the two. --keep-diameter picks at the given one all the same."
            )
        return f"Particles are {found}."

    def contradicts(self, stated: float) -> bool:
        """Whether a diameter in Å is clearly another one."""
        return abs(math.log(self.diameter / stated)) > math.log(AGREES)


class ScaleCandidates(typing.NamedTuple):
    """Candidates of one micrograph at one scale: calibrated scores (n,), widest extents (n,) in Å, the area that was
    looked at in Å^2, and how far they stand out (n,), where that was measured."""

    scores: np.ndarray
    extents: np.ndarray
    area: float
    heights: np.ndarray | None = None

    def weights(self, diameter: float, near: float = NEAR) -> np.ndarray:
        """(n,) how much each candidate counts at a rung: the square of its score, 0 if that is low or its size is of
        another rung."""
        return np.where((np.abs(np.log(self.extents / diameter)) < near) & (self.scores >= LIKELY), self.scores**2, 0.0)

    def relative_heights(self, diameter: float) -> np.ndarray:
        """(m,) heights of sure particles over their median; empty if they were not measured."""
        sure = self.weights(diameter, REACH) > 0
        if self.heights is None or not sure.any():
            return np.zeros(0)
        heights = np.maximum(self.heights[sure], LOW)
        return heights / np.median(heights)


def scale_grid(pixel_size: float, side: int) -> list[float]:
    """Diameters in Å to look at. side: shorter side of the micrographs, px."""
    low, high = max(SMALLEST, SMALLEST_SOUGHT * pixel_size), min(LARGEST, LARGEST_PART * side * pixel_size)
    if high <= low:
        return [low] if not particle_size_problem(low, pixel_size, side) else []
    count = max(2, int(math.ceil(math.log(high / low) / math.log(STEP))) + 1)
    return [float(d) for d in np.geomspace(low, high, count)]


def find_size(
    look: typing.Callable, paths: typing.Sequence, pixel_size: float, stated: float | None = None
) -> Size | None:
    """The particles' size; None if the micrographs do not tell it. look: function (image (h, w), diameter in Å, whole,
    opposite) -> ScaleCandidates; whole: not only a middle part of it; opposite: of the other sign of protein. Noise and
    carbon look alike in both; what is seen there is subtracted. paths: micrographs; those that cannot be read are
    passed over here, as picking reports them, and so are those much smaller than the others. pixel_size: Å/px. stated:
    Å that the user gave: a prior, as rungs near it count for more."""
    images = _images(paths)
    if not images:
        return None
    side = min(min(im.shape) for im in images)
    scales = scale_grid(pixel_size, side)
    outside = stated and scales and not scales[0] <= stated <= scales[-1]
    if stated and outside and not particle_size_problem(stated, pixel_size, side):
        scales = sorted([*scales, stated])
    filled, grid = np.zeros(len(scales)), images[:GRID_MICROGRAPHS]
    looks = [[look(im, d, False, False) for im in grid] for d in scales]
    sure = [sum(float(l.weights(d).sum()) for l in seen) for d, seen in zip(scales, looks)]
    for i, (d, seen) in enumerate(zip(scales, looks)):
        if sure[i] >= MINIMUM:  # share of the area, summed over images, that sure particles of the rung fill
            filled[i] = sum(float((l.weights(d) * l.extents**2).sum()) / l.area for l in seen)
    if stated:
        filled *= 1 / (1 + (np.log(np.array(scales) / stated) / PRIOR) ** 4)
    # whether the other sign of protein shows less; asked only of rungs that may decide, as each look takes time
    alone = lambda i: _beyond(sure[i], sum(look(im, scales[i], False, True).weights(scales[i]).sum() for im in grid))
    limit, doubtful, tried = UNEVEN, None, 0
    for best in np.argsort(-filled):
        if not filled[best] or tried == 2:
            break
        if filled[best] > OTHER_KIND * filled.max() and not alone(best):
            filled[best] = 0.0
            continue
        tried += 1
        found = _from(look, images, scales[best], pixel_size)
        if found and found.uneven > limit:
            if stated and abs(math.log(found.diameter / stated)) < math.log(1.75):
                return None  # another size would contradict the user and the network
            if found.uneven <= DOUBTFUL and found.particles >= MANY:
                doubtful = doubtful or found
            limit = EVEN
        elif found:
            return dataclasses.replace(found, others=_others(found.diameter, scales, filled, alone))
    return doubtful


def _beyond(sure: float, opposite: float) -> bool:
    return sure - opposite >= MINIMUM and sure >= RATIO * opposite


def _images(paths: typing.Sequence[str]) -> list[np.ndarray]:
    images = read_some(read_micrograph, paths, MICROGRAPHS)
    # a thumbnail among micrographs would end the ladder below their particles
    usual = float(np.median([min(im.shape) for im in images])) if images else 0.0
    return [im for im in images if min(im.shape) >= SMALL_PART * usual]


def _from(
    look: typing.Callable[[np.ndarray, float, bool, bool], ScaleCandidates],
    images: typing.Sequence[np.ndarray],
    diameter: float,
    pixel_size: float,
) -> Size | None:
    """Size from the network's estimates at a diameter, and at what they say, until that stays; None if it does not."""
    smallest = scale_grid(pixel_size, min(min(im.shape) for im in images))[:1]
    for _ in range(REPEATS):
        if (
            not smallest
            or diameter < BELOW * smallest[0]
            or any(particle_size_problem(diameter, pixel_size, min(im.shape)) for im in images)
        ):
            return None
        looks = [look(im, diameter, True, False) for im in images]
        weights, extents = (
            np.concatenate([np.zeros(0), *parts])
            for parts in ((l.weights(diameter, REACH) for l in looks), (l.extents for l in looks))
        )
        if weights.sum() < MINIMUM:
            return None
        order = np.argsort(extents)
        running = np.cumsum(weights[order])
        middle = float(extents[order][np.searchsorted(running, running[-1] / 2)])  # the median by weight
        moved, diameter = abs(math.log(middle / diameter)), middle
        if moved < CLOSE:
            break
    if middle < BELOW * smallest[0]:
        return None
    if not _beyond(weights.sum(), sum(look(im, diameter, True, True).weights(diameter, REACH).sum() for im in images)):
        return None
    spread = float(np.sqrt(np.average(np.log(extents / middle) ** 2, weights=weights)))
    heights = np.concatenate([l.relative_heights(middle) for l in looks])  # of particles, over their median
    # the smaller one of two measures of how differently particles stand out
    uneven = (
        float(min(1.4826 * np.median(np.abs(heights - 1)), np.log(heights).std())) if len(heights) >= MINIMUM else 0.0
    )
    return Size(float(middle), spread, float(weights.sum()), len(images), uneven=uneven)


def _others(diameter: float, scales: list[float], filled: np.ndarray, alone: typing.Callable) -> tuple[float, ...]:
    """Diameters of rungs, peaks of their own far from the found one, that fill nearly as much."""
    limit = OTHER_KIND * filled.max()
    return tuple(
        round(scales[i], 0)
        for i in range(len(scales))
        if filled[i] > limit
        and abs(math.log(scales[i] / diameter)) > math.log(APART)
        and filled[i] >= max(filled[max(i - 1, 0)], filled[min(i + 1, len(scales) - 1)])
        and alone(i)
    )
