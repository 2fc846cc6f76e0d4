# SPDX-License-Identifier: GPL-3.0-or-later
"""Shares of several structures among particles, from the evidence of each particle for each structure."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

ROUNDS = 150  # of expectation maximisation
DRAWS = 100  # of particles with replacement, for the intervals
INTERVAL = (5.0, 95.0)  # percentiles
SEED = 50


@dataclasses.dataclass(frozen=True)
class Shares:
    """share: (k + 1,) of each structure, the last of what shows none. low, high: (k + 1,), of the interval. evidence:
    (n,) logarithmic, of each particle for the mixture. needed: (k,) logarithmic evidence of all particles that is lost
    without each structure."""

    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    evidence: np.ndarray
    needed: np.ndarray


def shares_of(evidence: np.ndarray) -> Shares:
    """The likeliest Shares.

    Parameters
    ----------
    evidence : ndarray, (n, k)
        Logarithmic evidence of each particle for each structure, against 'there is no particle'.
    """
    table, share = _with_nothing(evidence)
    drawn = np.random.default_rng(SEED).multinomial(len(table), np.full(len(table), 1 / len(table)), DRAWS)
    low, high = np.percentile(_likeliest(table, drawn), INTERVAL, axis=0)
    found = _mixed(table, share)
    without = [mixture_evidence(np.delete(evidence, k, axis=1)).sum() for k in range(evidence.shape[1])]
    return Shares(share, np.minimum(low, share), np.maximum(high, share), found, found.sum() - np.array(without))


def mixture_evidence(evidence: np.ndarray) -> np.ndarray:
    """(n,) logarithmic evidence of particles (n, k), for the likeliest mixture of structures and of none."""
    return _mixed(*_with_nothing(evidence))


def _with_nothing(evidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The evidence with a column for 'there is no particle', and the likeliest shares."""
    table = np.hstack([evidence, np.zeros((len(evidence), 1))])
    return table, _likeliest(table, np.ones((1, len(table))))[0]


def _mixed(table: np.ndarray, share: np.ndarray) -> np.ndarray:
    top = table.max(1)
    return typing.cast(np.ndarray, top + np.log(np.exp(table - top[:, None]) @ share))


def _likeliest(table: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(b, k) likeliest shares of samples that hold each particle so many times, counts (b, n)."""
    chance = np.exp(table - table.max(1, keepdims=True))
    share = np.full((len(counts), table.shape[1]), 1 / table.shape[1])
    for _ in range(ROUNDS):
        share = share * ((counts / (share @ chance.T)) @ chance) / counts.sum(1, keepdims=True)
    return share
