# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores that mean what they say."""

import numpy as np
import pytest

from cryodl.core.calibration import (
    best_threshold,
    calibrate,
    expected_calibration_error,
    fit_calibration,
    logit,
    reliability,
)
from cryodl.io.plots import plot_reliability


def population(count, slope, offset, seed=0):
    """Raw scores, and labels drawn with the probability that (slope, offset) gives them."""
    rng = np.random.default_rng(seed)
    raw = rng.uniform(0.03, 0.97, count)
    return rng.random(count) < calibrate(raw, (slope, offset)), raw


def test_one_and_zero_leave_the_scores_as_they_are():
    raw = np.array([0.1, 0.5, 0.9])
    assert np.allclose(calibrate(raw, (1.0, 0.0)), raw)
    assert np.isfinite(logit(np.array([0.0, 1.0]))).all()


def test_the_curve_behind_the_labels_is_found():
    slope, offset = fit_calibration(*population(20000, 1.8, -0.7))
    assert abs(slope - 1.8) < 0.1 and abs(offset + 0.7) < 0.1


def test_calibrated_scores_are_frequencies():
    hit, raw = population(20000, 0.6, 0.4)
    scores = calibrate(raw, fit_calibration(hit, raw))
    for low in (0.2, 0.4, 0.6):
        part = (scores >= low) & (scores < low + 0.2)
        assert abs(hit[part].mean() - scores[part].mean()) < 0.03


@pytest.mark.parametrize(
    "hit, raw",
    [
        (np.array([True, False]), np.array([0.9, 0.1])),
        (np.ones(5, bool), np.full(5, 0.7)),
        (np.zeros(5, bool), np.full(5, 0.7)),
        (np.zeros(0, bool), np.zeros(0)),
    ],
    ids=["separated", "all", "none", "empty"],
)
def test_few_or_one_sided_samples_stay_finite_and_keep_the_order(hit, raw):
    slope, offset = fit_calibration(hit, raw)
    assert np.isfinite([slope, offset]).all() and slope > 0


def test_a_given_share_of_particles_stands_for_that_of_the_sample():
    """One labelled position in four is a particle; asked about places of which half are."""
    rng = np.random.default_rng(0)
    positions = lambda particle: 1 / (1 + np.exp(-rng.normal(np.where(particle, 1.5, -1.5), 1.0)))
    sample, even = rng.random(6000) < 0.25, rng.random(6000) < 0.5
    plain, shared = (fit_calibration(sample, raw, share) for raw in [positions(sample)] for share in (None, 0.5))
    even_raw = positions(even)
    assert calibrate(even_raw, plain).mean() < 0.48
    assert abs(calibrate(even_raw, shared).mean() - 0.5) < 0.01
    assert abs(shared[1] - plain[1] - logit(0.75)) < 0.1  # from 1 : 3 to even odds


def test_thresholds_lie_where_f1_is_nearly_best():
    hit, raw = population(5000, 4.0, 0.0)
    scores = calibrate(raw, fit_calibration(hit, raw))
    f1 = lambda t: 2 * hit[scores >= t].sum() / ((scores >= t).sum() + hit.sum())
    best = max(f1(t) for t in np.linspace(0.02, 0.98, 97))
    for threshold in (best_threshold(scores, int(hit.sum())), best_threshold(scores)):
        assert best - 0.02 < f1(threshold) <= best + 1e-9


def test_without_anything_found_the_threshold_is_the_middle():
    assert best_threshold(np.zeros(0)) == best_threshold(np.zeros(0), 10) == 0.5


def test_the_calibration_error_of_three_bins_by_hand():
    """Scores 0.25 (1 of 4 true), 0.55 (all of 2 true), 0.95 (none of 2): (4 * 0 + 2 * 0.45 + 2 * 0.95) / 8."""
    scores = np.array([0.25] * 4 + [0.55] * 2 + [0.95] * 2)
    hit = np.array([1, 0, 0, 0, 1, 1, 0, 0], bool)
    assert abs(expected_calibration_error(hit, scores) - 2.8 / 8) < 1e-12
    curve = reliability(hit, scores)
    assert curve.count.tolist() == [0, 0, 4, 0, 0, 2, 0, 0, 0, 2] and curve.frequency[[2, 5, 9]].tolist() == [
        0.25,
        1,
        0,
    ]
    assert np.allclose(curve.confidence[[2, 5, 9]], [0.25, 0.55, 0.95])


def test_bins_hold_their_upper_edge_and_the_ends_belong_to_them():
    assert reliability(np.ones(4, bool), np.array([0.0, 0.5, 0.500001, 1.0]), bins=2).count.tolist() == [2, 2]


@pytest.mark.parametrize("bins", [10, 15])
def test_scores_that_are_frequencies_have_no_error_and_confident_ones_have(bins):
    rng = np.random.default_rng(0)
    ground_truth = rng.uniform(0, 1, 40000)
    hit = rng.random(40000) < ground_truth
    assert expected_calibration_error(hit, ground_truth, bins) < 0.015
    # 0 and 1 instead of p: above 1/2 the mean of p is 3/4, below 1/4
    assert abs(expected_calibration_error(hit, np.round(ground_truth), bins) - 0.25) < 0.01


def test_nothing_to_judge_has_no_error_and_wrong_input_is_named():
    assert expected_calibration_error(np.zeros(0, bool), np.zeros(0)) == 0
    with pytest.raises(ValueError, match="2 labels for 3 scores"):
        reliability(np.ones(2, bool), np.ones(3))
    with pytest.raises(ValueError, match="range from -0.1 to 1.5"):
        reliability(np.ones(2, bool), np.array([-0.1, 1.5]))


def test_the_reliability_curve_is_drawn(tmp_path):
    plot_reliability(*population(300, 1.0, 0.0), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes()[1:4] == b"PNG"
    plot_reliability(np.zeros(0, bool), np.zeros(0), tmp_path / "empty.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curve.png", "empty.png"]


def test_the_threshold_lies_in_the_gap_below_the_last_particle_and_not_on_it():
    rng = np.random.default_rng(0)
    clear = np.concatenate([rng.uniform(0.995, 0.9999, 40), rng.uniform(0.001, 0.05, 200)])
    threshold = best_threshold(clear)
    assert 0.4 < threshold < 0.51  # half of the best F1: other particles of this kind are above it
    dense = rng.uniform(0, 1, 4000)
    threshold = best_threshold(dense)
    kept = dense >= threshold
    best = 2 * dense[kept].sum() / (kept.sum() + dense.sum())
    assert abs(threshold - best / 2) < 0.06  # lower than that by what recall is worth


def test_a_doubtful_last_candidate_does_not_pull_the_threshold_far_below_it():
    assert 0.38 < best_threshold(np.array([0.98] * 100 + [0.40])) < 0.40
