# SPDX-License-Identifier: GPL-3.0-or-later
"""Ice, carbon and gradients of simulated micrographs."""

import numpy as np
import pytest
import torch

from cryodl.simulate.artefacts import add_carbon, add_gradient, add_ice, smooth_noise


@pytest.fixture
def noise():
    return torch.from_numpy(np.random.default_rng(0).standard_normal((300, 380), dtype=np.float32))


def test_ice_is_dark_where_the_mask_says_and_changes_nothing_far_away(noise):
    image, mask = add_ice(noise, 6, 32, np.random.default_rng(1))
    assert 0.01 < mask.float().mean() < 0.5
    assert image[mask].mean() < noise[mask].mean() - 1
    far = torch.nn.functional.max_pool2d(mask.float()[None, None], 81, 1, 40)[0, 0] == 0
    assert torch.allclose(image[far], noise[far], atol=0.05)


def test_no_pieces_of_ice_leave_the_image_as_it_is(noise):
    image, mask = add_ice(noise, 0, 32, np.random.default_rng(1))
    assert torch.equal(image, noise) and not mask.any()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_carbon_covers_the_share_that_is_asked_for(noise, share):
    image, mask = add_carbon(noise, 32, np.random.default_rng(2), share)
    assert mask.float().mean() == pytest.approx(share, abs=0.02)
    assert image[mask].mean() < image[~mask].mean() - 0.2
    assert image[mask].std() > 1.05 * image[~mask].std()


def test_carbon_is_one_side_of_one_edge(noise):
    from scipy.ndimage import label

    _, mask = add_carbon(noise, 32, np.random.default_rng(3), 0.3)
    sizes = np.bincount(label(mask.numpy())[0].ravel())[1:]
    assert sizes.max() > 0.95 * sizes.sum()


def test_a_gradient_has_the_range_that_is_asked_for(noise):
    change = add_gradient(noise, 7.0, np.random.default_rng(4)) - noise
    assert float(change.max() - change.min()) == pytest.approx(7.0, rel=1e-3)
    assert abs(float(change.mean())) < 1e-3


def test_inputs_are_not_changed(noise):
    before = noise.clone()
    add_ice(noise, 5, 32, np.random.default_rng(0)), add_carbon(noise, 32, np.random.default_rng(0))
    add_gradient(noise, 3, np.random.default_rng(0))
    assert torch.equal(noise, before)


def test_smooth_noise_varies_over_the_scale():
    field = smooth_noise((256, 300), 20.0, np.random.default_rng(5))
    assert field.shape == (256, 300) and float(field.std()) == pytest.approx(1.0, abs=1e-3)
    near = float((field[:, 1:] * field[:, :-1]).mean())
    far = float((field[:, 60:] * field[:, :-60]).mean())
    assert near > 0.95 and abs(far) < 0.5
