# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores that mean what they say."""
import numpy as np
import pytest

from cryodl.calibration import best_threshold, calibrate, fit_calibration, logit


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


def test_a_given_share_of_particles_stands_for_that_of_the_sample():
    """One labelled place in four is a particle; asked about places of which half are."""
    rng = np.random.default_rng(0)
    places = lambda particle: 1 / (1 + np.exp(-rng.normal(np.where(particle, 1.5, -1.5), 1.0)))
    sample, even = rng.random(6000) < 0.25, rng.random(6000) < 0.5
    plain, shared = (fit_calibration(sample, raw, share) for raw in [places(sample)] for share in (None, 0.5))
    even_raw = places(even)
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
