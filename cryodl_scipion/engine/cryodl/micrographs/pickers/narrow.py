# SPDX-License-Identifier: GPL-3.0-or-later
"""Removal of candidates that are narrower than the particles of their set: mostly fragments, specks and noise.

A network that sees three particles' width cannot know how wide the particles of a set are. Once the size is found, what
it tells of each candidate can be compared with that: a general model's scores fall with the width that a candidate
lacks. How steeply is fitted on simulated micrographs of structures that the model did not learn from.
"""

from __future__ import annotations

import typing

import numpy as np
from scipy.optimize import minimize

from ...core.calibration import logit

MINIMUM = 20  # particles, and other candidates, below which nothing is fitted


class Narrow(typing.NamedTuple):
    """How scores fall. slope: of the log odds over the logarithm of the missing width. gain, shift: of the log odds
    then, so that one calibration holds for scores before and after."""

    slope: float = 0.0
    gain: float = 1.0
    shift: float = 0.0


def lower_narrow(raw: np.ndarray, sizes: np.ndarray, rule: Narrow) -> np.ndarray:
    """Raw scores that take the candidates' widths into account.

    Parameters
    ----------
    raw : ndarray, (n,)
        In [0, 1].
    sizes : ndarray, (n,)
        Widths of the candidates over that of the set's particles.

    Returns
    -------
    ndarray, (n,)
        In [0, 1].
    """
    odds = rule.gain * (logit(raw) - rule.slope * _lacking(sizes)) + rule.shift
    return np.asarray(1 / (1 + np.exp(-odds)))


def fit_narrow(hit: np.ndarray, raw: np.ndarray, sizes: np.ndarray, calibration: tuple[float, ...]) -> Narrow:
    """The rule by which scores tell particles best: a logistic curve over log odds and missing width.

    Parameters
    ----------
    hit : ndarray, (n,) bool
        Which candidates are particles.
    raw, sizes : ndarray, (n,)
        As lower_narrow's.
    calibration : (slope, offset)
        That the scores have, and keep.

    Returns
    -------
    Narrow
        One that changes nothing, where there are too few particles, or other candidates, to tell.
    """
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
