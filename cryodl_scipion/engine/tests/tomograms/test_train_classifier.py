# SPDX-License-Identifier: GPL-3.0-or-later
"""train-classifier and classify-subtomograms as a user runs them, with a network that is small enough for tests."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from classifier_runs import NAMES, outputs, run, small
from subtomogram_data import simulated_set, subtomograms, write_set

from cryodl.contract import Result
from cryodl.core.volumes import wedge
from cryodl.io.model import read_model
from cryodl.io.mrc import write_map
from cryodl.io.star import read_tables, write_tables
from cryodl.io.subtomograms import read_subtomograms
from cryodl.tomograms.classifiers.run import Classifier


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a trained model, the set that it learnt from, and others of the same and of other structures."""
    folder = tmp_path_factory.mktemp("classifier")
    simulated_set(folder, NAMES, 60, name="train", snr=4, seed=1)
    simulated_set(folder, NAMES, 20, name="test", snr=4, seed=2)
    simulated_set(folder, ["corner", None], 20, name="strange", snr=4, seed=3)
    with pytest.MonkeyPatch.context() as patch:
        small(patch)  # of six seeds one, 0, has not converged after so few steps
        assert (
            run(
                folder,
                "train-classifier",
                "--subtomograms",
                "train.star",
                "--output",
                "model",
                "--network",
                "dsrf3d",
                "--class-names",
                *NAMES,
                "--steps",
                "240",
                "--batch-size",
                "16",
                "--seed",
                "1",
            )
            == 0
        )
    return folder


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    small(monkeypatch)


def classify(folder, subtomograms, output, *options, model_folder="model"):
    return run(
        folder,
        "classify-subtomograms",
        "--subtomograms",
        subtomograms,
        "--model",
        model_folder,
        "--output",
        output,
        *options,
    )


def test_training_leaves_a_model_that_says_what_it_is(model):
    card = json.loads((model / "model" / "card.json").read_text())
    assert card["kind"] == "classifier" and card["classes"] == list(NAMES) and card["class_numbers"] == [1, 2, 3]
    assert (card["pixel_size"], card["box"], card["particle_diameter"]) == (10.0, 16, 128.0)
    metrics = card["validation"]
    assert metrics["accuracy"] > 0.8 and np.sum(metrics["confusion"]) == metrics["number"] == 60
    assert len(metrics["unknown_confidence"]) == 60 and 0 <= metrics["calibration_error"] < 0.2
    assert card["training"]["tilts"] == [-60, 60] and "by tomogram" in card["training"]["split"]
    left = {path.name for path in (model / "model").iterdir()}
    assert left == {"card.json", "weights.safetensors", "metrics.csv", "learning_curve.png", "confusion.png"}


def test_known_ones_are_classified_and_strange_ones_are_unknown(model):
    assert classify(model, "test.star", "a/test.star", "--ground-truth", "--rejected-fraction", "0.1") == 0
    found = outputs(model)
    assert found["accuracy"] > 0.75 and found["counts"]["unknown"] <= 0.1 * 60 + 3 * (60 * 0.1 * 0.9) ** 0.5
    assert np.array(found["confusion"]["matrix"]).shape == (3, 4) and set(found["averages"]) == {"bar", "ring", "ball"}
    assert all(Path(model, found["confusion"][name]).exists() for name in ("table", "picture"))
    again = read_subtomograms(model / "a/test.star")
    assert sum(found["counts"].values()) == 60 == len(again)
    values = np.array([again.columns[f"cryodlProbability{k}"] for k in (1, 2, 3)], float)
    known = again.classes > 0
    assert np.allclose(values.sum(0), known, atol=1e-4), "what is of no class has no probability of any"
    assert ((values.argmax(0) + 1)[known] == again.classes[known]).all()
    assert np.array(again.columns["cryodlConfidence"], float)[known].min() > np.array(
        again.columns["cryodlConfidence"], float
    )[~known].max(initial=-np.inf)
    assert classify(model, "strange.star", "a/strange.star", "--rejected-fraction", "0.1") == 0
    # noise, which is half of them; a corner is much like a bar
    assert outputs(model)["counts"]["unknown"] >= 0.5 * 40 and outputs(model)["accuracy"] is None
    strange = read_subtomograms(model / "a/strange.star")
    assert set(np.array(strange.columns["cryodlProbability1"], float)[strange.classes == 0]) == {0.0}


def test_a_truth_of_other_classes_is_refused_before_the_work(model, tmp_path, capsys, monkeypatch):
    from cryodl.tomograms.classifiers.run import Classifier

    monkeypatch.setattr(Classifier, "classify", lambda *others: pytest.fail("the work began"))
    volumes, classes, _, _ = subtomograms(["bar", "ball"], 3)
    path = write_set(tmp_path, volumes, classes + 10)
    assert classify(model, path, tmp_path / "o.star", "--ground-truth") == 2
    assert "sub.star (rlnClassNumber: 11, 12) is one of the model's: 1, 2, 3" in capsys.readouterr().err
    assert not list(tmp_path.glob("o.*"))


def test_all_columns_are_kept_and_none_is_unknown_if_none_is_wanted(model):
    assert classify(model, "test.star", "all.star", "--rejected-fraction", "0") == 0
    before, after = (read_tables(model / name)["particles"] for name in ("test.star", "all.star"))
    assert all(after[name] == before[name] for name in before if name != "rlnClassNumber")
    assert outputs(model)["counts"]["unknown"] == 0


def test_averages_are_made_where_the_file_has_angles(model):
    assert classify(model, "test.star", "v/test.star", "--rejected-fraction", "0") == 0
    averages = outputs(model)["averages"]
    assert set(averages) == set(NAMES) and averages["ring"] == "v/test_class002.mrc"
    assert all(Path(model, path).exists() for path in averages.values())
    assert not Path(model, "v/test.star.partial").exists()
    assert classify(model, "test.star", "v/test.star") == 2  # it is there


def test_a_stopped_classification_continues(model, monkeypatch):
    from cryodl.tomograms.classifiers.run import Classifier
    from cryodl.tomograms.commands import classify_subtomograms

    monkeypatch.setattr(classify_subtomograms, "CHUNK", 16)
    whole, seen = Classifier.classify, []

    def stops(self, subtomograms, indices, *others):
        if len(seen) == 2:
            seen.append(0)
            raise KeyboardInterrupt
        seen.append(len(indices))
        return whole(self, subtomograms, indices, *others)

    monkeypatch.setattr(Classifier, "classify", stops)
    try:
        assert classify(model, "test.star", "s.star") != 0
    except KeyboardInterrupt:
        seen.append(0)
    assert not (model / "s.star").exists() and (model / "s.star.partial").exists()
    del seen[2:]
    seen += [0]  # no third time
    assert classify(model, "test.star", "s.star") == 0 and [n for n in seen if n] == [16, 16, 16, 12]
    assert not (model / "s.star.partial").exists() and len(read_subtomograms(model / "s.star")) == 60


def test_a_stopped_classification_begins_anew_with_other_weights(model, tmp_path, monkeypatch):
    from cryodl.tomograms.commands import classify_subtomograms

    monkeypatch.setattr(classify_subtomograms, "CHUNK", 4)
    path, weights = simulated_set(tmp_path, NAMES, 4, name="weighed"), tmp_path / "weights.mrc"
    tables = read_tables(path)
    tables["particles"]["rlnCtfImage"] = [weights.name] * 12
    write_tables(path, tables)
    whole, seen = Classifier.classify, []

    def stops(self, subtomograms, indices, *others):
        seen.append(len(indices))
        if len(seen) == 2:
            raise ValueError("stopped")
        return whole(self, subtomograms, indices, *others)

    monkeypatch.setattr(Classifier, "classify", stops)
    for low in (-60, -40):
        write_map(weights, wedge(16, low, 60), 10.0)
        classify(model, path, tmp_path / "o.star")
    assert seen == [4, 4, 4, 4, 4]


def test_other_voxels_and_boxes_are_resampled_and_said(model, tmp_path):
    path = simulated_set(tmp_path, NAMES, 8, name="fine", box=32, snr=4, seed=5, max_shift=2)
    tables = read_tables(path)
    tables["optics"]["rlnImagePixelSize"] = ["5.0"]
    for axis in "XYZ":
        name = f"rlnOrigin{axis}Angst"
        tables["particles"][name] = [float(v) / 2 for v in tables["particles"][name]]
    write_tables(path, tables)
    assert classify(model, path, tmp_path / "o.star", "--ground-truth", "--rejected-fraction", "0") == 0
    result = Result.read(model / "result.json")
    assert any("these have 5 Å/px: they are resampled" in sentence for sentence in result.summary)
    assert result.outputs["accuracy"] > 0.6  # the noise of each voxel is that of larger ones: less is left of it


def test_a_killed_training_continues_to_the_same_model_unless_volumes_changed(model, monkeypatch, capsys):
    from cryodl.tomograms.classifiers.train import ClassifierTask

    arguments = (
        "train-classifier",
        "--subtomograms",
        "train.star",
        "--network",
        "dsrf3d",
        "--steps",
        "12",
        "--batch-size",
        "8",
        "--output",
    )
    assert run(model, *arguments, "whole") == 0
    step, count = ClassifierTask.train_step, []

    def stops(self, *others):
        count.append(1)
        if len(count) == 11:
            raise KeyboardInterrupt
        return step(self, *others)

    monkeypatch.setattr(ClassifierTask, "train_step", stops)
    try:
        assert run(model, *arguments, "stopped") != 0
    except KeyboardInterrupt:
        count.append(1)
    volume = next((model / "train").glob("*.mrc"))
    before = volume.stat()
    os.utime(volume)  # made anew under its name
    assert run(model, *arguments, "stopped") == 2 and "with other parameters (files" in capsys.readouterr().err
    os.utime(volume, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run(model, *arguments, "stopped") == 0
    whole, stopped = (
        Classifier(*read_model(model / name, "classifier"), torch.device("cpu")).predictor.network.state_dict()
        for name in ("whole", "stopped")
    )
    assert all(torch.allclose(whole[name], stopped[name], atol=1e-6) for name in whole)


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(rlnClassNumber=None), "without classes .rlnClassNumber"),
        (dict(rlnClassNumber=["1"] * 180), "only the class 1"),
        (dict(rlnClassNumber=["1"] * 179 + ["2"]), "1 subtomogram of class 2"),
        (dict(rlnImageName=["train/gone.mrc"] * 180), "names the volume train/gone.mrc"),
    ],
)
def test_sets_that_teach_nothing_are_refused(model, change, words, capsys):
    tables = read_tables(model / "train.star")
    tables["particles"].update(change)
    tables["particles"] = {k: v for k, v in tables["particles"].items() if v is not None}
    write_tables(model / "bad.star", tables)
    assert run(model, "train-classifier", "--subtomograms", "bad.star", "--output", "bad", "--network", "dsrf3d") == 2
    assert re.search(words, capsys.readouterr().err) and not list(model.glob("bad*/"))


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--tilt-min", "60", "--tilt-max", "-60"), "not above the minimum tilt"),
        (("--class-names", "a", "b"), "2 names of classes"),
        (("--particle-diameter", "500"), "only 160 Å wide"),
        (("--resolution", "120"), "Give 43 Å or less"),
        (("--network", "likelihood", "--steps", "5"), "--steps has no effect with the network likelihood"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(model, arguments, words, capsys):
    assert (
        run(
            model,
            "train-classifier",
            "--subtomograms",
            "train.star",
            "--output",
            "bad",
            "--network",
            "dsrf3d",
            *arguments,
        )
        != 0
    )
    assert words in capsys.readouterr().err and not list(model.glob("bad*/"))


def test_models_of_another_kind_and_volumes_too_small_are_refused(model, tmp_path, capsys):
    assert classify(model, "test.star", "x.star", model_folder="general") == 2
    assert "a model of kind 'picker'; a classifier is needed" in capsys.readouterr().err
    small_box = simulated_set(tmp_path, NAMES, 2, name="small", box=8)
    assert classify(model, small_box, "x.star") == 2
    assert "are only 80 Å wide" in capsys.readouterr().err
    assert classify(model, "test.star", "x.mrc") == 2
    assert "must end in .star" in capsys.readouterr().err and not list(model.glob("x.*"))


def test_too_few_validation_subtomograms_call_none_unknown_and_say_so(model):
    assert classify(model, "test.star", "few.star", "--rejected-fraction", "0.01") == 0
    result = Result.read(model / "result.json")
    assert result.outputs["counts"]["unknown"] == 0 and any(
        "--rejected-fraction 0.02 or more" in w for w in result.warnings
    )


def test_ten_examples_of_a_class_state_what_holds_and_know_strangers(tmp_path):
    """Of three tomograms: validated in turn, so that there are enough to compare strangers with."""
    for name, members, count, seed in (
        ("train", NAMES, 10, 1),
        ("test", NAMES, 20, 2),
        ("odd", ["corner", None], 20, 3),
    ):
        volumes, classes, _, _ = subtomograms(members, count, snr=0.5, seed=seed)
        write_set(tmp_path, volumes, classes, name=name)
    assert run(tmp_path, "train-classifier", "--subtomograms", "train.star", "--output", "model") == 0
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    metrics, summary = card["validation"], " ".join(Result.read(tmp_path / "result.json").summary)
    assert f"in the 30 validation subtomograms, {metrics['balanced_accuracy']:.3f} for equal numbers" in summary
    assert metrics["number"] == 30 == len(metrics["unknown_confidence"]) and "in 5 parts" in card["training"]["split"]
    assert classify(tmp_path, "test.star", "test/found.star", "--ground-truth") == 0
    known = outputs(tmp_path)
    assert metrics["interval"][0] <= known["accuracy"] <= metrics["interval"][1] and known["accuracy"] > 0.7
    assert known["counts"]["unknown"] <= 12
    assert classify(tmp_path, "odd.star", "odd/found.star") == 0
    assert outputs(tmp_path)["counts"]["unknown"] >= 20  # of 40, half of which is noise
