# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles that are something else than the others: a mixture told from motion.

Two groups of normal distributions (extreme deconvolution, Bovy et al. 2011), or two places along a line, in the
coordinates that each image states with its error: how much of the mean volume it shows, and the motion's components."""

import copy
import dataclasses
import itertools
import typing

import numpy as np
from scipy.linalg import eigh

from ...latent import expectation, motion
from ...latent.components import COARSE, Setting, orthonormal

CONTRAST = 5  # of the errors, see coefficients.FIRST_SPREAD
LARGEST = 0.3  # of the particles: a larger group is no minority
SMALLEST = 8  # particles
DISTINCT = 2.0  # widths of both groups that lie between them
SAME = 0.75  # of what the mean volume explains of the others, from which a group is another state of the same molecule
DOUBT = 0.1  # probability of the group from which a particle is set apart
TAIL, MANY = 0.05, 4000  # particles where a search begins, of how many groups are fitted to
ROUNDS = 60  # of a fit at most
PRIOR = 20.0  # particles that the first guess of a group's shape counts as


@dataclasses.dataclass(frozen=True)
class Group:
    """rows : (n,) bool, its particles. explained : contrast of the mean volume in them over that in the others.
    foreign : whether the structure hardly explains them."""

    rows: np.ndarray
    explained: float
    foreign: bool


class _Statements(expectation.Linear):
    """Keeps what each image says of the contrast and of the components, its other errors taken out: match = gram x
    coordinates + noise, whose covariance is gram."""

    def __init__(self, count: int, free: np.ndarray) -> None:
        super().__init__(count)
        self.free = np.delete(free, CONTRAST)
        self.match, self.gram = list[np.ndarray](), list[np.ndarray]()

    def __call__(self, gram: np.ndarray, match: np.ndarray, moved: np.ndarray, sigmas: np.ndarray) -> typing.Any:
        q = self.count
        order = np.r_[q + CONTRAST, 0:q, np.delete(np.arange(q, gram.shape[1]), CONTRAST)]
        own = expectation.without_errors(gram[:, order[:, None], order], match[:, order], q + 1, 1 / self.free**2)
        self.gram.append(own[0])
        self.match.append(own[1])
        return super().__call__(gram, match, moved, sigmas)


def stated(setting: Setting, mean: np.ndarray, radius: float, halves: tuple) -> tuple[np.ndarray, np.ndarray]:
    """What each image says of its contrast and of its coordinates: match (n, d), gram (n, d, d) x coordinates + noise,
    whose covariance is gram. mean: (box, box, box). radius: finest frequency, waves per box; no more than COARSE is
    used. halves: pair of ndarray, (q, box, box, box), components of the motion test."""
    axes, deviations, _ = orthonormal(np.concatenate(halves))
    changes = (axes * deviations[:, None, None, None])[: motion.COMPONENTS]
    volumes, free = np.concatenate([mean[None], changes]).astype(np.float32), motion.FREE * setting.views.spread
    cube, count = setting.cube(min(radius, COARSE)), setting.coefficients.count(min(radius, COARSE))
    found = _Statements(len(changes), free)
    expectation.expect(setting.coefficients, setting.views, setting.rows(), cube, volumes, count, free, found, False)
    gram = np.concatenate(found.gram)
    # of the contrast itself, not of its change
    return np.concatenate(found.match) + gram[:, :, 0] * setting.views.contrast[:, None], gram


def find_group(match: np.ndarray, gram: np.ndarray, rng: np.random.Generator) -> Group | None:
    """A minority of the particles that lies apart from the others, if there is one. match, gram: see `stated`."""
    chance = minority(match, gram, rng)
    if chance is None:
        return None
    contrast = [np.sum(p * match[:, 0]) / np.sum(p * gram[:, 0, 0]) for p in (chance, 1 - chance)]
    rows, explained = chance > DOUBT, float(np.clip(contrast[0] / max(contrast[1], 1e-6), 0, None))
    return Group(rows, explained, explained < SAME) if SMALLEST <= rows.sum() <= LARGEST * len(chance) else None


def difference(match: np.ndarray, gram: np.ndarray, image: np.ndarray) -> dict[str, typing.Any]:
    """How particles that differ do so, by match and gram of `stated`. kind: 'molecules' if one of two kinds shows much
    less of the mean volume; 'states' if they lie at two or three places along the way on which they differ most;
    'motion' if all along it; '' if none is likelier by TOLD (logarithm). share: of the rarer, or less shown, 0 of
    three; explained: how much. image: (n,) number of each one's image, whose copies count once."""
    some = slice(None, None, -(-len(match) // MANY))
    one = _Groups(match[some], gram[some], np.ones((len(match[some]), 1)))
    one.fit()
    way, images = eigh(one.shape[0][1:, 1:], one.noise[1:, 1:])[1][:, -1], len(np.unique(image[some]))
    gain, share, explained, _ = _two_places(one, np.eye(match.shape[1])[0], images)
    if gain > TOLD and explained < SAME:
        return dict(kind="molecules", share=share, explained=explained)
    gain, share, _, three = _two_places(one, np.append(0, way), images)  # not along the contrast, which ice changes
    return dict(
        kind="states" if gain > TOLD else "motion" if gain < -TOLD else "",
        share=0.0 if three else min(share, 1 - share),
    )


PLACES, REACH = 27, 2.6  # along a line, in standard deviations
WIDTHS, GAP, TOLD = (0.1, 0.2, 0.35), 5.0, 3.0  # of places; widths between two; see `difference`


def _two_places(one: "_Groups", along: np.ndarray, images: int) -> tuple[float, float, float, bool]:
    """Of a group, by how much two places along a line, or three alike, fit better than an even or a normal
    distribution: logarithm of the likelihood, less what they may gain by chance (by the Bayesian information criterion)
    if they do. And the part at the place that shows less of the mean, how much less, if three fit best. along: (d,)."""
    line, shape, place = copy.copy(one), one.shape[0], np.linspace(-REACH, REACH, PLACES)
    way = shape @ along / np.sqrt(along @ shape @ along)
    line.share, line.middle = np.ones(PLACES), one.middle + place[:, None] * way
    line.shape = np.repeat((shape - np.outer(way, way) + 0.02 * np.diag(np.diagonal(shape)))[None], PLACES, axis=0)
    seen = line.chances(one.match, one.gram)[0]
    fit = lambda ways: np.concatenate([np.log(seen @ (part / part.sum(1, keepdims=True)).T).sum(0) for part in ways])
    normal = lambda middle, width: np.exp(-0.5 * ((place - middle) / width) ** 2) / width
    even = ((place >= a) & (place <= b) for a, b in itertools.combinations(place, 2))
    single = *even, *(normal(middle, width) for middle in (-0.3, 0, 0.3) for width in np.linspace(0.5, 1.5, 11))
    every = itertools.product(place, place, WIDTHS, np.linspace(0.05, 0.95, 19))
    pairs = [(a, b, width, part) for a, b, width, part in every if b - a >= max(GAP * width, 1)]
    two = fit(np.array_split([part * normal(a, w) + (1 - part) * normal(b, w) for a, b, w, part in pairs], 20))
    a, b, _, part = pairs[int(two.argmax())]
    thirds = [normal(a, w) + normal((a + b) / 2, w) + normal(b, w) for a, b, w, part in pairs if b - a >= 2 * GAP * w]
    three = fit([np.array(thirds)]).max()
    gain = float(max(two.max(), three) - fit([np.array(single)]).max()) * images / len(seen)
    (less, share), (more, _) = sorted(
        (max(1e-6, float(one.middle[0, 0] + at * way[0])), float(of)) for at, of in ((a, part), (b, 1 - part))
    )
    return gain - min(max(gain, 0), np.log(images)), share, less / more, bool(three > two.max())


def minority(match: np.ndarray, gram: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """(n,) probability of each particle to be of a smaller group, if two groups say more than one by the Bayesian
    information criterion and lie apart. match, gram: see `stated`."""
    some = rng.choice(len(match), min(MANY, len(match)), replace=False)
    fewer = match[some], gram[some]
    cost = 0.25 * (1 + match.shape[1]) * (2 + match.shape[1]) * np.log(len(some))
    best, value = None, _Groups(*fewer, np.ones((len(some), 1))).fit() + cost
    for start in _starts(*fewer):
        groups = _Groups(*fewer, np.stack([1 - start, start], axis=1))
        likelihood = groups.fit()
        if likelihood > value and groups.apart():
            best, value = groups, likelihood
    return None if best is None else best.chances(match, gram)[0][:, int(np.argmin(best.share))]


def _starts(match: np.ndarray, gram: np.ndarray) -> typing.Iterator[np.ndarray]:
    """(n,) first probabilities: of those that show least of the mean, and of both ends of each component."""
    place = _places(match, gram)
    for number in range(place.shape[1]):
        for sign in (1, -1) if number else (1,):
            yield np.where(sign * place[:, number] < np.quantile(sign * place[:, number], TAIL), 0.9, 0.02)


def _places(match: np.ndarray, gram: np.ndarray) -> np.ndarray:
    return np.linalg.solve(gram + 1e-6 * np.trace(gram.mean(0)) * np.eye(match.shape[1]), match[..., None])[..., 0]


class _Groups:
    """share : (k,). middle : (k, d). shape : (k, d, d) covariances without the noise. Components may be 0."""

    def __init__(self, match: np.ndarray, gram: np.ndarray, chance: np.ndarray) -> None:
        self.match, self.gram = match, gram
        place, size = _places(match, gram), match.shape[1]
        spread = np.var(place, axis=0)
        self.noise = np.linalg.inv(gram.mean(0) + 1e-9 * np.trace(gram.mean(0)) * np.eye(size))
        self.guess = np.diag(np.maximum(spread - np.diagonal(self.noise), np.maximum(0.02 * spread, 1e-12)))
        self.share = chance.mean(0)
        self.middle = chance.T @ place / chance.sum(0)[:, None]
        self.shape = np.repeat(self.guess[None], chance.shape[1], axis=0)

    def fit(self) -> float:
        """The logarithm of the likelihood, once it grows no more."""
        last = -np.inf
        for _ in range(ROUNDS):
            chance, likelihood, values, covariances = self.chances(self.match, self.gram)
            if likelihood < last + 0.01:
                break
            last = likelihood
            self.share = np.maximum(chance.mean(0), 1e-6)
            for k, weight in enumerate(chance.T):
                total = max(weight.sum(), 1e-9)
                self.middle[k] = weight @ values[k] / total
                off = values[k] - self.middle[k]
                square = np.einsum("n,nij->ij", weight, covariances[k] + off[:, :, None] * off[:, None, :])
                self.shape[k] = (square + PRIOR * self.guess) / (total + PRIOR)
        return likelihood

    def chances(self, match: np.ndarray, gram: np.ndarray) -> tuple:
        """(n, k) probabilities of the groups, logarithm of the likelihood, and of each group the coordinates (n, d) of
        all particles and their covariances (n, d, d)."""
        logs, values, covariances = list[np.ndarray](), [], []
        for share, middle, shape in zip(self.share, self.middle, self.shape):
            inverse = np.linalg.inv(shape)
            both = gram + inverse
            covariances.append(np.linalg.inv(both))
            sums = match + inverse @ middle
            values.append(np.einsum("nij,nj->ni", covariances[-1], sums))
            volume = np.linalg.slogdet(shape)[1] + np.linalg.slogdet(both)[1]
            logs.append(np.log(share) + 0.5 * ((sums * values[-1]).sum(1) - middle @ inverse @ middle - volume))
        table = np.stack(logs, axis=1)
        highest = table.max(1, keepdims=True)
        weight = np.exp(table - highest)
        total = weight.sum(1, keepdims=True)
        return weight / total, float((highest + np.log(total)).sum()), values, covariances

    def apart(self) -> bool:
        """Whether the smaller group is a minority that lies beyond the widths of both."""
        way = self.middle[1] - self.middle[0]
        return self.share.min() <= LARGEST and way @ np.linalg.solve(self.shape.sum(0), way) > DISTINCT**2
