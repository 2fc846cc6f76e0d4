# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores that mean what they say."""
import numpy as np
import pytest

from cryodl.calibration import adjust_to_population, best_threshold, calibrate, fit_calibration, logit


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


@pytest.mark.parametrize("hit, raw", [(np.array([True, False]), np.array([0.9, 0.1])),
                                      (np.ones(5, bool), np.full(5, 0.7)), (np.zeros(5, bool), np.full(5, 0.7)),
                                      (np.zeros(0, bool), np.zeros(0))], ids=["separated", "all", "none", "empty"])
def test_few_or_one_sided_samples_stay_finite_and_keep_the_order(hit, raw):
    slope, offset = fit_calibration(hit, raw)
    assert np.isfinite([slope, offset]).all() and slope > 0


def test_the_share_of_particles_is_taken_from_the_unlabelled():
    """Boxes were labelled half and half, but only one candidate in ten is a particle."""
    rng = np.random.default_rng(0)
    raw = lambda particle: calibrate(1 / (1 + np.exp(-rng.normal(np.where(particle, 1.5, -1.5), 1.0))), (1, 0))
    sample, everyone = rng.random(4000) < 0.5, rng.random(20000) < 0.1
    sample_raw, everyone_raw = raw(sample), raw(everyone)
    plain = fit_calibration(sample, sample_raw)
    adjusted = adjust_to_population(plain, sample, everyone_raw)
    assert calibrate(everyone_raw, plain).mean() > 0.15
    assert abs(calibrate(everyone_raw, adjusted).mean() - 0.1) < 0.02
    assert adjusted[0] == plain[0] and abs(adjusted[1] - plain[1] - logit(0.1)) < 0.15  # from even odds to 1 : 9


def test_the_share_is_left_alone_where_nothing_is_known():
    for hit, raw in ((np.ones(3, bool), np.full(9, 0.5)), (np.array([True, False]), np.zeros(0))):
        assert adjust_to_population((1.5, 0.3), hit, raw) == (1.5, 0.3)


def test_thresholds_lie_where_f1_is_nearly_best():
    hit, raw = population(5000, 4.0, 0.0)
    scores = calibrate(raw, fit_calibration(hit, raw))
    f1 = lambda t: 2 * hit[scores >= t].sum() / ((scores >= t).sum() + hit.sum())
    best = max(f1(t) for t in np.linspace(0.02, 0.98, 97))
    for threshold in (best_threshold(scores, int(hit.sum())), best_threshold(scores)):
        assert best - 0.02 < f1(threshold) <= best + 1e-9


def test_without_anything_found_the_threshold_is_the_middle():
    assert best_threshold(np.zeros(0)) == best_threshold(np.zeros(0), 10) == 0.5
