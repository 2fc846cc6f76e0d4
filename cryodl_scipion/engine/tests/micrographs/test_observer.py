# SPDX-License-Identifier: GPL-3.0-or-later
"""The observer that judges rounds: it ranks picks by what is there, not by how sure a network is."""

import numpy as np
import pytest
import torch
from synthetic import blob_micrograph

from cryodl.micrographs.normalize import Prepared
from cryodl.micrographs.pickers.self_labels import Picked
from cryodl.micrographs.pickers.self_training import (
    MINIMUM,
    best_picks,
    judge_round,
    ring_profiles,
    round_agreement,
    separation,
)

DIAMETER = 30.0


def micrographs(count=4):
    """[(Prepared, centres)] of bright blobs."""
    made = []
    for seed in range(count):
        image, centres = blob_micrograph((300, 360), seed=10 * seed, contrast=2.0)
        made.append(
            (Prepared(-torch.from_numpy(image), torch.ones(image.shape, dtype=torch.bool), image.shape), centres)
        )
    return made


@pytest.fixture(scope="module")
def parts():
    made = micrographs()
    return made[:2], made[2:]


def spoilt(part, share, seed=0):
    """The same picks with a share of them moved anywhere: both a missed particle and a false pick each."""
    rng = np.random.default_rng(seed)
    out = []
    for image, picks in part:
        picks = picks.copy()
        wrong = rng.random(len(picks)) < share
        picks[wrong] = rng.uniform(20, 280, (int(wrong.sum()), 2))
        out.append((image, picks))
    return out


def test_the_more_picks_are_wrong_the_less_they_are_separated(parts):
    metrics = [separation(*(spoilt(part, share) for part in parts), DIAMETER) for share in (0.0, 0.2, 0.5, 1.0)]
    assert metrics[0] > metrics[1] > metrics[2] > metrics[3] and metrics[0] > 3 and abs(metrics[3]) < 0.7


def test_too_few_picks_are_not_judged(parts):
    few = [(image, picks[: MINIMUM // 4]) for image, picks in parts[1]]
    assert separation(parts[0], few, DIAMETER) is None and separation(parts[0], [], DIAMETER) is None


def test_a_micrograph_that_is_full_of_picks_has_no_background_to_judge_by(parts):
    everywhere = np.stack(np.meshgrid(np.arange(0, 300, 10.0), np.arange(0, 360, 10.0), indexing="ij"), -1)
    full = [(image, everywhere.reshape(-1, 2)) for image, _ in parts[1]]
    assert separation(parts[0], full, DIAMETER) is None
    assert separation([(image, everywhere.reshape(-1, 2)) for image, _ in parts[0]], parts[1], DIAMETER) is None


def test_a_description_does_not_change_when_the_image_is_turned():
    rng = np.random.default_rng(0)
    image = rng.standard_normal((101, 101)).astype(np.float32)
    centre = np.array([[50.0, 50.0]])
    assert np.allclose(
        ring_profiles(image, centre, 16.0), ring_profiles(np.rot90(image).copy(), centre, 16.0), atol=1e-4
    )


def test_sure_scores_change_nothing_but_fewer_picks_lose(parts):
    """Two rounds with the same order are judged alike, and one that drops the doubtful half is not better for it."""
    made = parts[0] + parts[1]
    images = {str(i): image for i, (image, _) in enumerate(made)}
    held = ["2", "3"]
    numbers = {str(i): len(centres) for i, (_, centres) in enumerate(made)}

    def figure(scores, share=1.0):
        picked = {
            str(i): Picked(
                str(i), "", image.image.shape, c[: int(share * len(c))], np.full(int(share * len(c)), scores)
            )
            for i, (image, c) in enumerate(made)
        }
        return judge_round(images, held, picked, numbers, DIAMETER)

    assert figure(0.5) == figure(0.999) > figure(0.999, share=0.5)


def test_agreement_is_that_of_the_best_picks():
    positions = np.array([[10.0, 10.0], [50.0, 50.0], [90.0, 90.0], [10.0, 90.0]])
    first = {"a": Picked("a", "", (100, 100), positions, np.array([0.9, 0.8, 0.7, 0.1]))}
    second = {"a": Picked("a", "", (100, 100), positions + 1, np.array([0.1, 0.8, 0.7, 0.9]))}
    assert best_picks(second["a"], 2).tolist() == [[11.0, 91.0], [51.0, 51.0]]
    assert round_agreement(first, second, {"a": 3}, ["a"], 5.0) == pytest.approx(2 / 3)
    assert (
        round_agreement(first, second, {"a": 3}, ["a"], 1.0)
        == 0
        == round_agreement(first, second, {"a": 0}, ["a"], 5.0)
    )


def test_no_place_has_no_description():
    assert ring_profiles(np.zeros((64, 64), np.float32), np.zeros((0, 2)), 16.0).shape[0] == 0
