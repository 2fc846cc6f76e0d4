# SPDX-License-Identifier: GPL-3.0-or-later
"""What an improved map keeps of its input."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cryodl.maps.improvers.run import density_seen, with_input
from cryodl.maps.measures.shells import shell_correlation

VOXELS = np.array([1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def molecule():
    """(40, 40, 40): spots within a ball of 10 px, nothing beyond."""
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(200, 3))
    positions *= (10 * rng.random((200, 1)) ** (1 / 3)) / np.linalg.norm(positions, axis=1, keepdims=True)
    data = np.zeros((40, 40, 40), np.float32)
    data[tuple(np.rint(positions + 20).astype(int).T)] = 1
    return gaussian_filter(data, 1.2)


def error(found, ground_truth):
    """Part of the ground truth's variance that the best multiple of a map does not explain."""
    return 1 - np.corrcoef(found.ravel(), ground_truth.ravel())[0, 1] ** 2


def test_two_answers_that_err_apart_are_better_together(molecule):
    rng, size = np.random.default_rng(1), molecule.std()
    data = molecule + 0.8 * size * rng.normal(size=molecule.shape).astype(np.float32)
    wrong = gaussian_filter(rng.normal(size=molecule.shape), 1.5) * (molecule > 0.1 * molecule.max())
    network = np.maximum(molecule + 1.2 * size * wrong / wrong.std(), 0).astype(np.float32)
    both = with_input(network, data, VOXELS, 0.4)
    assert error(both, molecule) < min(error(network, molecule), error(data, molecule))


def test_the_shape_of_the_whole_molecule_is_the_inputs(molecule):
    rng, coarse = np.random.default_rng(4), lambda map: shell_correlation(map, molecule, VOXELS).value[1:3]
    blurred = gaussian_filter(rng.normal(size=molecule.shape), 6)
    network = np.maximum(molecule * (1 + 0.8 * blurred / blurred.std()), 0).astype(np.float32)  # uneven
    both = with_input(network, molecule, VOXELS, 0.4)
    assert np.all(1 - coarse(both) < 0.15 * (1 - coarse(network)))


def test_nothing_of_the_input_comes_back_where_the_network_sees_nothing(molecule):
    data = molecule + molecule.max() * np.random.default_rng(2).random(molecule.shape).astype(np.float32)
    both = with_input(molecule, data, VOXELS, 0.4)
    far = gaussian_filter(molecule, 3.0) < 1e-6
    assert far.any() and np.abs(both[far]).max() < 1e-6 * both.max()


@pytest.mark.parametrize("scale, offset, near", [(1000, 0, 1e-4), (1, 0.3, 1e-4), (1, -0.2, 0.02)])
def test_the_scale_and_the_mean_of_the_input_do_not_matter(molecule, scale, offset, near):
    data = molecule + 0.01 * np.random.default_rng(3).normal(size=molecule.shape).astype(np.float32)
    changed = scale * data + offset * data.max()
    one, other = with_input(molecule, data, VOXELS, 0.4), with_input(molecule, changed, VOXELS, 0.4)
    np.testing.assert_allclose(one, other, atol=near * one.max())


def test_a_map_that_the_network_did_not_change_stays(molecule):
    np.testing.assert_allclose(with_input(molecule, molecule, VOXELS, 0.4), molecule, atol=1e-5 * molecule.max())


def test_without_a_share_or_without_any_density_the_answer_is_the_networks(molecule):
    assert with_input(molecule, molecule, VOXELS, 0.0) is molecule
    nothing = np.zeros_like(molecule)
    assert with_input(nothing, molecule, VOXELS, 0.4) is nothing


def test_density_is_seen_within_the_molecule_alone(molecule):
    found = density_seen(molecule, VOXELS)
    assert found[20, 20, 20] == 1 and found[2, 2, 2] == 0 and found.min() >= 0
