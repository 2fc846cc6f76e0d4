# SPDX-License-Identifier: GPL-3.0-or-later
"""Training batches and validation of pickers: what teaches, what is judged, how near particles may lie."""

import dataclasses

import numpy as np
import pytest
import torch
from synthetic import gaussian_blobs

from cryodl.contract import PICKER_NETWORKS
from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.crops import LabelledImage
from cryodl.micrographs.pickers.predict import MINIMUM_DISTANCE
from cryodl.micrographs.pickers.train import PickerTask, closest_neighbours, judge_candidates

SHAPE = (256, 256)
POSITIVES = np.array([[60.0, 60.0], [60.0, 180.0], [180.0, 120.0]])
NEGATIVES = np.array([[120.0, 60.0], [200.0, 200.0]])
NOTHING = np.zeros((0, 2))


def labelled(positives=POSITIVES, negatives=NOTHING, dense=True, allowed=None, name="a"):
    image = 4 * gaussian_blobs(SHAPE, POSITIVES, 4) + 0.1 * np.random.default_rng(0).standard_normal(SHAPE)
    return LabelledImage(
        name,
        torch.from_numpy(image.astype(np.float32)),
        torch.ones(SHAPE, dtype=torch.bool),
        positives,
        negatives,
        "complete" if dense else "boxes",
        allowed,
    )


def task(*items, batch_size=4):
    torch.manual_seed(0)
    method = picker_method(PICKER_NETWORKS[0])
    return PickerTask(method, method.build(), list(items), list(items), batch_size, torch.device("cpu"))


def test_targets_of_a_batch_lie_on_bright_particles():
    made = task(labelled(), batch_size=8)
    images, targets, weights = made.batch(np.random.default_rng(0))
    stride = made.networks["picker"].stride
    assert images.shape[2] == targets.shape[2] * stride and weights.shape == targets.shape
    small = torch.nn.functional.avg_pool2d(images, stride)
    centres = targets > 0.9
    assert int(centres.sum()) > 5 and float(small[centres].mean()) > 2 > 1 > float(small[targets < 0.01].mean())


def test_a_batch_repeats_with_its_generator():
    made = task(labelled())
    for a, b in zip(made.batch(np.random.default_rng(3)), made.batch(np.random.default_rng(3))):
        assert torch.equal(a, b)


def test_nothing_is_learnt_where_it_is_not_allowed():
    made = task(labelled(allowed=torch.zeros(SHAPE, dtype=torch.bool)))
    assert float(made.batch(np.random.default_rng(0))[2].max()) == 0


def test_with_boxes_only_unlabelled_places_have_no_weight():
    made = task(labelled(POSITIVES[:1], NEGATIVES, dense=False))
    weights = made.batch(np.random.default_rng(0))[2]
    assert 0 < float(weights.mean()) < 0.5


def test_training_micrographs_are_drawn_by_their_labels():
    made = task(labelled(), labelled(NOTHING, name="empty"))
    assert made.chances.sum() == pytest.approx(1) and made.chances[0] > made.chances[1] > 0


def test_all_candidates_of_a_fully_labelled_image_are_judged():
    yx = np.array([[61.0, 60.0], [120.0, 60.0], [180.0, 121.0]])
    matched, judged = judge_candidates(yx, labelled(), 24.0)
    assert matched.tolist() == [True, False, True] and judged.all()


def test_of_a_partly_labelled_image_only_candidates_on_boxes_are_judged():
    yx = np.array([[61.0, 60.0], [122.0, 62.0], [180.0, 121.0]])  # on a particle, on background, on an unlabelled one
    matched, judged = judge_candidates(yx, labelled(POSITIVES[:1], NEGATIVES, dense=False), 24.0)
    assert matched.tolist() == [True, False, False] and judged.tolist() == [True, True, False]


def test_candidates_in_the_part_that_trains_are_not_judged():
    allowed = torch.zeros(SHAPE, dtype=torch.bool)
    allowed[:, 128:] = True
    matched, judged = judge_candidates(POSITIVES, labelled(allowed=allowed), 24.0)
    assert judged.tolist() == [False, True, False]


def test_validation_counts_the_labels_it_may_use():
    allowed = torch.zeros(SHAPE, dtype=torch.bool)
    allowed[:, 128:] = True
    assert (made := task(labelled(allowed=allowed))).hits(made.validation).reference == 1
    with torch.no_grad():  # as the training loop does
        metrics = task(labelled()).validate()
    assert set(metrics) == {"metric", "loss", "f1", "average_precision"} and all(0 <= v < 100 for v in metrics.values())


@pytest.mark.parametrize("size, expected", [(None, 1.3), (1.3, 1.0), (0.65, 2.0)])
def test_widths_of_candidates_are_over_that_of_the_particles_where_it_is_known(monkeypatch, size, expected):
    answer = POSITIVES, np.full(3, 0.9), np.full(3, 1.3)  # widths over the stated diameter
    monkeypatch.setattr("cryodl.micrographs.pickers.train.Picker.sized_candidates", lambda *a: answer)
    found = task(labelled()).hits([dataclasses.replace(labelled(), size=size)])
    assert found.sizes == pytest.approx([expected] * 3) and found.hit.all() and found.reference == 3


def test_how_near_particles_lie_is_taken_from_the_labels():
    """A lattice of spacing 12 px and particles of 24 px: half a diameter, with a little room."""
    rows = np.arange(20.0, 240, 12)
    lattice = np.stack(np.meshgrid(rows, rows, indexing="ij"), -1).reshape(-1, 2)
    assert closest_neighbours([labelled(lattice)], 24.0) == pytest.approx(0.5, abs=0.05)
    sparse = closest_neighbours([labelled(lattice * 10)], 24.0)
    few = closest_neighbours([labelled(lattice[:20])], 24.0)
    assert 0.5 < sparse < 1 and few == closest_neighbours([labelled(NOTHING)], 24.0)


@pytest.mark.parametrize("kind", ["sparse", "boxes"])
def test_labels_that_leave_particles_out_do_not_tell_how_near_particles_lie(kind):
    """Labels 24 px apart, between which there may be particles that nobody labelled."""
    lattice = np.stack(np.meshgrid(np.arange(11.0), np.arange(11.0), indexing="ij"), -1).reshape(-1, 2)
    complete = labelled(24 * lattice)
    assert closest_neighbours([dataclasses.replace(complete, labels=kind)], 24.0) == MINIMUM_DISTANCE
    assert closest_neighbours([complete], 24.0) == 0.7


def test_boxes_teach_a_trained_network_without_its_batch_statistics():
    """Crops around a few boxes are not what its running means were taken from."""
    from cryodl.learning.processes import accelerator_for

    for trained_before, changes in ((False, True), (True, False)):
        method = picker_method("unet")
        image = labelled(dense=False)
        before = PickerTask(
            method, method.build(), [image], [image], 2, torch.device("cpu"), trained_before=trained_before
        )
        norm = next(m for m in before.networks.modules() if isinstance(m, torch.nn.BatchNorm2d))
        mean, weight = norm.running_mean.clone(), norm.weight.detach().clone()
        before.train_step(before.batch(np.random.default_rng(0)), accelerator_for(torch.device("cpu")))
        assert torch.equal(norm.running_mean, mean) != changes
        assert not torch.equal(norm.weight, weight), "what the layer scales by is learnt either way"
