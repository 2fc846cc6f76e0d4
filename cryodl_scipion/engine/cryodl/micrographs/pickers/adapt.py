# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration of a general model's scores on micrographs that it never saw, without labels.

A general model is calibrated on simulated micrographs of many kinds; on one data set its scores then are honest on the
average of such sets, not on this one. But where particles stand out, the scores of one data set tell much by
themselves: particles and the rest form two components. Two normal distributions are fitted to the candidates' log odds
(expectation maximisation), starting from the model's own calibration and held back by what the two components look like
elsewhere. If they are far apart, the logistic curve nearest to their posterior takes the place of the model's. If they
are not, the fit is
chance, and the model's own calibration stays (docs/how_general_model.md has the figures of both).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.stats import norm

from ...core.calibration import best_threshold, calibrate, fit_to_probabilities, logit
from .thresholds import expected_counts, threshold_uncertainty

# Log odds of the general model's candidates on simulated micrographs of structures that it did not see, SNR 0.03 and
# 0.15: mean and deviation of the particles, and of the rest. They count as so many candidates of each kind.
PARTICLES, REST, WEIGHT = (-0.15, 1.34), (-3.67, 1.38), 10.0
# Distance of the two means, in their mean deviation, from which they are believed. Of 20 simulated sets, 10 above
# 4.1 had expected F1 within 0.08 of the ground truth by their components, 9 below 3.7 lost up to 0.5 of F1 by them.
APART = 3.9
MINIMUM = 40  # candidates below which the model's own calibration stays: two components cannot be told
ROUNDS, STILL = 300, 1e-4  # of expectation maximisation, and the change of a probability at which it has ended


@dataclasses.dataclass(frozen=True)
class Adapted:
    """calibration: (slope, offset) for calibrate. threshold, uncertainty: of the scores that it gives. candidates: how
    many it was fitted to. own: whether it is the model's own calibration, where the scores are one component.
    separation: of the components. expected_f1: of these candidates at the threshold."""

    calibration: tuple[float, ...]
    threshold: float
    uncertainty: float
    candidates: int
    own: bool = False
    separation: float = 0.0
    expected_f1: float = 0.0


def adapt(raw: np.ndarray, calibration: tuple[float, ...]) -> Adapted | None:
    """Adapted for candidates of one data set; None if there are too few.

    raw: (n,) raw scores of all candidates of some micrographs. calibration: the model's own (slope, offset).
    """
    if len(raw) < MINIMUM:
        return None
    odds, upper = logit(raw), two_components(logit(raw), calibrate(raw, calibration))
    separation = components_apart(odds, upper)
    own = separation < APART
    fitted = tuple(calibration) if own else fit_to_probabilities(upper, raw)
    scores = calibrate(raw, fitted)
    threshold = best_threshold(scores)
    return Adapted(
        fitted,
        threshold,
        round(threshold_uncertainty(np.split(scores, len(scores))), 4),
        len(raw),
        own,
        round(separation, 2),
        round(expected_counts(scores, threshold).metrics()["f1"], 3),
    )


def components_apart(odds: np.ndarray, upper: np.ndarray) -> float:
    """How far the two components are apart: distance of their means over the root of their mean variance.

    odds, upper: (n,) log odds, and probabilities of the upper component.
    """
    particles, rest = _normal(odds, upper, *PARTICLES), _normal(odds, 1 - upper, *REST)
    return float((particles[0] - rest[0]) / np.sqrt((particles[1] ** 2 + rest[1] ** 2) / 2))


def two_components(odds: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(n,) probabilities of belonging to the upper of two normal distributions.

    odds: (n,). start: (n,) probabilities to begin with.
    """
    order = np.argsort(odds)
    odds, upper = odds[order], start[order]
    for _ in range(ROUNDS):
        particles, rest = _normal(odds, upper, *PARTICLES), _normal(odds, 1 - upper, *REST)
        ratio = (
            np.log((upper.sum() + 1) / ((1 - upper).sum() + 1))
            + norm.logpdf(odds, *particles)
            - norm.logpdf(odds, *rest)
        )
        # the wider of two normal distributions wins at both ends: beyond the components' middles nothing turns back
        high, low = np.searchsorted(odds, particles[0]), np.searchsorted(odds, rest[0])
        ratio[high:] = np.maximum.accumulate(ratio[high:])
        ratio[:low] = np.minimum.accumulate(ratio[:low][::-1])[::-1]
        before, upper = upper, 1 / (1 + np.exp(-np.clip(ratio, -30, 30)))
        if np.abs(upper - before).max() < STILL:
            break
    found = np.empty_like(upper)
    found[order] = upper
    return found


def _normal(odds: np.ndarray, fraction: np.ndarray, mean: float, deviation: float) -> tuple[float, float]:
    """Mean and deviation of odds weighted by shares, with WEIGHT candidates of the usual ones among them."""
    total = fraction.sum() + WEIGHT
    middle = (fraction @ odds + WEIGHT * mean) / total
    return middle, np.sqrt((fraction @ (odds - middle) ** 2 + WEIGHT * deviation**2) / total)
