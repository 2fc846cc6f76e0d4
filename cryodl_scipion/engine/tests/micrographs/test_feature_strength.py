# SPDX-License-Identifier: GPL-3.0-or-later
"""How strong a micrograph's strongest particle-sized features are, and the gain that brings all to the same height."""

import dataclasses

import numpy as np
import pytest
import torch

from cryodl.micrographs.normalize import Prepared, feature_strength, particle_bands
from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.unet import STRENGTH

D = 32.0


def strength_of(image, valid, diameter_px):
    return feature_strength(particle_bands(image, valid, diameter_px), valid)


def _image(height, sigma=1.0, seed=0, spots=30, side=480):
    """Noise with discs of half a diameter's radius."""
    rng = np.random.default_rng(seed)
    image = sigma * torch.from_numpy(rng.standard_normal((side, side), dtype=np.float32))
    yy, xx = np.mgrid[:side, :side]
    for y, x in rng.uniform(20, side - 20, (spots, 2)):
        image += height * torch.from_numpy(((yy - y) ** 2 + (xx - x) ** 2 < (D / 2) ** 2).astype(np.float32))
    return image


def _valid(image):
    return torch.ones(image.shape, dtype=torch.bool)


def test_strength_grows_with_the_particles():
    values = [strength_of(_image(h), _valid(_image(h)), D) for h in (0.5, 1.0, 2.0)]
    assert values[1] / values[0] == pytest.approx(2, rel=0.25) and values[2] / values[1] == pytest.approx(2, rel=0.2)


def test_noise_alone_has_the_least_strength():
    assert strength_of(_image(0.0), _valid(_image(0)), D) == pytest.approx(0.12, abs=0.03)


def test_what_is_not_valid_does_not_count():
    image = _image(1.0)
    spoiled, valid = image.clone(), _valid(image)
    spoiled[:100], valid[:100] = 0, False
    assert strength_of(spoiled, valid, D) == pytest.approx(strength_of(image, _valid(image), D), rel=0.2)


def test_without_valid_pixels_it_is_that_of_noise():
    image = _image(1.0)
    assert strength_of(image, ~_valid(image), D) == pytest.approx(0.12)


def test_rotated_images_are_as_strong():
    image = _image(1.0)
    rotated = torch.rot90(image).contiguous()
    assert strength_of(rotated, _valid(image), D) == pytest.approx(strength_of(image, _valid(image), D), rel=0.03)


def test_the_gain_brings_faint_and_strong_micrographs_to_the_same_height():
    method = picker_method("unet")
    for height in (0.6, 1.2, 2.4):
        image = _image(height)
        prepared = Prepared(image, _valid(image), tuple(image.shape))
        gained = image * method.gain(prepared)
        assert strength_of(gained, prepared.valid, D) == pytest.approx(STRENGTH, rel=0.01)


def test_the_gain_of_a_changed_image_is_computed_anew():
    method, image = picker_method("unet"), _image(1.0)
    prepared = Prepared(image, _valid(image), tuple(image.shape))
    first = method.gain(prepared)
    assert method.gain(dataclasses.replace(prepared, image=2 * image)) == pytest.approx(first / 2, rel=1e-3)


def test_an_image_is_measured_once_for_each_diameter(monkeypatch):
    calls, image = [], _image(1.0)
    monkeypatch.setattr(
        "cryodl.micrographs.normalize.feature_strength", lambda *a: calls.append(a) or float(len(calls))
    )
    prepared = Prepared(image, _valid(image), tuple(image.shape))
    assert [prepared.strength(d) for d in (32.0, 32.0, 24.0, 32.0)] == [1.0, 1.0, 2.0, 1.0]
    assert Prepared(image, _valid(image), tuple(image.shape)).strength(32.0) == 3.0  # each image has its own


@pytest.mark.parametrize("name", ["deeppicker", "deepem", "cryolo", "topaz", "eman2"])
def test_published_methods_see_micrographs_as_they_are(name):
    image = _image(1.0)
    assert picker_method(name).gain(Prepared(image, _valid(image), tuple(image.shape))) == 1.0
