# SPDX-License-Identifier: GPL-3.0-or-later
"""The ranker of 2-D class averages, on averages that are plainly good or bad."""

import numpy as np
import pytest
import torch
from classes2d_data import shape

from cryodl.particles.classes2d.results import SIDE, curve_numbers, load_ranker, small_images

CURVE = torch.tensor([[1.0] * 9 + [0.8, 0.6, 0.4, 0.2, 0.1, 0.0, 0.0, 0.0]])


@pytest.fixture(scope="module")
def ranker():
    return load_ranker()


def noisy(image, seed=0):
    return image + 0.02 * torch.randn(32, 32, generator=torch.Generator().manual_seed(seed))


def drawn_balls(box):
    """(box, box) image of two small balls, in any number of pixels."""
    axis = (torch.arange(box) - (box - 1) / 2) * 32 / box
    ball = lambda y, x: torch.exp(-((axis[:, None] - y) ** 2 + (axis[None] - x) ** 2) / (2 * 1.5**2))
    return ball(-3.0, 2.0) + ball(4.0, -4.0)


def test_a_centred_particle_is_better_than_its_edge_than_noise_and_than_a_step(ranker):
    axis = torch.arange(32).float() - 16
    good = noisy(torch.nn.functional.interpolate(shape(0)[None, None], (32, 32))[0, 0])
    edge = torch.roll(good, (0, 11), (0, 1))
    step = noisy((axis > 2).float().expand(32, 32))
    noise = torch.randn(32, 32, generator=torch.Generator().manual_seed(1))
    curves = torch.cat([CURVE, CURVE, CURVE, 0.05 * CURVE])
    scores = ranker.scores(torch.stack([good, edge, step, noise]), curves, 14.0)
    assert scores[0] > 0.5 > scores[1:].max()


def test_scores_do_not_depend_on_quarter_turns_mirrors_and_brightness(ranker):
    image = noisy(shape(1))[1:, 1:]
    views = torch.stack([image, torch.rot90(image), image.flip(0), 7 * image + 3])
    scores = ranker.scores(views, CURVE.expand(4, -1), 13.0)
    assert np.allclose(scores, scores[0], atol=0.03)


def test_small_images_have_one_scale_and_nothing_outside_of_the_circle():
    small = small_images(torch.stack([shape(0), 50 * shape(0)]), 14.0)
    assert small.shape == (2, 1, SIDE, SIDE) and torch.allclose(small[0], small[1], atol=1e-4)
    assert small[0, 0, 0, 0] == 0


def test_an_average_of_finer_pixels_gives_the_same_small_image():
    coarse, fine = (drawn_balls(32), 14.0), (drawn_balls(128), 56.0)
    small = [small_images(image[None], mask_px)[0, 0] for image, mask_px in (coarse, fine)]
    assert (small[0] - small[1]).abs().max() < 0.1 * small[0].max()


def test_the_numbers_of_a_curve_are_its_mean_and_where_it_falls_below_a_half():
    numbers = curve_numbers(CURVE)[0]
    assert numbers[0] == pytest.approx(1.0) and numbers[1] == pytest.approx(10 / 16)
    assert curve_numbers(torch.ones(1, 17))[0, 1] == 1
