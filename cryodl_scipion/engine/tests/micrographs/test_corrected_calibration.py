# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores and threshold from picks that were corrected here and there: the particles are counted, missed ones too."""

import dataclasses

import numpy as np
import pytest
from scipy.special import expit

from cryodl.core.calibration import best_threshold, calibrate, logit
from cryodl.core.matching import score_matched
from cryodl.micrographs.pickers.corrected_calibration import (
    CorrectedCandidates,
    fit_corrected_calibration,
    fit_ranked_calibration,
    missed_particles,
)


def corrected(found, missed, background, overlap=0.0, seed=0, added=25):
    """Candidates of a new network: particles that the machine had picked, those that it had missed, and background."""
    rng = np.random.default_rng(seed)
    odds = np.concatenate(
        [rng.normal(2.5, 1, found), rng.normal(0.5, 1, missed), rng.normal(-4 + overlap, 1, background)]
    )
    particle = np.arange(len(odds)) < found + missed
    certain = np.zeros(len(odds), bool)
    certain[found + rng.permutation(missed)[:added]] = True
    left, wrong = np.arange(len(odds)) < found, np.zeros(len(odds), bool)
    wrong[found + missed + np.argsort(-odds[found + missed :])[:10]] = True
    return CorrectedCandidates(1 / (1 + np.exp(-odds)), certain, left, wrong), particle


@pytest.mark.parametrize("found, missed", [(150, 450), (400, 40)])
def test_missed_particles_are_counted(found, missed):
    """Most are missed, or few: the number of all is within a third of the truth."""
    candidates, _ = corrected(found, missed, 3000)
    _, number = fit_corrected_calibration(candidates)
    assert number == pytest.approx(found + missed, rel=1 / 3)
    assert missed_particles(candidates) >= 25


@pytest.mark.parametrize("found, missed, overlap", [(150, 450, 0.0), (400, 40, 0.0), (150, 450, 1.0)])
def test_the_threshold_is_near_the_best(found, missed, overlap):
    candidates, particle = corrected(found, missed, 3000, overlap)
    calibration, number = fit_corrected_calibration(candidates)
    scores = calibrate(candidates.raw, calibration)
    assert scores.sum() == pytest.approx(number, rel=0.01)
    score = score_matched(particle, scores, found + missed, best_threshold(scores, number))
    assert score.f1 > score.best_f1 - 0.06


@pytest.mark.parametrize("particles, overlap", [(150, 0.0), (600, 0.0), (600, 1.5)])
def test_ranks_of_twenty_particles_tell_the_threshold(particles, overlap):
    """Learnt boxes score higher than the other particles, and their own scores tell nothing, or too much."""
    (candidates, particle), rng = corrected(0, particles, 3000, overlap), np.random.default_rng(1)
    ranks = 1.0 + np.argsort(np.argsort(-candidates.raw))[rng.permutation(particles)[:20]]
    raw = np.where(candidates.certain, 1 - 1e-4, candidates.raw)
    learnt = dataclasses.replace(candidates, raw=raw)
    calibration, threshold = fit_ranked_calibration(learnt, np.append(ranks, np.inf), cut=np.array(5.0))
    scores = calibrate(raw, calibration)
    score = score_matched(particle, scores, particles, threshold)
    assert score.f1 > score.best_f1 - 0.06 and scores.sum() == pytest.approx(particles, rel=1 / 3)


@pytest.mark.parametrize("misled", [0.5, 2.0])
@pytest.mark.parametrize("counts, helps", [((300, 310), True), ((60, 320), False)])
def test_the_general_models_counts_outweigh_ranks_that_mislead(misled, counts, helps):
    """If they agree: a model that finds a fifth of the particles says nothing."""
    candidates, particle = corrected(0, 300, 3000, overlap=-1.0)
    places = 1.0 + np.argsort(np.argsort(-candidates.raw))[:300]
    ranks = np.sort(places)[7::15] * misled
    cut = np.sort(logit(candidates.raw))[-round(300 * misled)]
    f1 = []
    for known in ((), counts):
        (slope, offset), threshold = fit_ranked_calibration(candidates, ranks, cut, known)
        f1.append(score_matched(particle, calibrate(candidates.raw, (slope, offset)), 300, threshold).f1)
    assert f1[1] - f1[0] > 0.1 if helps else f1[1] > f1[0] - 0.02


@pytest.mark.parametrize("counts", [(), (300, 310)])
def test_where_particles_are_clear_neither_threshold_nor_scores_are_all_1(counts):
    rng = np.random.default_rng(4)
    raw = expit(np.r_[rng.normal(8, 1.5, 300), rng.normal(-8, 1.5, 2700)])
    clicks, nobody = rng.choice(300, 20, replace=False), np.zeros(3000, bool)
    ranks = (1.0 + np.argsort(np.argsort(-raw)))[clicks]
    candidates = CorrectedCandidates(raw, nobody, nobody, nobody)
    (slope, offset), threshold = fit_ranked_calibration(candidates, ranks, np.array(1.0), counts)
    assert threshold < 0.999 and (calibrate(raw, (slope, offset)) >= threshold).sum() > 290


@pytest.mark.parametrize("right, wrong", [(60, 20), (60, 120)])
def test_picks_that_were_left_keep_faint_sets_from_being_flooded(right, wrong):
    """They are particles in part only; those that the machine missed lie among background."""
    candidates, particle = corrected(right, 60, 1500, overlap=3.0)
    high = right + 60 + np.argsort(-candidates.raw[right + 60 :])[10 : 10 + wrong]
    candidates.left[high] = True
    places = 1.0 + np.argsort(np.argsort(-candidates.raw))
    _, threshold = told = fit_ranked_calibration(candidates, places[candidates.certain], cut=np.array(-1.5))
    score = score_matched(particle, calibrate(candidates.raw, told[0]), right + 60, threshold)
    assert score.f1 > score.best_f1 - 0.1
    forgotten = dataclasses.replace(candidates, left=np.zeros(len(particle), bool))
    _, lower = told = fit_ranked_calibration(forgotten, places[candidates.certain], cut=np.array(-1.5))
    assert score_matched(particle, calibrate(candidates.raw, told[0]), right + 60, lower).f1 < score.f1 - 0.03


def test_few_added_picks_are_all_that_were_missed():
    candidates, _ = corrected(300, 8, 2000, added=4)
    assert missed_particles(candidates) == 4
    assert missed_particles(corrected(300, 0, 2000)[0]) == 0
    assert np.isfinite(fit_corrected_calibration(corrected(300, 0, 2000)[0])[0]).all()


def test_a_drawn_sample_can_be_fitted():
    """A bootstrap may draw none of the picks that were left."""
    candidates, _ = corrected(10, 0, 5000)
    for seed in range(5):
        drawn = candidates.drawn(np.random.default_rng(seed))
        assert len(drawn.raw) == 5010 and drawn.left.any()
        assert np.isfinite(fit_corrected_calibration(drawn)[0]).all()


def test_a_cut_does_not_leap_over_a_wide_gap_for_a_few_more():
    """Where nothing was learnt, background lies beyond it: of a clear set that made 224 picks of 157 particles."""
    odds = np.r_[np.linspace(2.9, 0.7, 104), -1.4, -3.9, -4.3, -4.8, -5.2, -5.3, -5.9]
    ranks, nobody = np.r_[np.linspace(4, 103, 18).round(), np.inf, np.inf], np.zeros(len(odds), bool)
    candidates = CorrectedCandidates(expit(odds), nobody, nobody, nobody)
    (slope, offset), threshold = fit_ranked_calibration(candidates, ranks, np.array(-5.33))
    assert -3.9 < (logit(np.array(threshold)) - offset) / slope < 0.7
