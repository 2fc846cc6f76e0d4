# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows that patch classifiers learn from: which positions, at which distance, with which weight."""

import numpy as np
import pytest
import torch
from synthetic import gaussian_blobs

from cryodl.core.augment import quarter_rotation, random_rotation
from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.crops import LabelledImage

SHAPE = (240, 300)
POSITIVES = np.array([[60.0, 60.0], [60.0, 210.0], [180.0, 130.0]])
NEGATIVES = np.array([[130.0, 50.0], [200.0, 250.0]])
CONTAMINATION = np.array([[120.0, 260.0]])
NOTHING = np.zeros((0, 2))
PATCH = ("deeppicker", "deepem", "topaz")
each_method = pytest.mark.parametrize("name", PATCH)


def scene(labels="complete", positives=POSITIVES, negatives=NOTHING, contamination=NOTHING, **changes):
    """4 at particles, 2 at background boxes, 1 at contamination, 0 elsewhere."""
    image = (
        4 * gaussian_blobs(SHAPE, POSITIVES, 5)
        + 2 * gaussian_blobs(SHAPE, NEGATIVES, 5)
        + gaussian_blobs(SHAPE, CONTAMINATION, 5)
    )
    return LabelledImage(
        "a",
        torch.from_numpy(image),
        torch.ones(SHAPE, dtype=torch.bool),
        positives,
        negatives,
        labels,
        contamination=contamination,
        **changes,
    )


def draw(name, item, count=200, seed=0):
    """Windows' middle values (n,), targets (n,), weights (n, 2)."""
    method, rng = picker_method(name), np.random.default_rng(seed)
    images, targets, weights = zip(*[method.example(item, rng) for _ in range(count)])
    middle = method.window // 2
    return torch.stack([im[middle, middle] for im in images]), torch.cat(targets), torch.stack(weights)


@each_method
def test_positive_windows_show_particles_and_negative_ones_show_none(name):
    values, targets, weights = draw(name, scene(negatives=NEGATIVES))
    assert float(values[targets == 1].min()) > 2.5 and float(values[targets == 0].max()) < 2.1
    assert abs(float(targets.mean()) - picker_method(name).positive_fraction) < 0.1
    # a pixel beyond the edge is not usable
    assert float(weights[:, 0].mean()) > 0.97 and float(weights[:, 1].max()) == 0


@each_method
def test_background_keeps_the_published_distance_from_every_particle(name):
    method, rng = picker_method(name), np.random.default_rng(0)
    positions = np.array([method._background(scene(), rng) for _ in range(300)])
    nearest = np.linalg.norm(positions[:, None] - POSITIVES[None], axis=2).min(1)
    assert nearest.min() >= method.far and nearest.min() < method.far + 12
    assert (positions >= 0).all() and (positions < SHAPE).all() and positions[:, 1].max() > 270


def test_deeppicker_keeps_six_tenths_of_a_window():
    assert picker_method("deeppicker").far == pytest.approx(38.4)


def test_in_a_crowd_the_farthest_place_is_taken():
    lattice = np.stack(np.meshgrid(np.arange(0, 240.0, 30), np.arange(0, 300.0, 30), indexing="ij"), -1).reshape(-1, 2)
    method, item = picker_method("deeppicker"), scene(positives=lattice)
    positions = np.array([method._background(item, np.random.default_rng(seed)) for seed in range(50)])
    nearest = np.linalg.norm(positions[:, None] - lattice[None], axis=2).min(1)
    assert nearest.max() < method.far and nearest.min() > 10  # the middle of four is 21 px from them


@each_method
def test_with_boxes_only_boxes_are_looked_at(name):
    values, targets, weights = draw(name, scene("boxes", POSITIVES[:1], NEGATIVES, CONTAMINATION))
    assert float(values[targets == 1].min()) > 2.5
    assert {round(v) for v in values[targets == 0].tolist()} == {1, 2} and float(weights[:, 1].max()) == 0


@each_method
def test_an_image_with_good_boxes_alone_gives_only_those(name):
    _, targets, _ = draw(name, scene("boxes"), count=40)
    assert targets.tolist() == [1.0] * 40


@each_method
def test_sparse_labels_leave_the_rest_unlabelled(name):
    """Unlabelled windows may show particles: the two that nobody labelled are met sometimes."""
    values, targets, weights = draw(name, scene("sparse", POSITIVES[:1]), count=500)
    assert torch.equal(weights[targets == 1], torch.tensor([[1.0, 0.0]]).expand(int(targets.sum()), 2))
    assert float(weights[targets == 0][:, 0].max()) == 0 and float(weights[targets == 0][:, 1].mean()) > 0.97
    assert float(values[targets == 0].max()) > 1.5


@each_method
def test_windows_where_nothing_may_be_learnt_have_no_weight(name):
    allowed = torch.zeros(SHAPE, dtype=torch.bool)
    allowed[:, 150:] = True
    values, targets, weights = draw(name, scene(allowed=allowed), count=300)
    assert 0.2 < float(weights[:, 0].mean()) < 0.8
    one = scene(positives=POSITIVES[:1], allowed=allowed)
    _, targets, weights = draw(name, one, count=300)
    assert float(weights[targets == 1].max()) == 0 and float(weights[targets == 0].max()) == 1


@each_method
def test_images_without_particles_are_background(name):
    values, targets, _ = draw(name, scene(positives=NOTHING), count=30)
    assert float(targets.max()) == 0 and values.shape == (30,)


def test_deepem_turns_by_quarters_only():
    rotations = {tuple(np.rint(quarter_rotation(np.random.default_rng(s))).astype(int).ravel()) for s in range(40)}
    assert rotations == {(1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0)}


@each_method
def test_peaks_lie_where_the_window_was(name):
    """A network whose answer is its window's middle pixel: a bright pixel is found at its own position."""
    method = picker_method(name)
    before = (method.window - method.stride) // 2
    for position in ((45, 61), (46, 62)):
        scores = torch.full((1, 25, 40), -9.0)
        starts = [(p - (method.window - 1) / 2 + before) / method.stride for p in position]  # cells, not whole
        rows, columns = torch.arange(25.0), torch.arange(40.0)
        scores[0] = 6 - 0.5 * ((rows[:, None] - starts[0]) ** 2 + (columns[None] - starts[1]) ** 2)
        output = torch.cat([-scores / 2, scores / 2]) if name == "deeppicker" else scores
        yx, raw = method.peaks(output, 2.0, 0.03, torch.ones(25, 40, dtype=torch.bool))
        found = (yx[0] + 0.5) * method.stride - 0.5  # as Picker maps cells to working px
        assert len(raw) == 1 and np.abs(found - position).max() < 0.3


def test_crops_are_rotated_and_mirrored_and_change_their_size_by_a_twelfth_at_most():
    rng = np.random.default_rng(0)
    found = [random_rotation(rng) for _ in range(200)]
    sizes = np.linalg.svd(found, compute_uv=False)
    assert np.allclose(sizes[:, 0], sizes[:, 1]) and 0.92 <= sizes.min() < 0.95 and 1.05 < sizes.max() <= 1.08
    assert 60 < (np.linalg.det(found) < 0).sum() < 140


@pytest.mark.parametrize("name", ("deepem", "topaz"))
def test_windows_without_a_label_cost_nothing(name):
    method, nothing = picker_method(name), torch.zeros(3, 1)
    assert method.labelled_loss(torch.ones(3, 1), nothing, nothing) == 0
    (group,) = method.optimizer(method.build()).param_groups
    assert group["lr"] == method.learning_rate and group["params"]
