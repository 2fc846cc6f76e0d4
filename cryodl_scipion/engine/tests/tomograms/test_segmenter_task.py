# SPDX-License-Identifier: GPL-3.0-or-later
"""Views that a segmenter is trained on, what it is judged by, and scores that compare."""

import types

import numpy as np
import pytest
import torch
from segmenter_task_data import examples, square_example

from cryodl.contract import SEGMENTER_NETWORKS
from cryodl.core.calibration import expected_calibration_error
from cryodl.learning.processes import accelerator_for
from cryodl.tomograms.segmenters import segmenter_method
from cryodl.tomograms.segmenters.calibrate import (
    Calibration,
    Counted,
    boundary_error,
    dice,
    fit_voxels,
    validation_metrics,
)
from cryodl.tomograms.segmenters.card import Begun, card_warnings
from cryodl.tomograms.segmenters.examples import PATCH, Example
from cryodl.tomograms.segmenters.train import SegmenterTask, augmented_tile, middle_slice, window

each_network = pytest.mark.parametrize("name", SEGMENTER_NETWORKS)


@each_network
def test_views_keep_drawing_and_image_together(name):
    method, rng = segmenter_method(name), np.random.default_rng(0)
    example, seen = square_example(method, 3, noise=0.0), set()
    for _ in range(12):
        image, target, labelled = augmented_tile(example, method, rng)
        assert image.shape == (method.slices_in, method.crop, method.crop)
        assert target.shape == labelled.shape == (method.slices_out, method.crop, method.crop)
        annotated = [k for k in range(method.slices_out) if labelled[k].any()]
        assert len(annotated) == 1  # one slice was drawn on
        seen.add(annotated[0])
        slices = image[method.context :][annotated[0]]
        drawn, known_here = target[annotated[0]] > 0.5, labelled[annotated[0]] > 0
        if (drawn & known_here).sum() > 40:
            assert float(slices[drawn & known_here].mean()) < float(slices[~drawn & known_here].mean()) - 1
    assert len(seen) == min(method.slices_out, len(seen)) and (method.slices_out == 1 or len(seen) > 1)


def test_the_annotated_slice_may_have_any_position():
    method = segmenter_method("unet")
    example = square_example(method)
    image = torch.arange(11.0)[:, None, None].expand(11, PATCH, PATCH)
    example = Example(
        *[getattr(example, f) for f in ("tomogram", "centre_zyx", "size", "positive")],
        image.half(),
        example.target,
        example.labelled,
    )
    for position in range(4):
        part, _, labelled = window(example, method, position)
        assert [bool(k.any()) for k in labelled] == [k == position for k in range(4)]
        assert float(part[method.context + position, 0, 0]) == 5.0  # the middle slice of the example


@each_network
def test_half_of_each_batch_has_the_feature_and_a_step_changes_the_weights(name):
    method = segmenter_method(name)
    torch.manual_seed(0)
    task = SegmenterTask(method, method.build(), examples(method), examples(method), batch_size=2)
    image, target, labelled = task.batch(np.random.default_rng(0))
    assert len(image) == 2 and float(target[1].max()) == 0 and labelled.max() == 1
    before = [p.detach().clone() for p in task.networks.parameters()]
    values = task.train_step((image, target, labelled), accelerator_for(torch.device("cpu")))
    assert values["loss"].isfinite()
    assert any(not torch.equal(a, b) for a, b in zip(before, task.networks.parameters()))
    metrics = task.validate()
    assert set(metrics) == {"metric", "loss", "dice", "average_precision"} and 0 <= metrics["metric"] <= 1


def test_answers_have_the_size_of_the_image_also_where_the_network_halves_it():
    for name in ("unet", "eman2"):
        method = segmenter_method(name)
        task = SegmenterTask(method, method.build(), examples(method, 2), examples(method, 2))
        assert [tuple(a.shape) for a in task.answers(task.validation)] == [(PATCH, PATCH)] * 2
        assert middle_slice(task.validation[0])[0].shape == (PATCH, PATCH)


def test_few_validation_tiles_choose_no_weights():
    method = segmenter_method("unet2d")
    few, enough = ([square_example(method, n, n < k) for n in range(8)] for k in (3, 5))
    network = method.build()
    assert SegmenterTask(method, network, few, few).validates_poorly
    assert not SegmenterTask(method, network, enough, enough).validates_poorly


# ----- metrics
def test_ranking_figures_of_a_case_worked_out_by_hand():
    hit = np.array([True, False, True, False, False])
    counted = Counted.of(hit, np.array([0.9, 0.8, 0.7, 0.2, 0.1]))
    assert counted.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert counted.best_dice == pytest.approx(2 * 2 / (3 + 2))
    assert counted.auc == pytest.approx((3 + 2) / 6)  # pairs in the right order
    assert Counted.of(hit, np.zeros(5)).auc == pytest.approx(0.5)
    assert Counted.of(np.zeros(3, bool), np.ones(3)).best_dice == 0


def test_probabilities_are_true_and_the_boundary_gives_the_best_dice():
    rng = np.random.default_rng(0)
    ground_truth = 0.5 * rng.standard_normal(200_000) - 2.0  # log odds, of which the network says other ones
    hit = rng.random(len(ground_truth)) < 1 / (1 + np.exp(-ground_truth))
    calibration = fit_voxels(hit, 3 * ground_truth + 1)
    assert calibration.slope == pytest.approx(1 / 3, rel=0.15)
    assert expected_calibration_error(hit, calibration.probability(3 * ground_truth + 1)) < 0.01
    scores = calibration.score(3 * ground_truth + 1)
    best = max(dice(scores >= t, hit) for t in np.arange(0.1, 0.9, 0.02))
    assert dice(scores >= 0.5, hit) > best - 0.005 and calibration.boundary < 0.3


def test_scores_of_networks_that_say_the_same_on_other_scales_are_equal():
    rng = np.random.default_rng(1)
    ground_truth = 2 * rng.standard_normal(50_000) - 2.0
    hit = rng.random(len(ground_truth)) < 1 / (1 + np.exp(-ground_truth))
    one, other = (fit_voxels(hit, raw).score(raw) for raw in (ground_truth, 0.2 * ground_truth - 1))
    assert np.abs(one - other).max() < 0.02


def test_a_calibration_puts_its_boundary_at_one_half():
    calibration = Calibration(2.0, 1.0, 0.2)
    raw = np.array([(np.log(0.25) - 1.0) / 2.0])
    assert calibration.probability(raw)[0] == pytest.approx(0.2) and calibration.score(raw)[0] == pytest.approx(0.5)


def test_the_boundary_error_of_a_moved_square_is_what_it_was_moved_by():
    one, other = np.zeros((60, 60), bool), np.zeros((60, 60), bool)
    one[10:50, 10:50], other[10:50, 10:50] = True, True
    assert boundary_error(one, other) == 0
    other[:] = False
    other[12:48, 12:48] = True  # 2 px smaller on each side
    assert boundary_error(one, other) == pytest.approx(2.0, abs=0.1)
    assert boundary_error(one, np.zeros_like(one)) is None


def test_the_figures_of_the_card_count_only_what_is_known():
    raw, target = np.full((8, 8), -5.0), np.zeros((8, 8))
    raw[:4], target[:4] = 5.0, 1.0
    labelled = np.ones((8, 8), bool)
    labelled[0], raw[0] = False, -5.0  # a mistake that nobody can judge
    metrics = validation_metrics(Calibration(1.0, 0.0, 0.5), [raw], [target], [labelled], 10.0)
    assert metrics["dice"] == 1.0 and metrics["auc"] == 1.0 and metrics["boundary_error_angstrom"] == 0
    assert metrics["calibration_error"] < 0.01


def test_without_the_feature_in_validation_there_is_no_dice_and_the_user_is_told():
    empty, labelled = np.zeros((8, 8)), np.ones((8, 8), bool)
    for raw in (np.full((8, 8), -5.0), np.full((8, 8), 5.0)):  # nothing found where nothing is, and something
        metrics = validation_metrics(Calibration(1.0, 0.0, 0.5), [raw], [empty], [labelled], 10.0)
        assert metrics["dice"] is metrics["auc"] is metrics["average_precision"] is None
    tiles = dict(validation_positive=6)  # of single voxels, whose soft edges leave nothing
    warnings = list(card_warnings(dict(tiles=tiles, validation=metrics, split="single tiles")))
    assert len(warnings) == 1 and "No voxel of the validation tiles has the feature" in warnings[0]


def test_a_start_that_stays_is_judged_by_its_best_dice_which_is_not_that_of_its_threshold():
    one = dict(metric=0.84, dice=0.814, average_precision=0.864)
    start, trained = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    begun = Begun("membrane", start.state_dict(), one, Calibration(1.0, 0.0, 0.5))
    task = types.SimpleNamespace(networks={"segmenter": trained})
    told = begun.keep_the_better(task, types.SimpleNamespace(best=dict(one, metric=0.837, dice=0.816)))
    assert begun.kept and torch.equal(trained.weight, start.weight)
    assert "(best Dice 0.816, average precision 0.864) is not clearly better than membrane" in told
