# SPDX-License-Identifier: GPL-3.0-or-later
"""Proposed boxes: background without particles, contamination that stands out, the same ones every time."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from synthetic import gaussian_blobs

from cryodl.micrographs.pickers.fill_in import appearance_of, outstanding, proposed_boxes, similarity_map

PX = 24.0  # of the particles' diameter
SHAPE = (300, 380)
ICE = np.array([[60.0, 320.0], [250.0, 60.0]])


def scene(labelled=1.0, ice=ICE, edge=False, seed=0):
    """Bright particles in unit noise, large bright ice, maybe a wall; `labelled` is the part of particles with
    labels."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(30.0, 280, 45), np.arange(30.0, 360, 45), indexing="ij"), -1).reshape(-1, 2)
    ground_truth = grid + rng.uniform(-8, 8, grid.shape)
    ground_truth = ground_truth[cKDTree(ICE).query(ground_truth)[0] > 45]
    image = rng.standard_normal(SHAPE) + 2.5 * gaussian_blobs(SHAPE, ground_truth, PX / 5)
    if len(ice):
        image += 7 * gaussian_blobs(SHAPE, ice, PX * 0.5)
    if edge:
        image[:, :40] += 5
        ground_truth = ground_truth[ground_truth[:, 1] > 60]
    image = np.clip(image, -5, 5).astype(np.float32)
    known = ground_truth[rng.random(len(ground_truth)) < labelled]
    return SimpleNamespace(
        image=torch.from_numpy(image), valid=torch.ones(SHAPE, dtype=torch.bool), positives=known
    ), ground_truth


def nearest(points, others):
    return cKDTree(others).query(points)[0]


def test_background_boxes_hold_neither_labelled_nor_unlabelled_particles():
    item, ground_truth = scene(labelled=0.5)
    found = proposed_boxes(item, appearance_of([item], PX), 15).background
    assert len(found) == 15 and len(item.positives) < 0.7 * len(ground_truth)
    assert (nearest(found, item.positives) >= 0.9 * PX - 1).all()
    assert (nearest(found, ground_truth) > 0.4 * PX).mean() > 0.9 and (nearest(found, ICE) > PX).all()
    assert (found >= PX / 2).all() and (found <= np.array(SHAPE) - 1 - PX / 2).all()


def test_ice_is_proposed_as_contamination_and_nothing_else():
    item, ground_truth = scene()
    found = proposed_boxes(item, appearance_of([item], PX), 15).contamination
    assert len(found) and (nearest(found, ICE) < 1.5 * PX).all() and (nearest(ICE, found) < PX).all()


def test_an_edge_of_carbon_is_contamination_all_along():
    item, _ = scene(ice=ICE[:0], edge=True)
    found = proposed_boxes(item, appearance_of([item], PX), 40).contamination
    assert len(found) > 5 and (found[:, 1] < 70).all() and np.ptp(found[:, 0]) > 0.6 * SHAPE[0]


def test_a_clean_micrograph_has_no_contamination_unless_it_is_needed():
    item, ground_truth = scene(ice=ICE[:0])
    look = appearance_of([item], PX)
    assert len(proposed_boxes(item, look, 15).contamination) == 0
    needed = proposed_boxes(item, look, 15, always=True).contamination
    assert 5 < len(needed) <= 15 and (nearest(needed, ground_truth) >= 0.9 * PX - 1).all()


def test_the_same_input_gives_the_same_boxes_and_stays_as_it_was():
    item, _ = scene()
    before = item.image.clone(), item.positives.copy()
    a, b = (proposed_boxes(item, appearance_of([item], PX), 10) for _ in range(2))
    assert np.array_equal(a.background, b.background) and np.array_equal(a.contamination, b.contamination)
    assert torch.equal(item.image, before[0]) and np.array_equal(item.positives, before[1])


def test_places_that_are_no_image_are_never_proposed():
    item, _ = scene()
    item.valid[:, 200:] = False
    found = proposed_boxes(item, appearance_of([item], PX), 30, always=True)
    assert len(found.background) and (np.vstack([found.background, found.contamination])[:, 1] < 200).all()


def test_no_room_for_background_gives_none():
    item, _ = scene()
    item.positives = np.stack(np.meshgrid(np.arange(0, 300, 12.0), np.arange(0, 380, 12.0), indexing="ij"), -1).reshape(
        -1, 2
    )
    assert proposed_boxes(item, appearance_of([item], PX), 15).background.shape == (0, 2)


def test_the_look_of_particles_is_round_and_correlates_with_itself():
    item, ground_truth = scene(ice=ICE[:0])
    look = appearance_of([item], PX)
    template = look.template
    assert template.shape[0] % 2 == 1 and abs(template.sum()) < 1e-6 and np.linalg.norm(template) == pytest.approx(1)
    assert np.allclose(template, template.T, atol=1e-9)
    assert np.unravel_index(template.argmax(), template.shape) == (18, 18)
    padded = np.zeros((101, 101))
    padded[32:69, 32:69] = template
    likeness = similarity_map(padded, template)
    assert likeness[50, 50] == pytest.approx(1, abs=1e-3) and likeness.max() <= 1.001


def test_labels_at_the_border_alone_give_a_disc_as_template():
    item, _ = scene()
    item.positives = np.array([[3.0, 3.0], [2.0, 370.0]])
    template = appearance_of([item], PX).template
    assert template[18, 18] > 0 > template[18, 1]


def test_nothing_labelled_is_said():
    item, _ = scene()
    item.positives = np.zeros((0, 2))
    with pytest.raises(ValueError, match="no particle is labelled"):
        appearance_of([item], PX)


def test_labelled_particles_are_not_outstanding():
    item, ground_truth = scene()
    values = outstanding(item.image.numpy(), appearance_of([item], PX))
    at = np.rint(ground_truth).astype(int)
    assert (values[at[:, 0], at[:, 1]] < 1).all() and values[60, 320] > 2
