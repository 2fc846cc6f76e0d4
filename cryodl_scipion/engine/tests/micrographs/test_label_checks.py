# SPDX-License-Identifier: GPL-3.0-or-later
"""What labels show of themselves: dark or bright protein, and coordinates that are upside down."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, map_coordinates
from synthetic import gaussian_blobs

from cryodl.contract import TrainPickerConfig
from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.crops import LabelledImage
from cryodl.micrographs.pickers.fill_in import fill_in
from cryodl.micrographs.pickers.label_checks import (
    INNER,
    OUTER,
    Signal,
    judge_contrast,
    label_signal,
    upside_down_warning,
)

SHAPE, PX = (240, 300), 24.0


def labelled(contrast=2.5, upside_down=False, seed=0):
    """Particles of a contrast in unit noise, with their labels, maybe counted from the other edge."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(25.0, 225, 45), np.arange(25.0, 285, 45), indexing="ij"), -1).reshape(-1, 2)
    centres = grid + rng.uniform(-9, 9, grid.shape)
    centres[:, 0] = centres[:, 0] * 0.9 - 8  # not symmetric: upside down they lie beside each other
    centres = centres[(centres > 5).all(1)]
    image = rng.standard_normal(SHAPE) + contrast * gaussian_blobs(SHAPE, centres, PX / 5)
    if upside_down:
        centres = np.stack([SHAPE[0] - 1 - centres[:, 0], centres[:, 1]], 1)
    return LabelledImage(
        "a", torch.from_numpy(image.astype(np.float32)), torch.ones(SHAPE, dtype=torch.bool), centres, np.zeros((0, 2))
    )


@pytest.mark.parametrize("contrast, word", [(2.5, "dark"), (-2.5, "bright")])
def test_contrast_is_seen(contrast, word):
    """Prepared images have dark protein bright."""
    signal = label_signal([labelled(contrast)], PX)
    assert signal.clear and judge_contrast(signal, "auto")[0] == word


def test_bright_protein_is_said_and_dark_needs_no_word():
    assert judge_contrast(Signal(1.5, 0.1), "auto") == ("dark", [])
    contrast, said = judge_contrast(Signal(-1.5, 0.1), "auto")
    assert contrast == "bright" and "Protein is bright" in said[0] and "1.50 standard deviations" in said[0]


def test_labels_without_contrast_are_taken_for_dark_and_that_is_said():
    signal = label_signal([labelled(0.0)], PX)
    assert not signal.clear
    contrast, said = judge_contrast(signal, "auto")
    assert contrast == "dark" and "no clear contrast" in said[0] and "--contrast bright" in said[0]


def test_what_the_user_says_is_obeyed_and_contradicted():
    contrast, said = judge_contrast(Signal(-1.5, 0.1), "dark")
    assert contrast == "dark" and "Contrast (--contrast) is dark, but the labelled particles look bright" in said[0]
    assert judge_contrast(Signal(-1.5, 0.1), "bright") == ("bright", [])
    assert judge_contrast(Signal(-0.1, 0.1), "dark") == ("dark", [])


def test_a_few_labels_must_differ_by_more_than_chance():
    assert Signal(0.6, 0.1).clear and not Signal(0.6, 0.2).clear and not Signal(0.1, 0.001).clear


def test_upside_down_labels_are_noticed_and_right_ones_are_not():
    for upside_down in (False, True):
        images = [labelled(upside_down=upside_down)]
        warnings = upside_down_warning(label_signal(images, PX), label_signal(images, PX, upside_down=True))
        assert bool(warnings) is upside_down
    assert "upside down" in warnings[0] and "height - 1 - y" in warnings[0]


def test_the_signal_is_measured_in_standard_deviations():
    """A label on each of few spots in an otherwise constant image: the difference is large; shifted labels have
    none."""
    item = labelled(50.0)
    assert label_signal([item], PX).difference > 1
    everywhere = np.stack(np.meshgrid(np.arange(0, 240, 4.0), np.arange(0, 300, 4.0), indexing="ij"), -1).reshape(-1, 2)
    whole = LabelledImage("a", item.image, item.valid, everywhere, np.zeros((0, 2)))
    signal = label_signal([whole], PX)
    assert abs(signal.difference) < 0.02 and signal.error == pytest.approx(1 / 4500**0.5)


def test_the_standard_deviation_is_that_of_the_valid_area_about_its_own_mean():
    """Valid is only what lies near particles, where the filtered image is mostly bright: its mean is far from 0."""
    item = labelled(2.5)
    near = gaussian_blobs(SHAPE, item.positives, PX / 5) > 0.1
    image = item.image.numpy().astype(float)
    band = gaussian_filter(image, INNER * PX) - gaussian_filter(image, OUTER * PX)
    at_labels = map_coordinates(band, item.positives.T, order=1, mode="nearest")
    assert band[near].mean() > 0.3 * band[near].std()
    found = label_signal([dataclasses.replace(item, valid=torch.from_numpy(near))], PX).difference
    assert found == pytest.approx((at_labels.mean() - band[near].mean()) / band[near].std())


def test_corrections_beside_dirt_do_not_turn_the_contrast():
    """Particles that a picker missed lie beside dirt, whose rim is of the other sign; those that it found tell."""
    image = labelled(2.5)
    odd = np.array([[110.0, 150.0], [110.0, 100.0], [160.0, 150.0], [60.0, 200.0]])
    pixels = image.image.numpy() - 6 * gaussian_blobs(SHAPE, odd, PX / 5).astype(np.float32)
    added = dataclasses.replace(image, image=torch.from_numpy(pixels), positives=odd)
    assert judge_contrast(label_signal([added], PX), "auto")[0] == "bright"
    corrected = dataclasses.replace(added, machine=image.positives)
    assert judge_contrast(label_signal([corrected], PX), "auto")[0] == "dark"


def test_labels_that_tell_no_contrast_leave_it_to_the_general_model(monkeypatch):
    """Faint bright particles: dark would be a guess, and the wrong one."""
    many, few = np.full(40, 0.95), np.full(3, 0.9)
    for bright, expected in ((many, "bright"), (few, "dark")):
        scores = lambda images, _: [(np.zeros((0, 2)), bright if images[0].image.mean() < 0 else few)] * len(images)
        monkeypatch.setattr("cryodl.micrographs.pickers.general_view.general_candidates", scores)
        monkeypatch.setattr("cryodl.micrographs.pickers.fill_in._with_boxes", lambda images, *_: (images, []))
        image = labelled(0.0)
        image = dataclasses.replace(image, image=image.image + 0.1)
        config = TrainPickerConfig(("a.mrc",), "labels", 1.0, 24.0, "out")
        filled = fill_in([image], config, picker_method("unet"))
        assert filled.contrast == expected
        assert ("with bright protein" in filled.warnings[0]) == (expected == "bright")
        assert "check that the labels" in filled.warnings[0]
