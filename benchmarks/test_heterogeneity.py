# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures of latent spaces on cases whose answers are known: PYTHON -m pytest benchmarks/test_heterogeneity.py"""

import numpy as np
import pytest
from heterogeneity_measures import (
    area,
    areas,
    chosen_particles,
    molecule_mask,
    rank_correlation,
    shared_neighbours,
    true_distances,
)
from parts import engine_path

engine_path()


def balls(count, box=24):
    """Maps of a ball that goes along x."""
    z, y, x = np.indices((box,) * 3) - box / 2
    return np.stack([np.exp(-(z**2 + y**2 + (x - s) ** 2) / 8) for s in np.linspace(-4, 4, count)]).astype(np.float32)


def test_the_area_is_half_for_equal_maps_whatever_their_scale_and_none_for_noise():
    one, other = np.random.default_rng(0).standard_normal((2, 32, 32, 32))
    assert area(one, 3 * one) == pytest.approx(0.5, abs=1e-4)
    assert abs(area(one, other)) < 0.05
    maps = balls(3)
    assert areas(maps, maps, molecule_mask(maps)) == pytest.approx((0.5, 0.5), abs=1e-3)
    assert areas(maps[[0]], maps[[2]], molecule_mask(maps))[0] < 0.4


def test_the_mask_holds_the_molecule_of_every_map_and_not_the_corners():
    maps = balls(3)
    mask = molecule_mask(maps)
    assert mask[maps.max(0) > 0.3].min() > 0.9 and mask[0, 0, 0] < 0.01


def test_neighbours_of_true_coordinates_are_those_of_the_truth_and_of_random_ones_by_chance():
    states = np.random.default_rng(0).integers(0, 21, 2000)
    distances = true_distances(balls(21))
    rng = np.random.default_rng(1)
    assert shared_neighbours(states[:, None] + 0.01 * rng.standard_normal((2000, 1)), states, distances) == 1
    assert shared_neighbours(rng.standard_normal((2000, 2)), states, distances) < 0.12  # one state and the next


def test_particles_are_of_as_many_states_as_there_are():
    states = np.repeat(range(10), 50)
    assert sorted(states[chosen_particles(states, 10)]) == list(range(10))
    assert np.bincount(states[chosen_particles(states, 25)]).tolist().count(3) == 5


def test_the_sign_of_a_coordinate_does_not_matter():
    true = np.arange(50)
    latent = np.stack([np.random.default_rng(0).standard_normal(50), -(true**3)], axis=1)
    assert rank_correlation(latent, true) == pytest.approx(1)
