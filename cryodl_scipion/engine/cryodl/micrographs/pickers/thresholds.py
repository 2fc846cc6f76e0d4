# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from calibrated scores: expected number of particles, expected precision and recall, and thresholds.

All of it takes the scores for independent probabilities. The counts then follow the Poisson-binomial distribution
(mean: sum of p, variance: sum of p (1 - p)). Its width tells the luck of the draw alone, not a wrong calibration: on
micrographs unlike those of the training it says too little.
"""

from __future__ import annotations

import dataclasses
import math
import typing

import numpy as np

from ...core.calibration import best_threshold


def threshold_of(rule: str, scores: np.ndarray, model_threshold: float) -> float:
    """The threshold of one micrograph.

    rule: 'model' (model_threshold), 'f1' (the largest expected F1 on this micrograph) or 'count' (as many picks as
    particles are expected). scores: (n,) of its candidates. Only this micrograph is looked at, so that micrographs that
    arrive one by one get the same picks as all together.
    """
    if rule == "model":
        return model_threshold
    return {"f1": best_threshold, "count": count_threshold}[rule](scores)


def count_threshold(scores: np.ndarray) -> float:
    """The threshold that keeps as many of the (n,) scores as particles are expected among them (their sum, rounded).

    1 if that is none; equal scores at the limit are all kept.
    """
    count = int(round(float(np.sum(scores))))
    return float(np.sort(scores)[::-1][count - 1]) if count else 1.0


def threshold_uncertainty(parts: typing.Sequence[np.ndarray], repeats: int = 40, seed: int = 0) -> float:
    """Standard deviation of best_threshold over micrographs drawn with replacement. parts: list of (n,) scores of
    each."""
    if not parts:
        return 0.0
    rng = np.random.default_rng(seed)
    draw = lambda: np.concatenate([parts[i] for i in rng.integers(len(parts), size=len(parts))])
    return float(np.std([best_threshold(draw()) for _ in range(repeats)]))


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What the scores of candidates let expect; sums, so that those of several micrographs can be added.

    candidates, particles (expected), variance (of their number); picks, and true_picks: how many of them are expected
    to be particles.
    """

    candidates: int = 0
    particles: float = 0.0
    variance: float = 0.0
    picks: int = 0
    true_picks: float = 0.0

    def __add__(self, other: Expectation) -> Expectation:
        return Expectation(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other))))

    @property
    def deviation(self) -> float:
        """Standard deviation of the number of particles."""
        return math.sqrt(self.variance)

    @property
    def confident(self) -> float:
        """Sum of p^2: the expected number of particles, each weighed by how sure it is. Many middling scores count
        little."""
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
    scores = np.asarray(scores, float)
    kept = scores[scores >= threshold]
    return Expectation(
        len(scores), float(scores.sum()), float((scores * (1 - scores)).sum()), len(kept), float(kept.sum())
    )
