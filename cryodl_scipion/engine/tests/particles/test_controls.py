# SPDX-License-Identifier: GPL-3.0-or-later
"""The controls of a denoiser: similarity to targets, made-up molecules, and the verdict."""

import numpy as np
import pytest
import torch
from synthetic import lopsided_density

from cryodl.core.projections import Projector
from cryodl.likelihood.observed import ring_powers
from cryodl.particles.denoisers.controls import closeness, judge_controls, random_molecule, target_similarities
from cryodl.simulate.particle_images import noise_images

BOX = 32
OTHER = dict(
    what="an artificial molecule",
    similarity=0.5,
    own_similarity=0.45,
    mean_frc=dict(raw=0.1, wiener=0.2, denoised=0.15),
)
GOOD = dict(
    noise=0.01,
    unrelated=0.05,
    chance_similarity=0.3,
    noise_similarity=0.4,
    noise_contrast=0.2,
    real_similarity=0.8,
    mean_frc=dict(raw=0.1, wiener=0.2, denoised=0.4),
    unseen=OTHER,
)


def views(angles, shifts=None):
    return Projector(torch.from_numpy(lopsided_density(BOX))).project(angles, shifts)


def test_a_turned_and_shifted_target_is_found_again():
    targets = views([[0, 0, 0], [30, 80, 10]])
    image = 7 * views([[0, 0, 45]], [[2, -1]]) + 3
    assert float(target_similarities(image, targets, 26)[0]) > 0.95


def test_noise_is_less_like_a_target_than_the_target_is():
    targets = views([[0, 0, 0], [30, 80, 10]])
    found = target_similarities(noise_images(5, BOX, np.random.default_rng(0)), targets, 26)
    assert found.max() < 0.5 and found.shape == (5,)


def test_images_without_variation_are_like_nothing():
    assert target_similarities(torch.ones(2, BOX, BOX), views([[0, 0, 0]]), 26).abs().max() < 1e-3


def test_pure_noise_has_the_spectrum_that_is_asked_for():
    power = torch.linspace(3, 0.2, BOX // 2 + 1)
    found = ring_powers(noise_images(300, BOX, np.random.default_rng(0), power)).mean(0)
    ratio = (found / power)[2:]
    assert float(ratio.std() / ratio.mean()) < 0.05


def test_a_made_up_molecule_has_the_size_that_is_asked_for_and_is_another_each_time():
    rng = np.random.default_rng(0)
    one, two = random_molecule(BOX, 24, rng), random_molecule(BOX, 24, rng)
    axis = torch.arange(BOX) - BOX // 2
    radius = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).float().sqrt()
    for density in (one, two):
        assert float(density[radius > 15].sum()) < 0.02 * float(density.sum())
        assert float(density[radius > 6].sum()) > 0.2 * float(density.sum())
    assert np.corrcoef(one.flatten(), two.flatten())[0, 1] < 0.9


def test_controls_far_from_the_real_result_pass():
    verdict, sentences = judge_controls(GOOD)
    assert verdict == "ok" and len(sentences) == 4
    # said, of the molecule by name, and no reason to warn: it is made for its own
    assert any("less than a filter does" in s and OTHER["what"] in s for s in sentences)


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(noise=0.09), "produces the structure from noise"),
        (dict(noise_similarity=0.75, noise_contrast=0.9), "draws its molecule where there is none"),
        (dict(mean_frc=dict(raw=0.1, wiener=0.2, denoised=0.19)), "no better than a Wiener filter"),
        (dict(unseen=dict(OTHER, similarity=0.79, own_similarity=0.6)), "makes its own molecule of another one"),
    ],
)
def test_a_control_that_comes_near_the_real_result_warns_and_its_reason_comes_first(change, words):
    verdict, sentences = judge_controls(dict(GOOD, **change))
    assert verdict == "warning" and words in sentences[0]


def test_a_molecule_that_looks_like_the_targets_by_itself_is_no_proof_of_bias():
    unseen = dict(GOOD["unseen"], similarity=0.86, own_similarity=0.88)
    assert judge_controls(dict(GOOD, unseen=unseen))[0] == "ok"


def test_denoised_noise_that_is_next_to_nothing_may_look_like_anything():
    assert judge_controls(dict(GOOD, noise_similarity=0.79, noise_contrast=0.05))[0] == "ok"


def test_closeness_is_the_part_of_the_way_from_chance_to_the_real_result():
    assert closeness(0.5, 0.9, 0.1) == pytest.approx(0.5)
    assert closeness(0.5, 0.1, 0.3) == float("inf")  # the real result is no better than chance
