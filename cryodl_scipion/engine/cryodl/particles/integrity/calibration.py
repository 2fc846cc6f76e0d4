# SPDX-License-Identifier: GPL-3.0-or-later
"""What log-likelihoods of compositions are worth, learnt from made-up particles of known composition.

After a search they are over-confident, and lean towards one composition: a larger reference fits noise better. Made-up
particles are searched and compared like the real ones. A logistic regression on them gives a weight and the offset
between the compositions. That offset changes with the strength of the images, which a search tells to a few per cent
only: half of the made-up ones are weaker, half stronger, and the real ones are taken to lie where their total evidence
does. Fractions come from expectation-maximisation with these calibrated likelihoods, their intervals from the whole
procedure on resampled particles, and probabilities are means over these."""

import dataclasses

import numpy as np
from scipy.special import betaincinv, logsumexp, softmax

from ...core.calibration import logistic_regression

STRENGTHS = (-0.15, 0.15)  # of the made-up particles, relative to the set's
WIDEST = 0.3  # relative strength that is believed
WEIGHT, OFFSET, SLOPE = 0.5, 3.0, 10.0  # standard deviations of what the regression finds, as a prior
STEPS = 30  # of expectation-maximisation, which takes some ten
RESAMPLED = 50
NONE = 1e-3  # particles, hardly any
LARGEST = 1000  # images of real particles that are resampled
FOLDS = 4
# standard deviations below the mean evidence of made-up particles; part of a set, and particles, that may lie lower
LITTLE, SEVERAL, MORE = 2.0, 0.05, 3
HARDLY = 0.7  # of two compositions: right answers of made-up particles, below which they cannot be told apart


@dataclasses.dataclass(frozen=True)
class MadeUp:
    """logs: (m, c) log-likelihoods of c compositions. kinds: (m,) true compositions. strength: (m,) relative to what
    was assumed, minus 1."""

    logs: np.ndarray
    kinds: np.ndarray
    strength: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> "MadeUp":
        return MadeUp(self.logs[rows], self.kinds[rows], self.strength[rows])

    def resampled(self, rng: np.random.Generator) -> "MadeUp":
        """As many particles, drawn with replacement from each composition and strength."""
        cells = np.unique(np.stack([self.kinds, self.strength], 1), axis=0, return_inverse=True)[1].ravel()
        mine = [np.nonzero(cells == cell)[0] for cell in range(cells.max() + 1)]
        return self[np.concatenate([rng.choice(rows, len(rows)) for rows in mine])]


@dataclasses.dataclass(frozen=True)
class CompositionCalibration:
    """weight: of the log-likelihoods. offset, slope: (c,) what is added to each composition, and by how much more for a
    relative strength of one more. total: (c, 2) mean total evidence of each composition's particles, and its change
    with the strength. spread: (c,) standard deviation of the evidence about that."""

    weight: float
    offset: np.ndarray
    slope: np.ndarray
    total: np.ndarray
    spread: np.ndarray

    @classmethod
    def learnt(cls, made: MadeUp) -> "CompositionCalibration":
        """By multinomial logistic regression on made-up particles, as many of each composition."""
        count, size = made.logs.shape
        other = np.eye(size)[:, 1:]  # the first composition's offset is 0
        own = np.broadcast_to(other, (count, *other.shape))
        table = np.concatenate([made.logs[..., None], own, own * made.strength[:, None, None]], 2)
        middle, width = np.eye(2 * size - 1)[0], np.repeat([WEIGHT, OFFSET, SLOPE], [1, size - 1, size - 1])
        found = logistic_regression(table - table.mean(1, keepdims=True), np.eye(size)[made.kinds], middle, width)
        total, own_rows = logsumexp(made.logs, axis=1), [made.kinds == kind for kind in range(size)]
        lines = [np.polyfit(made.strength[mine], total[mine], 1) for mine in own_rows]
        spread = [(total[m] - np.polyval(line, made.strength[m])).std() for m, line in zip(own_rows, lines)]
        offset, slope = other @ found[1:size], other @ found[size:]
        return cls(float(found[0]), offset, slope, np.array(lines)[:, ::-1], np.array(spread))

    def calibrated(self, logs: np.ndarray, strength: float | np.ndarray) -> np.ndarray:
        """(n, c) log-likelihoods, up to what is the same for all, from those of the comparison. strength: (n,)."""
        return logs * self.weight + self.offset + np.asarray(strength)[..., None] * self.slope

    def strange(self, logs: np.ndarray) -> np.ndarray:
        """(n,) bool: particles with less evidence than hardly any made-up ones of their likeliest composition have, if
        more than chance gives have so little. None if most do: the strength is theirs then."""
        strength = self.fractions(logs)[1]
        least = self.total @ (1, strength) - LITTLE * self.spread
        found = logsumexp(logs, axis=1) < least[self.calibrated(logs, strength).argmax(1)]
        return found & (SEVERAL * len(logs) + MORE < found.sum() < len(logs) / 2)

    def fractions(self, logs: np.ndarray, added: float = 1.0) -> tuple[np.ndarray, float]:
        """(c,) parts of a set that the compositions have, and its relative strength, by expectation-maximisation.
        added: particles of each, so that a small set rules none out."""
        count, size = logs.shape
        parts, strength, mean = np.full(size, 1 / size), 0.0, logsumexp(logs, axis=1).mean()
        for _ in range(STEPS):
            posterior = softmax(self.calibrated(logs, strength) + np.log(parts), 1)
            former, parts = parts, (posterior.sum(0) + added) / (count + added * size)
            expected, change = parts @ self.total
            strength = float(np.clip((mean - expected) / max(change, 1e-6), -WIDEST, WIDEST))
            if np.abs(parts - former).max() < 1e-4:
                break
        return parts, strength


@dataclasses.dataclass(frozen=True)
class CompositionVerdict:
    """probability: (n, c), 0 of particles that seem to show none of the compositions. fractions, low, high: (c,) of the
    others, with intervals of 95 %. told: part of the made-up particles, as many of each composition, that a calibration
    without them tells right. strength: of the set, relative to what was assumed, minus 1."""

    probability: np.ndarray
    fractions: np.ndarray
    low: np.ndarray
    high: np.ndarray
    told: float
    strength: float

    @property
    def answers(self) -> bool:
        """Whether single particles tell the compositions apart; more than two: as far beyond chance as two."""
        chance = 1 / len(self.fractions)
        return self.told >= chance + (2 * HARDLY - 1) * (1 - chance)


def judged(logs: np.ndarray, made: MadeUp, image: np.ndarray, seed: int = 0) -> CompositionVerdict:
    """CompositionVerdict on particles from their log-likelihoods (n, c), which were found like those of `made`. image:
    (n,) number of each one's image: copies, as an expansion by symmetry makes them, are drawn together."""
    rng, learnt = np.random.default_rng(seed), CompositionCalibration.learnt(made)
    strange = learnt.strange(logs)
    shown, image = logs[~strange], np.unique(image[~strange], return_inverse=True)[1]
    members = np.split(np.argsort(image, kind="stable"), np.bincount(image).cumsum())
    fractions, strength = learnt.fractions(shown)
    probability, drawn, count = np.zeros(logs.shape), [], min(image.max() + 1, LARGEST)
    for _ in range(RESAMPLED):
        learnt = CompositionCalibration.learnt(made.resampled(rng))
        some = shown[np.concatenate([members[number] for number in rng.integers(image.max() + 1, size=count)])]
        parts, strong = learnt.fractions(some)
        probability += softmax(learnt.calibrated(logs, strong) + np.log(parts), 1) / RESAMPLED
        drawn.append(learnt.fractions(some, NONE)[0])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    # what no image shows, no resampling draws: at least as wide as of so many images (Clopper and Pearson 1934)
    seen = np.clip(np.mean(drawn, axis=0) * count, NONE, count - NONE)
    low = np.minimum(low, betaincinv(seen, count - seen + 1, 0.025))
    high = np.maximum(high, betaincinv(seen + 1, count - seen, 0.975))
    return CompositionVerdict(probability * ~strange[:, None], fractions, low, high, told_apart(made, rng), strength)


def told_apart(made: MadeUp, rng: np.random.Generator) -> float:
    """Part of made-up particles whose composition is told right by what is learnt from the others."""
    right = np.zeros(len(made.kinds))
    for rows in np.array_split(rng.permutation(len(right)), FOLDS):
        learnt = CompositionCalibration.learnt(made[np.setdiff1d(np.arange(len(right)), rows)])
        right[rows] = learnt.calibrated(made.logs[rows], made.strength[rows]).argmax(1) == made.kinds[rows]
    return float(right.mean())
