# SPDX-License-Identifier: GPL-3.0-or-later
"""Peaks of score maps: where they are, how near they may be, and where none may be."""

import numpy as np
import pytest
import torch
from synthetic import gaussian_blobs

from cryodl.core.peaks import find_peaks


def peaks(score_map, distance=3, threshold=0.5, valid=None):
    return find_peaks(torch.as_tensor(score_map, dtype=torch.float32), distance, threshold, valid)


def test_sub_pixel_positions_of_smooth_spots():
    ground_truth = np.array([[10.3, 30.7], [25.0, 8.5], [31.8, 44.1]])
    yx, scores = peaks(gaussian_blobs((40, 50), ground_truth, 2.5), distance=5)
    found = yx[np.argsort(yx[:, 0])]
    assert np.abs(found - ground_truth).max() < 0.05 and (scores > 0.9).all()


def test_best_first():
    score_map = torch.zeros(20, 20)
    for (y, x), value in (((3, 3), 0.6), ((10, 15), 0.9), ((16, 5), 0.7)):
        score_map[y, x] = value
    yx, scores = peaks(score_map)
    assert yx.tolist() == [[10, 15], [16, 5], [3, 3]] and np.allclose(scores, [0.9, 0.7, 0.6])


def test_peaks_on_opposite_borders_do_not_suppress_each_other():
    score_map = torch.zeros(20, 20)
    score_map[5, 19], score_map[6, 0], score_map[0, 10], score_map[19, 11] = 0.9, 0.8, 0.7, 0.6
    yx, _ = peaks(score_map)
    assert yx.tolist() == [[5, 19], [6, 0], [0, 10], [19, 11]]


def test_the_better_of_two_near_peaks_stays_and_far_ones_stay_both():
    score_map = torch.zeros(30, 30)
    score_map[10, 10], score_map[10, 14] = 0.9, 0.8
    assert peaks(score_map, distance=4.5)[0].tolist() == [[10, 10]]
    assert len(peaks(score_map, distance=4)[0]) == 2  # exactly at the distance: not nearer than it


def test_a_suppressed_peak_suppresses_nothing():
    """A chain 0.9 - 0.8 - 0.7: the middle one falls to the first, so the last stays."""
    score_map = torch.zeros(10, 30)
    score_map[5, 5], score_map[5, 9], score_map[5, 13] = 0.9, 0.8, 0.7
    assert peaks(score_map, distance=5)[0].tolist() == [[5, 5], [5, 13]]


def test_no_two_peaks_are_nearer_than_the_distance_on_a_random_map():
    score_map = torch.rand(80, 90, generator=torch.Generator().manual_seed(0))
    yx, scores = peaks(score_map, distance=6, threshold=0.0)
    gaps = np.linalg.norm(yx[:, None] - yx[None], axis=2)[~np.eye(len(yx), dtype=bool)]
    assert len(yx) > 50 and gaps.min() >= 6 - 1e-6 and (np.diff(scores) <= 0).all()


def test_nothing_in_invalid_areas_and_nothing_is_lost_to_them():
    score_map, valid = torch.zeros(20, 20), torch.ones(20, 20, dtype=torch.bool)
    score_map[5, 5], score_map[5, 7], valid[:, :6] = 0.9, 0.8, False
    yx, scores = peaks(score_map, distance=4, valid=valid)
    assert yx.tolist() == [[5, 7]] and np.allclose(scores, 0.8)


def test_the_threshold_is_inclusive_and_an_empty_map_has_no_peak():
    score_map = torch.zeros(9, 9)
    score_map[4, 4] = 0.5
    assert len(peaks(score_map, threshold=0.5)[0]) == 1 and len(peaks(score_map, threshold=0.51)[0]) == 0
    yx, scores = peaks(torch.zeros(9, 9))
    assert yx.shape == (0, 2) and scores.shape == (0,)


def test_a_flat_top_is_one_peak():
    score_map = torch.zeros(12, 12)
    score_map[5:7, 5:8] = 0.8
    assert len(peaks(score_map, distance=4)[0]) == 1


def test_the_map_is_not_changed():
    score_map = torch.rand(20, 20, generator=torch.Generator().manual_seed(0))
    copy = score_map.clone()
    peaks(score_map)
    assert torch.equal(score_map, copy)


def test_a_distance_below_one_pixel_is_refused():
    with pytest.raises(ValueError, match="0.5 px.*at least 1"):
        peaks(torch.zeros(9, 9), distance=0.5)
