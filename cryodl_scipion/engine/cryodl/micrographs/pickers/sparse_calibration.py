# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration of scores from candidates of which only some particles are labelled."""

import numpy as np
from scipy.optimize import brentq

from ...core.calibration import logit

SLOPES = np.geomspace(0.2, 8.0, 60)
MAX_PARTICLES = 0.95  # of the candidates: beyond, the curve would say "particle" of everything


def fit_sparse_calibration(labelled: np.ndarray, raw: np.ndarray, fraction: float) -> tuple[float, float]:
    """(slope, offset) for core.calibration.calibrate, where the labelled particles are a random part of all.

    labelled: (n,) bool, candidates on a labelled particle; raw: (n,) raw scores of all candidates. fraction: particles
    that there are for each labelled one, at least 1.

    Two things are known of the unknown particles: their number, and that they score as the labelled ones do. So the
    curve is the one by which the candidates' probabilities add up to that number, and by which the mean log odds of the
    raw scores, weighted by the probabilities, is that of the labelled ones. (1, 0) without a labelled candidate.
    """
    if not labelled.any():
        return 1.0, 0.0
    return fit_curve_to_number(raw, fraction * int(np.sum(labelled)), float(logit(raw[labelled]).mean()))


def fit_curve_to_number(raw: np.ndarray, number: float, wanted: float) -> tuple[float, float]:
    """(slope, offset) for core.calibration.calibrate by which the probabilities of (n,) raw scores add up to a number
    of particles, and the mean log odds of the raw scores, weighted by the probabilities, is as wanted.

    (1, 0) for a number below 1.
    """
    number = min(number, MAX_PARTICLES * len(raw))
    if number < 1:
        return 1.0, 0.0
    odds = logit(raw)
    curves = [(slope, _offset(slope * odds, number)) for slope in SLOPES]
    misses = [abs(_weighted_mean(odds, slope, offset) - wanted) for slope, offset in curves]
    slope, offset = curves[int(np.argmin(misses))]
    return float(slope), float(offset)


def _probability(value: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(value, -500, 500)))


def _offset(values: np.ndarray, number: float) -> float:
    """The offset by which the probabilities of (n,) values add up to a number between 0 and n."""
    reach = np.abs(values).max() + 50.0
    return brentq(lambda offset: _probability(values + offset).sum() - number, -reach, reach)


def _weighted_mean(odds: np.ndarray, slope: float, offset: float) -> float:
    weight = _probability(slope * odds + offset)
    return float((weight * odds).sum() / weight.sum())
