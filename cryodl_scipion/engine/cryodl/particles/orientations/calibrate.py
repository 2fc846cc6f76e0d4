# SPDX-License-Identifier: GPL-3.0-or-later
"""Calibration of the probabilities of orientations on simulated particles with known orientations."""

import dataclasses
import typing

import numpy as np

from ...core.symmetry import angular_distance
from .simulated_set import simulate_alike

RIGHT = 15.0  # degrees: an answer nearer to the ground truth counts as right
COUNT = 256  # made-up particles, at most ...
MINIMUM = 64  # ... and at least
RIDGE = 0.3  # penalty of the squared weights: few particles cannot say more
STEPS = 50  # of Newton's method: it takes some ten
SEED = 20  # of the made-up particles


@dataclasses.dataclass(frozen=True)
class AnswerCalibration:
    """A logistic regression of 'the answer is right' on what the search says of it.

    weights: (f + 1,), the last one is the constant. mean, scale: (f,) of the features. right: part of the made-up
    particles' answers that were right.
    """

    weights: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    right: float

    def probability(self, found: typing.Any) -> np.ndarray:
        """(n,) probabilities that the answers of Orientations lie within RIGHT degrees of the truth."""
        values = (features(found) - self.mean) / self.scale
        return 1 / (1 + np.exp(-(values @ self.weights[:-1] + self.weights[-1])))


def features(found: typing.Any) -> np.ndarray:
    """(n, 3): log odds of the answer's share of the refined answers' probability, and of its share of the whole
    search's, and the evidence for a particle, damped."""
    fraction, coarse = (np.clip(v, 1e-4, 1 - 1e-4) for v in (found.probability, found.coarse))
    return np.stack(
        [
            np.log(fraction / (1 - fraction)),
            np.log(coarse / (1 - coarse)),
            np.sign(found.evidence) * np.sqrt(np.abs(found.evidence)),
        ],
        axis=1,
    )


def calibrated(search: typing.Any) -> tuple[AnswerCalibration, typing.Any]:
    """The AnswerCalibration of a Search whose fit is learnt, and the made-up particles' Orientations."""
    count = int(np.clip(len(search.source.particles), MINIMUM, COUNT))
    particles = simulate_alike(search, count, SEED)
    found = search.like(particles).run()
    right = angular_distance(particles.poses(np.arange(count))[0], found.angles, search.settings.symmetry) < RIGHT
    return learnt(features(found), right), found


def learnt(values: np.ndarray, right: np.ndarray) -> AnswerCalibration:
    """Calibration from features (n, f) and whether answers were right (n,).

    A right and a wrong answer are added at the mean, so that no set makes an answer certain.
    """
    mean, scale = values.mean(0), np.maximum(values.std(0), 1e-6)
    table = np.hstack([(values - mean) / scale, np.ones((len(values), 1))])
    table = np.vstack([table, [[*np.zeros(values.shape[1]), 1.0]] * 2])
    target = np.concatenate([right.astype(float), [0.0, 1.0]])
    weights, penalty = np.zeros(table.shape[1]), RIDGE * np.eye(table.shape[1])
    penalty[-1, -1] = 1e-6
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-table @ weights))
        slope = table.T @ (target - chance) - penalty @ weights
        step = np.linalg.solve((table * (chance * (1 - chance))[:, None]).T @ table + penalty, slope)
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            break
    return AnswerCalibration(weights, mean, scale, float(right.mean()))
