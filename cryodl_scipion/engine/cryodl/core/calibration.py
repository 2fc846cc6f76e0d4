# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration of network scores to probabilities, its error, and the threshold with the best expected F1."""

import dataclasses
import math

import numpy as np
from scipy import special
from scipy.optimize import minimize

# The default threshold gives up this much expected F1 for recall: a false pick leaves in 2-D classification, a lost
# particle never comes back. The curve is flat at its top, so a little F1 buys some recall.
_F1_FOR_RECALL = 0.002
NEWTON = 30  # steps, of which some ten are taken
_BELOW = 0.01  # that a threshold lies below the last score that is kept: rounding must not lose it


def logit(probability: np.ndarray) -> np.ndarray:
    """Log odds, finite also for 0 and 1. probability: of any shape, in [0, 1]."""
    return np.asarray(special.logit(np.clip(probability, 1e-6, 1 - 1e-6)))


def calibrate(raw: np.ndarray, calibration: tuple[float, ...]) -> np.ndarray:
    """Raw network scores in [0, 1] to probabilities: a logistic curve over their log odds (Platt 1999). Order is kept,
    since the slope is positive. raw: of any shape, in [0, 1]. calibration: (slope, offset). Source: Platt (1999),
    Probabilistic outputs for support vector machines."""
    slope, offset = calibration
    return np.asarray(special.expit(slope * logit(raw) + offset))


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Reliability diagram of scores, in bins of equal width: confidence (b,) mean score, frequency (b,) fraction of
    particles, count (b,) positions. Empty bins have confidence and frequency 0."""

    confidence: np.ndarray
    frequency: np.ndarray
    count: np.ndarray


def reliability(hit: np.ndarray, scores: np.ndarray, bins: int = 10) -> Reliability:
    """Reliability of scores in [0, 1] against what was found to be true.

    Bin b holds ((b - 1) / bins, b / bins], the first also 0.

    hit: (n,) bool, what was found to be true. scores: (n,), in [0, 1]. Raises ValueError for arrays of different
    lengths, or scores that are not probabilities. Source: Guo et al. (2017), On Calibration of Modern Neural Networks,
    section 2."""
    hit, scores = np.asarray(hit, bool), np.asarray(scores, float)
    if hit.shape != scores.shape:
        raise ValueError(f"There are {len(hit)} labels for {len(scores)} scores; each score needs one.")
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError(
            f"Scores range from {scores.min():g} to {scores.max():g}; they must be probabilities between 0 and 1."
        )
    which = np.clip(np.ceil(scores * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    score, frequency = (np.bincount(which, of, minlength=bins) / np.maximum(count, 1) for of in (scores, hit))
    return Reliability(score, frequency, count)


def expected_calibration_error(hit: np.ndarray, scores: np.ndarray, bins: int = 10) -> float:
    """Mean distance between score and frequency of particles, over bins weighted by their positions. hit: (n,) bool,
    whether each position is a particle. scores: (n,), in [0, 1]. bins: as in reliability. 0 is perfect; 0 too if there
    are no scores. Source: Guo et al. (2017), On Calibration of Modern Neural Networks, equation 3."""
    curve = reliability(hit, scores, bins)
    return float(np.sum(curve.count * np.abs(curve.confidence - curve.frequency)) / max(curve.count.sum(), 1))


def fit_calibration(hit: np.ndarray, raw: np.ndarray, fraction: float | None = None) -> tuple[float, float]:
    """(slope, offset) for `calibrate`, from positions that are known to be particles or not.

    Platt's smoothed targets and a weak prior on the slope keep few or perfectly separated samples finite.

    hit: (n,) bool, whether each position is a particle. raw: (n,), raw scores in [0, 1]. fraction: part of
    particles among the positions that will be asked about, if it is not that of the sample. Returns slope, offset:
    (1, 0) if there are no positions. Source: Platt (1999), Probabilistic outputs for support vector machines."""
    if not len(hit):
        return 1.0, 0.0
    odds, positive, negative = logit(raw), int(hit.sum()), int((~hit).sum())
    weight = np.ones(len(hit))
    if fraction is not None and positive and negative:
        weight = np.where(hit, fraction / positive, (1 - fraction) / negative) * len(hit)
    return _fit_curve(odds, np.where(hit, (positive + 1) / (positive + 2), 1 / (negative + 2)), weight)


def fit_to_probabilities(probability: np.ndarray, raw: np.ndarray) -> tuple[float, float]:
    """(slope, offset) for `calibrate`, from positions whose probability another model gave.

    All positions are used, also uncertain ones, so that the expected number of particles stays the same. Labels of
    confident positions alone would make the new scores overconfident.

    probability: (n,), that the other model gave. raw: (n,), raw scores in [0, 1]. Returns slope, offset: (1, 0) if
    there are no positions."""
    return (1.0, 0.0) if not len(raw) else _fit_curve(logit(raw), probability, np.ones(len(raw)))


def _fit_curve(odds: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """(slope, offset) of the logistic curve with the lowest cross-entropy; all arguments (n,). The slope is fitted as a
    logarithm, so that it stays positive, with a weak prior on 1."""

    def cost(parameters: np.ndarray) -> float:
        value = math.exp(parameters[0]) * odds + parameters[1]
        return float(np.mean(weight * (np.logaddexp(0, value) - target * value)) + 1e-3 * parameters[0] ** 2)

    best = minimize(cost, np.zeros(2), method="Nelder-Mead", options=dict(maxiter=2000, xatol=1e-5, fatol=1e-9))
    return float(math.exp(best.x[0])), float(best.x[1])


def logistic_regression(table: np.ndarray, truth: np.ndarray, middle: np.ndarray, width: np.ndarray) -> np.ndarray:
    """(p,) most probable coefficients of a logistic regression, by Newton's method. table: (m, c, p), what speaks for
    each of c classes. truth: (m, c), one at the class of a row. middle, width: (p,) of the normal prior."""

    def chance(found: np.ndarray) -> float:
        logs = table @ found
        prior = (((found - middle) / width) ** 2).sum() / 2
        return float((logs * truth).sum() - special.logsumexp(logs, axis=1).sum() - prior)

    found = middle
    for _ in range(NEWTON):
        share = special.softmax(table @ found, 1)
        mean = np.einsum("mc,mcp->mp", share, table)
        slope = np.einsum("mc,mcp->p", truth - share, table) - (found - middle) / width**2
        spread = np.einsum("mcp,mcq->pq", share[..., None] * table, table) - mean.T @ mean
        step, size = np.linalg.solve(spread + np.diag(1 / width**2), slope), 1.0
        while size > 1e-3 and chance(found + size * step) < chance(found):
            size /= 2
        found = found + size * step
        if np.abs(size * step).max() < 1e-6:
            break
    return found


def best_threshold(scores: np.ndarray, total: float | None = None) -> float:
    """The lowest threshold whose expected F1 is nearly the best, for scores that are probabilities.

    The expected F1 follows from the scores. The F1 of the labels of a few hundred particles is too noisy to choose by
    (on EMPIAR-10028 the threshold chosen by labels lost 0.02 F1 on other micrographs, this one 0.004).

    scores: (n,), probabilities of all candidates; the expected true positives above t are the sum of the scores above
        t.
    total: number of particles there are; the sum of all scores if None.
    It lies between the last score that is kept and the next lower one, so that other candidates of the same kind are
        kept as well: half of the best expected F1 if it lies there, else a little below the last one. 0.5 if there are
        no candidates.
    Source: Lipton, Elkan and Naryanaswamy (2014), Optimal thresholding of classifiers to maximize F1 measure: a
        candidate is worth keeping if its probability is above half of the best F1."""
    if not len(scores):
        return 0.5
    ordered = np.sort(scores)[::-1].astype(float)
    found = np.cumsum(ordered)
    f1 = 2 * found / (np.arange(1, len(ordered) + 1) + (found[-1] if total is None else total))
    last = int(np.flatnonzero(f1 >= f1.max() - _F1_FOR_RECALL).max())
    kept, lower = ordered[last], ordered[last + 1] if last + 1 < len(ordered) else 0.0
    half = float(f1.max()) / 2
    return half if lower < half <= kept else float(max((kept + lower) / 2, kept - _BELOW))
