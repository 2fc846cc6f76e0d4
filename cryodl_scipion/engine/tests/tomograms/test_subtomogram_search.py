# SPDX-License-Identifier: GPL-3.0-or-later
"""Poses and averages of subtomograms in unknown orientations, and the classifier made of them."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from subtomogram_data import density, simulated_set

from cryodl.contract import TrainClassifierConfig
from cryodl.io.subtomograms import read_subtomograms
from cryodl.tomograms.classifiers import likelihood
from cryodl.tomograms.classifiers.examples import Examples
from cryodl.tomograms.classifiers.likelihood import Likelihood
from cryodl.tomograms.subtomograms.averages import Estimate
from cryodl.tomograms.subtomograms.em import Grids, find_poses, learn_average
from cryodl.tomograms.subtomograms.observed import Frame, frame_of, observe

FRAME = Frame(16, 10.0, 110.0, 5.0)
NAMES = ("bar", "ring", "corner")


@pytest.fixture(scope="module")
def grids():
    return Grids(FRAME, 1.5)


@pytest.fixture(scope="module")
def corners(tmp_path_factory):
    """Subtomograms of one asymmetric structure: set, and Observed."""
    one = read_subtomograms(simulated_set(tmp_path_factory.mktemp("corners"), ["corner"], 24, snr=1.0))
    return one, observe(one, slice(None), FRAME)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Card, weights, Examples and configuration of a classifier of three structures."""
    one = read_subtomograms(simulated_set(tmp_path_factory.mktemp("learnt"), list(NAMES), 16, snr=0.7))
    held = np.arange(len(one)) % 4 == 0
    examples = Examples(
        one, one.classes - 1, (1, 2, 3), NAMES, np.nonzero(~held)[0], np.nonzero(held)[0], "", "bright", 110.0, 10.0, 16
    )
    config = TrainClassifierConfig(subtomograms=one.path, output="none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likelihood, "STARTS", 1)  # enough with little noise
        weights = Likelihood().learn(examples, config, torch.device("cpu"))
    card = dict(name="c", classes=list(NAMES), pixel_size=10.0, box=16, particle_diameter=110.0)
    return card, weights, examples, config


def predictor(learnt):
    return Likelihood().predictor(*learnt[:2], torch.device("cpu"))


def degrees_apart(matrices, angles):
    true = Rotation.from_euler("ZYZ", angles, degrees=True)
    return np.degrees((Rotation.from_matrix(matrices) * true.inv()).magnitude())


def test_orientations_and_shifts_are_found_with_the_true_structure(grids, corners):
    one, observed = corners
    ground_truth = torch.from_numpy(density("corner", 16)) * float(one.volumes(slice(None)).std()) * 0.7
    poses = find_poses(observed, Estimate(ground_truth, observed.power(), None, None), grids)
    matrices, shifts = poses.best()
    assert np.median(degrees_apart(matrices.numpy(), one.angles)) < 10  # the steps of the close look are 7.5 degrees
    assert np.median(np.abs(shifts.numpy() - one.shifts_zyx)) < 0.4
    assert torch.allclose(poses.weights.sum(1), torch.ones(len(one)), atol=1e-5)


def test_an_average_is_learnt_from_unknown_orientations(grids, corners):
    one, observed = corners
    found = learn_average(observed, grids, seed=1, starts=2, rounds=2)
    matrices = found.poses.best()[0].numpy()
    true = Rotation.from_euler("ZYZ", one.angles, degrees=True)
    rotation = Rotation.from_matrix(matrices) * true.inv()  # the same for all, if they are right: the frame is free
    apart = np.array([np.median(np.degrees((rotation * one_turn.inv()).magnitude())) for one_turn in rotation])
    assert apart.min() < 12
    assert found.evidence.mean() > 5


def test_angles_that_are_given_are_a_beginning(grids, corners):
    one, observed = corners
    found = learn_average(observed, grids, starts=0, rounds=1, angles=one.angles, shifts=one.shifts_zyx)
    assert np.median(degrees_apart(found.poses.best()[0].numpy(), one.angles)) < 10


def test_turned_copies_are_classified_right(learnt, tmp_path):
    new = read_subtomograms(simulated_set(tmp_path, list(NAMES), 8, snr=0.7, seed=9))
    found = predictor(learnt).predict(new, np.arange(len(new)))
    assert (found.logits.argmax(1).numpy() + 1 == new.classes).mean() > 0.9
    assert found.angles.shape == found.shifts_zyx.shape == (24, 3)


def test_the_validation_part_enters_the_averages_at_last_but_not_what_is_usual(learnt, monkeypatch):
    card, weights, examples, config = learnt
    seen, whole = [], likelihood.observe
    monkeypatch.setattr(likelihood, "observe", lambda one, rows, *more: seen.append(rows) or whole(one, rows, *more))
    before = {name: value.clone() for name, value in weights.items()}
    after = Likelihood().completed(weights, examples, config, torch.device("cpu"))
    assert sorted(np.concatenate(seen)) == list(range(48))
    assert all(torch.equal(weights[name], before[name]) for name in weights)  # the caller's stay the caller's
    assert torch.equal(after["usual"], before["usual"]) and not torch.allclose(after["volumes"], before["volumes"])
    found = Likelihood().predictor(card, after, torch.device("cpu")).predict(examples.subtomograms, np.arange(48))
    assert (found.logits.argmax(1).numpy() == examples.labels).mean() > 0.9


def test_noise_and_what_was_never_seen_are_less_sure(learnt, tmp_path):
    known = read_subtomograms(simulated_set(tmp_path / "a", list(NAMES), 5, snr=0.7, seed=11))
    other = read_subtomograms(simulated_set(tmp_path / "b", [None], 8, seed=12))
    sure, unsure = (predictor(learnt).predict(s, np.arange(len(s))).confidence.numpy() for s in (known, other))
    assert unsure.max() < np.quantile(sure, 0.2)


def test_dark_protein_is_turned_bright(learnt, tmp_path):
    from subtomogram_data import subtomograms, write_set

    volumes, classes, _, _ = subtomograms(list(NAMES), 2, snr=0.7, seed=9)
    dark = read_subtomograms(write_set(tmp_path / "dark", -volumes, classes))
    bright = read_subtomograms(write_set(tmp_path / "bright", volumes, classes))
    one, other = (predictor(learnt).predict(s, np.arange(6), c).logits for s, c in ((dark, "dark"), (bright, "bright")))
    assert torch.allclose(one, other, atol=1e-3)


def test_another_pixel_size_is_resampled(learnt, tmp_path):
    wide = read_subtomograms(simulated_set(tmp_path, list(NAMES), 4, box=32, snr=0.7, seed=13, max_shift=0.0))
    fine = dataclasses.replace(wide, pixel_size=5.0)  # the structures are as wide, in Å, as they were
    found = predictor(learnt).predict(fine, np.arange(len(fine)))
    assert (found.logits.argmax(1).numpy() + 1 == fine.classes).mean() > 0.9


def test_weights_of_another_box_are_refused(learnt):
    card, weights = learnt[:2]
    with pytest.raises(ValueError, match="do not fit the network likelihood"):
        Likelihood().predictor(dict(card, box=20), weights, torch.device("cpu"))


@pytest.mark.parametrize(
    "box, pixel, resolution, radius", [(40, 10.0, None, 12.0), (64, 10.0, 40.0, 16.0), (32, 13.0, None, 32 / 3)]
)
def test_what_is_compared_suits_pixels_and_box(tmp_path, box, pixel, resolution, radius):
    one = read_subtomograms(simulated_set(tmp_path, ["bar"], 1))
    frame = frame_of(dataclasses.replace(one, box=box, pixel_size=pixel), None, resolution)
    assert frame.radius == pytest.approx(radius)
    assert frame.box >= 2 * frame.radius and frame.width == pytest.approx(box * pixel)
