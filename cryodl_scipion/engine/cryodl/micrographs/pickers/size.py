# SPDX-License-Identifier: GPL-3.0-or-later
"""Search for the particles' diameter: a general model is run at several scales on some micrographs. Its network says of
every particle how much wider it is than the diameter that the micrograph was rescaled for. Far from that diameter it
was taught to see nothing. So the ladder of diameters has one rung at which the surest particles fill most of the area,
and there the network's own estimates lead to the size."""

import dataclasses
import functools
import math
import typing

import numpy as np

from ...contract import counted, particle_size_problem
from ...io.files import read_some
from ...io.micrographs import read_micrograph

SMALLEST, LARGEST, STEP = 50.0, 1000.0, 1.45  # Å: the ladder's first and last rung, and the factor between two
SMALLEST_SOUGHT = 18.0  # px of the file: smaller ones would be enlarged twice, and noise then looks like particles
LARGEST_PART = 1 / 3  # of a micrograph's shorter side
# Looked at at the best rung of the ladder, and one less on it; and where that shows nothing, as of sparse particles:
# three or four each are too few, however clear.
MICROGRAPHS, MORE = 3, 8
SMALL_PART = 0.5  # of the median shorter side: smaller micrographs are not asked
# working px of the middle part that is looked at on the ladder, where fine rungs would cost most, and at its best rung
SIDE, WHOLE = 640, 1200
LIKELY = 0.5  # score below which a candidate says nothing of the size
NEAR = 0.36  # log of the size within which a particle belongs to the rung at which it was found
REACH = 0.56  # the same where a diameter is stated, from which the estimate starts
MINIMUM = 6.0  # sure particles below which there is no size
BELOW = 0.7  # of the smallest rung: nothing is sought there
# Of sure particles to those that the other sign of protein shows, where noise and carbon have 1; and the difference in
# its standard deviations.
RATIO, CHANCE = 1.4, 3.5
REPEATS, CLOSE = 3, 0.08  # of the estimate at a rung, and the change of log size that ends them
PRIOR = 0.5  # log of the size at which a rung counts half as much as one at the stated diameter
AGREES = 1.2  # factor between stated and found diameter that is no contradiction
FAR = 2.0  # by which particles are narrower than stated only where they are clear: noise has small spots
# Sure particles are dirt if both measures of how their heights vary are larger: the robust deviation over the median,
# and the standard deviation of the logarithm. Of particles of 22 simulated and 3 real sets the smaller measure is at
# most 0.59; of dirt alone it is nearly always larger than 0.65, and simulated molecules have up to 0.85.
UNEVEN = 0.65
EVEN = 0.5  # the same at a second rung, where those of the first were dirt
# Width of the log extents of sure particles, from the 10th to the 90th percentile: of 24 simulated sets of one molecule
# at most 0.35, elongated ones; of ten of lumps alone 0.38 to 0.59. Those below NARROW are particles however unevenly
# they stand out, as antibodies do in their views.
SPREAD, NARROW = 0.39, 0.25
# Widths that vary less are those of one kind: 30 of 33 simulated sets with F1 of at least 0.93 (two others are long
# molecules), EMPIAR-10028; 3 of 12 with F1 of 0.64 to 0.91 among look-alike lumps or fragments. Heights (uneven),
# too: 16 of 18 sets whose picks are clear, none of seven with fragments of half the mass among them (0.28 to 0.38).
ONE_KIND, ONE_HEIGHT = 0.21, 0.27
LOW = 0.05  # in standard deviations of the image's noise: lower heights count as so high
OTHER_KIND, APART = 0.3, 1.6  # share of the area and factor in size that make a further kind of particle


@dataclasses.dataclass(frozen=True)
class Size:
    """What was found. diameter: Å of the particles' widest extent. particles: how many sure ones were seen on
    `micrographs`. others: Å, of further kinds. uneven: how differently they stand out; above UNEVEN like dirt. spread:
    of the logarithm of their extents; above SPREAD like dirt, too."""

    diameter: float
    particles: float
    micrographs: int
    others: tuple[float, ...] = ()
    uneven: float = 0.0
    spread: float = (NARROW + SPREAD) / 2  # of older versions' records, where heights decide

    @property
    def dirty(self) -> bool:
        """Whether what was seen may be dirt."""
        return self.spread > (NARROW if self.uneven > UNEVEN else SPREAD)

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
        """(n,) how much each candidate counts at a rung: its score squared, 0 if that is low or its size another."""
        return np.where((np.abs(np.log(self.extents / diameter)) < near) & (self.scores >= LIKELY), self.scores**2, 0.0)

    def relative_heights(self, diameter: float) -> np.ndarray:
        """(m,) heights of sure particles over their median; 1 if they were not measured."""
        sure = self.weights(diameter, REACH) > 0
        if self.heights is None or not sure.any():
            return np.ones(1)
        heights = np.maximum(self.heights[sure], LOW)
        return heights / np.median(heights)


def scale_grid(pixel_size: float, side: int) -> list[float]:
    """Diameters in Å to look at. side: shorter side of the micrographs, px."""
    low, high = max(SMALLEST, SMALLEST_SOUGHT * pixel_size), min(LARGEST, LARGEST_PART * side * pixel_size)
    if high <= low:
        return [low] if not particle_size_problem(low, pixel_size, side) else []
    return np.geomspace(low, high, max(2, math.ceil(math.log(high / low) / math.log(STEP)) + 1)).tolist()


def find_size(
    look: typing.Callable,
    paths: typing.Sequence,
    pixel_size: float,
    stated: float | None = None,
    number: int = MICROGRAPHS,
) -> Size | None:
    """The particles' size; None if the micrographs do not tell it. look: function (image (h, w), diameter in Å, whole,
    opposite) -> ScaleCandidates; whole: not only a middle part of it; opposite: of the other sign of protein. Noise and
    carbon look alike in both; what is seen there is subtracted. paths: micrographs; those that cannot be read are
    passed over here, as picking reports them, and so are those much smaller than the others. pixel_size: Å/px. stated:
    Å that the user gave: a prior, as rungs near it count for more. number: of micrographs."""
    if not (images := _images(paths, number)):
        return None
    side = min(min(im.shape) for im in images)
    ladder = scale_grid(pixel_size, side)
    fits = lambda d: d >= BELOW * ladder[0] and not particle_size_problem(d, pixel_size, side)
    outside = stated and ladder and fits(stated) and not ladder[0] <= stated <= ladder[-1]
    scales = sorted([*ladder, stated]) if stated and outside else ladder
    grid = images[: max(1, number - 1)]
    looks = [[look(im, d, False, False) for im in grid] for d in scales]
    sure = [[l.weights(d) for l in seen] for d, seen in zip(scales, looks)]
    prior = 1 / (1 + (np.log(np.array(scales) / stated) / PRIOR) ** 4) if stated else np.ones(len(scales))
    # share of the area, summed over images, that sure particles of the rung fill
    filled = np.array([sum((w * l.extents**2).sum() / l.area for l, w in zip(*seen)) for seen in zip(looks, sure)])
    # what the other sign of protein shows; asked only of rungs that may decide, as each look takes time
    other = functools.cache(lambda d: np.concatenate([look(im, d, False, True).weights(d) for im in grid]))
    alone = lambda i: _beyond(np.concatenate(sure[i]), other(scales[i]))
    limit, doubtful, tried = UNEVEN, None, list[int]()
    while len(tried) < min(2, len(scales)):
        left = filled if tried else prior * filled * _peaks(filled)  # a wrong stated diameter is left for a better one
        best = max(set(range(len(scales))) - set(tried), key=left.__getitem__)
        if not left[best]:
            break
        if filled[best] > OTHER_KIND * filled.max() and not alone(best):
            filled[best] = 0.0
            continue
        tried.append(best)
        found = _from(look, images, scales[best], fits)
        if found and found.uneven > limit:
            if stated and abs(math.log(found.diameter / stated)) < math.log(1.75):
                return None  # another size would contradict the user and the network
            doubtful, limit = doubtful or found, EVEN
        elif found:
            settle = lambda rung: _from(look, images, rung, fits)
            return dataclasses.replace(found, others=_others(found.diameter, scales, filled, alone, settle))
    if doubtful or not filled.any():
        return doubtful
    # Of faint particles the network tells no size: the rungs at which most stand out beyond the other sign.
    net = prior * [max(1e-9, sum(map(np.sum, sure[i])) - other(scales[i]).sum()) for i in range(len(scales))]
    net *= np.abs(np.arange(len(net)) - net.argmax()) < 2  # and beside it
    return _from(look, images, math.exp(np.average(np.log(scales), weights=net)), fits, stay=True)


def _peaks(filled: np.ndarray) -> np.ndarray:
    """(n,) bool: the rungs that fill as much as those beside them."""
    return filled >= np.maximum(np.r_[0, filled[:-1]], np.r_[filled[1:], 0])


def _beyond(sure: np.ndarray, opposite: np.ndarray) -> bool:
    """Whether the squared scores (n,) of sure particles are more than those that the other sign shows."""
    by_chance = CHANCE * math.hypot(np.linalg.norm(sure), np.linalg.norm(opposite))
    return sure.sum() - opposite.sum() >= max(MINIMUM, by_chance) and sure.sum() >= RATIO * opposite.sum()


def _images(paths: typing.Sequence[str], number: int) -> list[np.ndarray]:
    images = read_some(read_micrograph, paths, number)
    # a thumbnail among micrographs would end the ladder below their particles
    usual = float(np.median([min(im.shape) for im in images])) if images else 0.0
    return [im for im in images if min(im.shape) >= SMALL_PART * usual]


def _from(
    look: typing.Callable, images: typing.Sequence, diameter: float, fits: typing.Callable, stay: bool = False
) -> Size | None:
    """Size from the network's estimates at a diameter, and at what they say, until that stays; None if it does not.
    fits: whether a diameter is sought. stay: the diameter is taken as it is."""
    for _ in range(REPEATS):
        if not fits(diameter):
            return None
        seen, chance = ([look(im, diameter, True, opposite) for im in images] for opposite in (False, True))
        weights, less = (np.concatenate([l.weights(diameter, REACH) for l in looks]) for looks in (seen, chance))
        if not _beyond(weights, less):
            return None
        # the median by weight without what the other sign shows, too, which is small: spots of noise
        sizes = math.log(diameter) + np.linspace(-REACH, REACH, 201)
        extents = np.log(np.concatenate([l.extents for l in (*seen, *chance)]))
        apart = np.abs(sizes[:, None] - extents) @ np.r_[weights, -less]
        middle = diameter if stay else math.exp(sizes[apart.argmin()])
        moved, diameter = abs(math.log(middle / diameter)), middle
        if moved < CLOSE:
            break
    else:
        return None
    heights = np.concatenate([l.relative_heights(middle) for l in seen])  # of particles, over their median
    # the smaller one of two measures of how differently particles stand out
    uneven = float(min(1.4826 * np.median(np.abs(heights - 1)), np.log(heights).std()))
    sure = np.concatenate([l.extents[l.weights(middle, REACH) > 0] for l in seen])
    return Size(
        middle,
        float(weights.sum()),
        len(images),
        uneven=uneven,
        spread=float(np.ptp(np.log(np.percentile(sure, (10, 90))))),
    )


def _others(
    diameter: float, scales: list[float], filled: np.ndarray, alone: typing.Callable, settle: typing.Callable
) -> tuple[float, ...]:
    """Sizes of further kinds: of rungs, peaks of their own far from the found one, that fill nearly as much, and whose
    estimates do not settle near it, as those of pairs do."""
    far = lambda size: abs(math.log(size / diameter)) > math.log(APART)
    likely = np.flatnonzero(_peaks(filled) & (filled > OTHER_KIND * filled.max()))
    settled = (settle(scales[i]) for i in likely if far(scales[i]) and alone(i))
    return tuple(round(kind.diameter, 0) for kind in settled if kind and far(kind.diameter))
