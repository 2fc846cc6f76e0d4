# SPDX-License-Identifier: GPL-3.0-or-later
"""Decoys of a density, and what their victories say."""

import numpy as np
import pytest
import torch
from synthetic import lopsided_density

from cryodl.core.symmetry import symmetry_correlation
from cryodl.likelihood.decoys import (
    q_values,
    radius_of_gyration,
    scrambled_harmonics,
    threshold_by_decoys,
    upper_groups,
)

TARGET = torch.from_numpy(lopsided_density(32))


def shells(volume):
    """Mean of a cube in each shell around its middle voxel."""
    axis = (np.arange(len(volume)) - len(volume) // 2) ** 2
    shell = np.sqrt(axis[:, None, None] + axis[:, None] + axis).round().astype(int).ravel()
    return np.bincount(shell, np.asarray(volume, float).ravel()) / np.bincount(shell)


def spectrum(volume):
    return shells(torch.fft.fftshift(torch.fft.fftn(volume).abs().square()))[:16]


def test_decoys_have_mass_size_and_spectrum_of_the_target_and_another_shape():
    for one in scrambled_harmonics(TARGET, 3, seed=1):
        assert float(one.sum()) == pytest.approx(float(TARGET.sum()), rel=1e-3)
        assert radius_of_gyration(one) == pytest.approx(radius_of_gyration(TARGET), rel=0.15)
        assert spectrum(one) == pytest.approx(spectrum(TARGET), rel=1e-3)
        assert np.corrcoef(one.flatten(), TARGET.flatten())[0, 1] < 0.9


def test_scrambled_harmonics_keep_the_envelope_and_are_others_each_time():
    first, second = scrambled_harmonics(TARGET, 2)
    for one in (first, second):
        assert shells(one)[:14] == pytest.approx(shells(TARGET)[:14], abs=0.05 * float(TARGET.max()))
    assert np.corrcoef(first.flatten(), second.flatten())[0, 1] < 0.9
    assert torch.equal(scrambled_harmonics(TARGET, 1)[0], scrambled_harmonics(TARGET, 1)[0])


def test_decoys_of_a_symmetric_search_are_symmetric():
    turned = sum(TARGET[1:, 1:, 1:].rot90(k, (1, 2)) for k in range(4))  # an odd side: about its middle voxel
    lobes = torch.nn.functional.pad(turned, (1, 0) * 3)
    assert symmetry_correlation(lobes, "C4") > 0.9
    assert symmetry_correlation(scrambled_harmonics(lobes, 1, symmetry="C4")[0], "C4") > 0.9
    assert symmetry_correlation(scrambled_harmonics(lobes, 1)[0], "C4") < 0.9


def test_the_stated_rate_is_the_true_one_where_decoys_win_as_often_as_the_target():
    """Places of known truth: 60 targets, and 400 look-alikes where each of seven structures wins alike."""
    true, found = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        right, look_alikes = rng.normal(3, 1, 60), rng.normal(0, 1, 400)
        won = rng.random(400) < 1 / 7
        targets = np.concatenate([right, look_alikes[won]])
        is_true = np.arange(len(targets)) < 60
        kept = q_values(targets, look_alikes[~won], 6) <= 0.1
        found.append(kept[is_true].mean())
        true.append((kept & ~is_true).sum() / max(kept.sum(), 1))
    assert 0.06 < np.mean(true) <= 0.11 and np.mean(found) > 0.7


def test_q_by_hand():
    # above 5: no decoy; above 3: one, (1 + 1) / (2 x 2); the last: (1 + 2) / (2 x 3), no better than before
    assert q_values(np.array([3.0, 5.0, 1.0]), np.array([4.0, 2.0]), 2) == pytest.approx([0.5, 0.5, 0.5])
    assert q_values(np.array([5.0, 6.0]), np.zeros(0), 4) == pytest.approx([0.125, 0.125])
    assert not len(q_values(np.zeros(0), np.array([1.0]), 4))


def test_a_few_detections_count_if_there_is_a_gap_below_them_and_not_in_noise():
    rng = np.random.default_rng(3)
    rest = np.sort(rng.exponential(0.1, 60))
    assert threshold_by_decoys(np.array([2.0, 2.2]), rest, 6, 0.05) == 2.0
    assert threshold_by_decoys(rest[-2:] + 1e-3, rest[:-2], 6, 0.05) is None
    # one far above all others, which decoys and the target share; that it is the target's tells, too
    few = np.linspace(0.11, 0.24, 33)
    assert threshold_by_decoys(np.array([0.53, *few[-3:]]), few[:-3], 2, 0.05) == 0.53
    found = 0
    for _ in range(400):
        scores, won = rng.exponential(0.1, 60), rng.random(60) < 1 / 7
        found += threshold_by_decoys(scores[won], scores[~won], 6, 0.05) is not None
    assert found <= 20  # 0.05 of them
    assert threshold_by_decoys(np.zeros(0), np.zeros(0), 6, 0.05) is None


def test_detections_in_two_groups_of_scores_are_parted_and_those_of_one_group_are_not():
    rng = np.random.default_rng(5)
    targets, relatives = rng.normal(0.6, 0.05, 24), rng.normal(0.3, 0.05, 16)
    brighter, darker = np.append(targets[:12], relatives[:8]), np.append(targets[12:], relatives[8:]) - 0.1
    for threshold, kept, left in zip(
        upper_groups([brighter, darker]), (targets[:12], targets[12:] - 0.1), (relatives[:8], relatives[8:] - 0.1)
    ):
        assert left.max() < threshold < kept.min()
    few, many = np.append(targets[:4], relatives[:14]), targets[4:]  # one has mostly relatives
    cuts = upper_groups([few, many])
    assert relatives[:14].max() < cuts[0] < targets[:4].min() and cuts[1] < many.min()
    assert not np.isfinite(upper_groups([np.append(rng.normal(0.4, 0.02, 60), [0.9] * 3)])).any(), "three are no group"
    one = [rng.normal(0.6, 0.05, (2, 12)) for _ in range(300)]
    assert sum(np.isfinite(upper_groups(list(both)))[0] for both in one) <= 6
    few = [np.array([0.6, 0.61, 0.3]), np.zeros(0)]
    assert not np.isfinite(upper_groups(few)).any() and upper_groups([np.zeros(0)]) == [-np.inf]
