# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from calibrated scores: expected number of particles, expected precision and recall, and thresholds.

All of it takes the scores for independent probabilities. The counts then follow the Poisson-binomial distribution
(mean: sum of p, variance: sum of p (1 - p)). Its width tells the luck of the draw alone, not a wrong calibration: on
micrographs unlike those of the training it says too little.
Removal of candidates that are narrower than the particles of their set: mostly fragments, specks and noise.
A network that sees three particles' width cannot know how wide the particles of a set are. Once the size is found, what
it tells of each candidate can be compared with that: a general model's scores fall with the width that a candidate
lacks. How steeply is fitted on simulated micrographs of structures that the model did not learn from."""

import dataclasses
import math
import typing

import numpy as np
from scipy.optimize import minimize

from ...core.calibration import best_threshold, logit

MINIMUM = 20  # particles, and other candidates, below which nothing is fitted
# Score below which the general model, or what learnt from its picks, picks nothing where these are trusted. F1 hardly
# depends on the threshold there (20 clear simulated sets lose 0.002 by it), and people mark fewer than there are.
SURE = 0.6


class Narrow(typing.NamedTuple):
    """How scores fall. slope: of the log odds over the logarithm of the missing width. gain, shift: of the log odds
    then, so that one calibration holds for scores before and after."""

    slope: float = 0.0
    gain: float = 1.0
    shift: float = 0.0


def lower_narrow(raw: np.ndarray, sizes: np.ndarray, rule: Narrow) -> np.ndarray:
    """Raw scores that take the candidates' widths into account. raw: (n,) in [0, 1]. sizes: (n,) widths of the
    candidates over that of the set's particles."""
    return np.asarray(1 / (1 + np.exp(-(rule.gain * (logit(raw) - rule.slope * _lacking(sizes)) + rule.shift))))


def fit_narrow(hit: np.ndarray, raw: np.ndarray, sizes: np.ndarray, calibration: tuple[float, ...]) -> Narrow:
    """The rule by which scores tell particles best: a logistic curve over log odds and missing width. hit: (n,) bool,
    which candidates are particles. raw, sizes: (n,) as lower_narrow's. calibration: (slope, offset) that the scores
    have, and keep. The rule changes nothing where there are too few particles, or other candidates, to tell."""
    if min(hit.sum(), (~hit).sum()) < MINIMUM:
        return Narrow()
    known = np.stack([logit(raw), np.ones(len(raw)), -_lacking(sizes)], 1)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        odds = known @ weights
        return (np.logaddexp(0, odds) - hit * odds).sum(), known.T @ (1 / (1 + np.exp(-odds)) - hit)

    bounds = [(0.1, 10.0), (-30.0, 30.0), (0.0, 30.0)]
    steep, offset, width = minimize(loss, np.array([1.0, 0.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds).x
    rule = width / steep, steep / calibration[0], (offset - calibration[1]) / calibration[0]
    return Narrow(*(round(float(value), 4) for value in rule))


def _lacking(sizes: np.ndarray) -> np.ndarray:
    """Logarithm of how much wider a particle is; 0 for candidates as wide or wider."""
    return np.maximum(-np.log(np.maximum(sizes, 1e-3)), 0.0)


def threshold_of(rule: str, scores: np.ndarray, model_threshold: float) -> float:
    """The threshold of one micrograph. rule: 'model' (model_threshold), 'f1' (the largest expected F1 on this
    micrograph) or 'count' (as many picks as particles are expected). scores: (n,) of its candidates. Only this
    micrograph is looked at, so that micrographs that arrive one by one get the same picks as all together."""
    return model_threshold if rule == "model" else {"f1": best_threshold, "count": count_threshold}[rule](scores)


def count_threshold(scores: np.ndarray) -> float:
    """The threshold that keeps as many of the (n,) scores as particles are expected among them (their sum, rounded). 1
    if that is none; equal scores at the limit are all kept."""
    count = int(round(float(np.sum(scores))))
    return float(np.sort(scores)[::-1][count - 1]) if count else 1.0


def threshold_uncertainty(parts: typing.Sequence[np.ndarray], repeats: int = 40, seed: int = 0) -> float:
    """Standard deviation of best_threshold over micrographs drawn with replacement. parts: scores of one or more."""
    rng = np.random.default_rng(seed)
    draw = lambda: np.concatenate([parts[i] for i in rng.integers(len(parts), size=len(parts))])
    return float(np.std([best_threshold(draw()) for _ in range(repeats)]))


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What the scores of candidates let expect; sums, so that those of several micrographs can be added. candidates,
    particles (expected), variance (of their number); picks, and true_picks: how many of them are expected to be
    particles."""

    candidates: int = 0
    particles: float = 0.0
    variance: float = 0.0
    picks: int = 0
    true_picks: float = 0.0

    def __add__(self, other: "Expectation") -> "Expectation":
        return Expectation(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other))))

    @property
    def deviation(self) -> float:
        """Standard deviation of the number of particles."""
        return math.sqrt(self.variance)

    @property
    def confident(self) -> float:
        """Sum of p^2: the expected number of particles, weighed by how sure they are; middling scores count little."""
        return self.particles - self.variance

    def metrics(self) -> dict[str, float]:
        """Expected precision, recall and F1 of the picks; 0 where there is nothing. Particles that are no candidate at
        all are not known of: recall is that among the candidates."""
        ratio = lambda part, whole: part / whole if whole > 0 else 0.0
        return dict(
            precision=ratio(self.true_picks, self.picks),
            recall=ratio(self.true_picks, self.particles),
            f1=ratio(2 * self.true_picks, self.picks + self.particles),
        )


def expected_counts(scores: np.ndarray, threshold: float) -> Expectation:
    """Expectation of (n,) calibrated scores of candidates, of which those of at least `threshold` are picks."""
    kept = scores[scores >= threshold]
    return Expectation(
        len(scores), float(scores.sum()), float((scores * (1 - scores)).sum()), len(kept), float(kept.sum())
    )
