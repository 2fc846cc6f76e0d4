# SPDX-License-Identifier: GPL-3.0-or-later
"""How many particles scores let expect, and where to cut."""

import math

import numpy as np
import pytest

from cryodl.core.calibration import best_threshold
from cryodl.micrographs.pickers.thresholds import Expectation, count_threshold, expected_counts, threshold_of

SCORES = np.array([0.9, 0.8, 0.5, 0.1])


def test_the_expected_number_and_its_deviation_by_hand():
    found = expected_counts(SCORES, 0.5)
    assert found.candidates == 4 and found.picks == 3
    assert abs(found.particles - 2.3) < 1e-12 and abs(found.true_picks - 2.2) < 1e-12
    assert abs(found.deviation - math.sqrt(0.09 + 0.16 + 0.25 + 0.09)) < 1e-12
    metrics = found.metrics()
    assert abs(metrics["precision"] - 2.2 / 3) < 1e-12 and abs(metrics["recall"] - 2.2 / 2.3) < 1e-12
    assert abs(metrics["f1"] - 4.4 / 5.3) < 1e-12


def test_the_deviation_is_that_of_draws():
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 1, 200)
    drawn = (rng.random((4000, 200)) < scores).sum(1)
    found = expected_counts(scores, 0.5)
    assert abs(drawn.mean() - found.particles) < 0.5 and abs(drawn.std() / found.deviation - 1) < 0.05


def test_micrographs_add_up():
    both = expected_counts(SCORES[:2], 0.5) + expected_counts(SCORES[2:], 0.5)
    whole = expected_counts(SCORES, 0.5)
    assert both.picks == whole.picks and abs(both.particles - whole.particles) < 1e-12
    assert abs(both.deviation - whole.deviation) < 1e-12


def test_nothing_expects_nothing():
    assert expected_counts(np.zeros(0), 0.5) == Expectation() and set(Expectation().metrics().values()) == {0.0}


@pytest.mark.parametrize(
    "scores, kept",
    [(SCORES, 2), (np.full(10, 0.3), 10), (np.full(3, 0.1), 0), (np.zeros(0), 0), (np.array([1.0]), 1)],
    ids=["some", "equal scores", "none", "empty", "sure"],
)
def test_the_count_rule_keeps_as_many_as_are_expected(scores, kept):
    """Of equal scores at the limit all stay, since none is better."""
    assert (scores >= count_threshold(scores)).sum() == kept


def test_each_rule_is_what_it_says():
    assert threshold_of("model", SCORES, 0.37) == 0.37
    assert threshold_of("f1", SCORES, 0.37) == best_threshold(SCORES)
    assert threshold_of("count", SCORES, 0.37) == 0.8
