# SPDX-License-Identifier: GPL-3.0-or-later
"""Matching and its metrics, against hand-made lists and brute force."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from cryodl.core.matching import average_precision, f1_score, match_picks, precision_recall, score_matched


def brute_force(picks, reference, distance):
    """Matched picks by one assignment over all pairs, and its total gain."""
    squared = ((picks[:, None] - reference[None]) ** 2).sum(2)
    cost = np.minimum(squared - distance**2, 0)
    rows, columns = linear_sum_assignment(cost)
    counted = cost[rows, columns] < 0
    hit = np.zeros(len(picks), bool)
    hit[rows[counted]] = True
    return hit, cost[rows, columns].sum()


@pytest.mark.parametrize("seed", range(12))
def test_equals_one_assignment_over_all_pairs(seed):
    rng = np.random.default_rng(seed)
    picks, reference = rng.uniform(0, 100, (rng.integers(1, 60), 2)), rng.uniform(0, 100, (rng.integers(1, 60), 2))
    if seed % 3 == 0:
        picks[: len(picks) // 4] = reference[rng.integers(len(reference), size=len(picks) // 4)]  # coincident
    hit = match_picks(picks, reference, 12.0)
    expected, _ = brute_force(picks, reference, 12.0)
    assert hit.sum() == expected.sum()
    if seed % 3:  # without ties the assignment is unique
        assert (hit == expected).all()


def test_a_pick_exactly_on_the_reference_counts():
    assert match_picks(np.array([[5.0, 5.0]]), np.array([[5.0, 5.0]]), 3).tolist() == [True]


def test_a_pair_at_the_distance_does_not_count():
    picks, reference = np.array([[0.0, 0.0], [0.0, 10.0]]), np.array([[0.0, 3.0], [0.0, 12.9]])
    assert match_picks(picks, reference, 3).tolist() == [False, True]


def test_two_picks_of_one_particle_count_once():
    picks, reference = np.array([[10.0, 10], [10, 11], [50, 50]]), np.array([[10.0, 10.2]])
    assert match_picks(picks, reference, 5).tolist() == [True, False, False]


def test_the_assignment_is_one_to_one_and_the_best_in_total():
    """Nearest-first would take the pair at 1 and lose the other pick; two pairs at 3 gain more than one at 1."""
    picks, reference = np.array([[0.0, 0], [0, 4]]), np.array([[0.0, 3], [0, 7]])
    assert match_picks(picks, reference, 5).tolist() == [True, True]


def test_nothing_matches_nothing():
    none, one = np.zeros((0, 2)), np.zeros((1, 2))
    assert match_picks(none, one, 5).shape == (0,) and match_picks(one, none, 5).tolist() == [False]


def test_a_curve_worked_out_by_hand():
    """Scores 0.9 hit, 0.8 miss, 0.8 hit, 0.5 hit, 0.4 miss; 4 reference points. Equal scores are one step."""
    hit, scores = np.array([1, 0, 1, 1, 0], bool), np.array([0.9, 0.8, 0.8, 0.5, 0.4])
    thresholds, precision, recall = precision_recall(hit, scores, 4)
    assert thresholds.tolist() == [0.9, 0.8, 0.5, 0.4]
    assert np.allclose(precision, [1, 2 / 3, 3 / 4, 3 / 5]) and np.allclose(recall, [1 / 4, 2 / 4, 3 / 4, 3 / 4])
    assert average_precision(precision, recall) == pytest.approx(1 / 4 + 2 / 3 / 4 + 3 / 4 / 4)
    metrics = score_matched(hit, scores, 4, threshold=0.8)
    assert (metrics.picks, metrics.true_positives, metrics.reference) == (3, 2, 4)
    assert metrics.precision == pytest.approx(2 / 3) and metrics.recall == pytest.approx(0.5)
    assert metrics.f1 == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))
    assert metrics.best_threshold == 0.5 and metrics.best_f1 == pytest.approx(0.75)


def test_the_order_of_picks_does_not_matter():
    rng = np.random.default_rng(0)
    hit, scores = rng.random(50) < 0.6, rng.integers(0, 10, 50) / 10
    order = rng.permutation(50)
    assert score_matched(hit, scores, 60) == score_matched(hit[order], scores[order], 60)


def test_borders_of_the_figures():
    nothing = score_matched(np.zeros(0, bool), np.zeros(0), 5)
    assert (nothing.f1, nothing.average_precision, nothing.best_f1, nothing.picks) == (0, 0, 0, 0)
    assert score_matched(np.zeros(3, bool), np.ones(3), 0).recall == 0
    perfect = score_matched(np.ones(3, bool), np.array([0.1, 0.2, 0.3]), 3)
    assert (perfect.f1, perfect.average_precision, perfect.best_f1) == (1, 1, 1)
    assert f1_score(np.array([0.0, 1.0]), np.array([0.0, 0.5])).tolist() == [0.0, 2 / 3]
