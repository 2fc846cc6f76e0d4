# SPDX-License-Identifier: GPL-3.0-or-later
"""Discrete classes of a latent space: a mixture of normal distributions, their number given or found."""

from __future__ import annotations

import typing

import numpy as np

if typing.TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

MAXIMUM = 24  # classes that are tried where their number is to be found
MINIMUM = 20  # particles of each class, on average, that are tried
STARTS = 3  # of each mixture


def find_classes(latent: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Classes of particles by their latent coordinates.

    Parameters
    ----------
    latent : ndarray, (n, q)
    count : int
        Number of classes; 0 for that of the smallest Bayesian information criterion (Schwarz 1978), the search ending
        where three numbers in a row are no better.

    Returns
    -------
    labels : ndarray, (n,)
        From 1, the largest class first.
    probabilities : ndarray, (n,)
        Of the class that a particle is in, by the mixture.
    criteria : list of float
        Of 1, 2 ... classes where their number was found, else of the one that was asked for.
    """
    if not np.ptp(latent) > 0:  # noise: all at one place
        return np.ones(len(latent), int), np.ones(len(latent)), []
    positions = latent / latent.std(axis=0).max()
    numbers = [count] if count else range(1, min(MAXIMUM, max(1, len(positions) // MINIMUM)) + 1)
    best, criteria = _mixture(positions, numbers[0], seed), list[float]()
    for number in numbers:
        tried = best if number == numbers[0] else _mixture(positions, number, seed)
        criteria.append(float(tried.bic(positions)))
        if criteria[-1] <= min(criteria):
            best = tried
        if len(criteria) > 3 and min(criteria[-3:]) > min(criteria):
            break
    found = best.predict_proba(positions)
    labels = found.argmax(1)
    order = np.argsort(-np.bincount(labels, minlength=found.shape[1]), kind="stable")
    return np.argsort(order)[labels] + 1, found.max(1), criteria


def _mixture(positions: np.ndarray, number: int, seed: int) -> GaussianMixture:
    from sklearn.mixture import GaussianMixture

    # one shape for all: posterior coordinates of all particles have about the same noise
    return GaussianMixture(number, covariance_type="tied", n_init=STARTS, random_state=seed).fit(positions)
