# SPDX-License-Identifier: GPL-3.0-or-later
"""Training crops: however they are turned, mirrored and scaled, labels stay on their particles."""

import dataclasses

import numpy as np
import pytest
import torch
from synthetic import gaussian_blobs

from cryodl.core.augment import vary_contrast
from cryodl.micrographs.pickers.crops import LabelledImage, sample_crop

SHAPE = (200, 300)
POSITIVES = np.array([[40.3, 60.8], [100.0, 200.5], [150.6, 90.2], [90.2, 30.9], [60.7, 250.1]])
NEGATIVES = np.array([[30.0, 150.0], [170.0, 220.0]])


def scene(dense=True, **changes):
    """Bright spots on the positives, dark ones on the negatives."""
    image = gaussian_blobs(SHAPE, POSITIVES, 3) - gaussian_blobs(SHAPE, NEGATIVES, 3)
    item = LabelledImage(
        "a",
        torch.from_numpy(image),
        torch.ones(SHAPE, dtype=torch.bool),
        POSITIVES,
        NEGATIVES,
        "complete" if dense else "boxes",
    )
    return dataclasses.replace(item, **changes)


def value_at(image, point):
    """Bilinear value of an image at a sub-pixel position."""
    y, x = int(point[0]), int(point[1])
    fy, fx = float(point[0]) - y, float(point[1]) - x
    patch = image[y : y + 2, x : x + 2]
    return float(
        patch[0, 0] * (1 - fy) * (1 - fx)
        + patch[0, 1] * (1 - fy) * fx
        + patch[1, 0] * fy * (1 - fx)
        + patch[1, 1] * fy * fx
    )


def test_labels_stay_on_their_particles():
    seen = 0
    for seed in range(40):
        image, usable, positives, negatives, *_ = sample_crop(scene(), 96, np.random.default_rng(seed))
        assert image.shape == usable.shape == (96, 96)
        for points, sign in ((positives, 1), (negatives, -1)):
            for point in points:
                if (point > 1).all() and (point < 94).all():
                    assert sign * value_at(image, point) > 0.9, f"seed {seed}"
                    seen += 1
    assert seen > 40


def test_all_particles_in_a_crop_are_labelled():
    for seed in range(20):
        image, _, positives, *_ = sample_crop(scene(), 96, np.random.default_rng(seed))
        rest = image.clone()
        yy, xx = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
        for y, x in positives:
            rest[(yy - y) ** 2 + (xx - x) ** 2 < 14**2] = 0
        assert float(rest.max()) < 0.1, f"seed {seed}"


def test_views_are_turned_both_ways_and_mirrored():
    """The three nearest particles make a triangle; its sense of rotation tells a mirrored view."""
    senses, angles = set(), []
    for seed in range(60):
        _, _, points, *_ = sample_crop(scene(), 400, np.random.default_rng(seed))
        if len(points) == len(POSITIVES):
            (ay, ax), (by, bx) = (points[1] - points[0]).tolist(), (points[2] - points[0]).tolist()
            senses.add(ay * bx - ax * by > 0)
            angles.append(np.arctan2(ay, ax))
    assert senses == {True, False} and len(set(np.round(angles, 3))) > 10


def test_outside_of_the_image_nothing_is_usable():
    """A crop larger than the image in both directions always has such corners."""
    for seed in range(5):
        image, usable, *_ = sample_crop(scene(), 640, np.random.default_rng(seed))
        share = float((usable > 0.5).float().mean())
        assert share < 0.9 * SHAPE[0] * SHAPE[1] / 640**2 * 1.5 and float(image[usable < 0.5].abs().max()) < 0.05


def test_what_is_not_allowed_is_not_usable():
    allowed = torch.zeros(SHAPE, dtype=torch.bool)
    _, usable, *_ = sample_crop(scene(allowed=allowed), 96, np.random.default_rng(0))
    assert float(usable.max()) == 0


def test_the_same_generator_gives_the_same_crop():
    first, second = (sample_crop(scene(), 64, np.random.default_rng(7)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first[:5], second[:5])) and first.scale == second.scale


def test_without_dense_labels_crops_lie_at_labels():
    for seed in range(30):
        _, _, positives, negatives, *_ = sample_crop(scene(dense=False), 64, np.random.default_rng(seed))
        points = torch.cat([positives, negatives])
        assert ((points > 0) & (points < 63)).all(1).any()


@pytest.mark.parametrize("dense", [True, False])
def test_an_image_without_labels_gives_a_crop_too(dense):
    none = np.zeros((0, 2))
    image, _, positives, negatives, *_ = sample_crop(
        scene(dense, positives=none, negatives=none), 64, np.random.default_rng(0)
    )
    assert image.shape == (64, 64) and positives.shape == negatives.shape == (0, 2)


def test_contrast_varies_but_little_and_the_crop_is_kept():
    crop = torch.from_numpy(np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32))
    copy = crop.clone()
    varied = vary_contrast(crop, np.random.default_rng(1))
    assert torch.equal(crop, copy) and not torch.equal(varied, crop)
    assert float(torch.corrcoef(torch.stack([varied.flatten(), crop.flatten()]))[0, 1]) > 0.9
