# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-segmenter` from volumes and annotations to a model folder, and the inputs that it refuses."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from segmenter_data import PIXEL, card, result, rods, train, write_project, write_volume
from synthetic import start_cryodl

from cryodl.contract import SEGMENTER_NETWORKS, check_model
from cryodl.learning import recipe
from cryodl.running.cli import main
from cryodl.tomograms.segmenters import load_segmenter
from cryodl.tomograms.segmenters.working_scale import GreyValues


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a tomogram, its labels and a hardly trained model."""
    folder = tmp_path_factory.mktemp("segmenter")
    write_project(folder)
    assert train(folder, "--feature", "rod", "--annotator", "anna") == 0
    return folder


def refused(folder, capsys, *more, **options):
    """What the command says when it refuses."""
    capsys.readouterr()
    assert train(folder, *more, **options) != 0
    assert not (folder / options.get("output", "model")).exists()
    return capsys.readouterr().err


@pytest.fixture
def project(tmp_path):
    write_project(tmp_path, shape=(6, 96, 96))
    return tmp_path


def test_a_training_leaves_a_whole_model_and_says_what_it_is(trained):
    found, outputs = check_model(trained / "model", "segmenter"), result(trained).outputs
    assert (found["feature"], found["annotator"], found["network"]) == ("rod", "anna", "unet")
    assert found["pixel_size"] == found["trained_pixel_size"] == PIXEL and found["threshold"] == 0.5
    assert found["context"] == 2 and "contrast" not in found
    assert found["training_tomograms"] == found["validation_tomograms"] == ["t0"]
    assert found["tiles"]["positive"] > 3 and found["tiles"]["negative"] > 0 and found["tiles"]["validation"] > 0
    assert set(found["validation"]) >= {"dice", "auc", "boundary_error_angstrom", "calibration_error"}
    assert outputs["feature"] == "rod" and outputs["pixel_size"] == PIXEL and "all 4 steps" in outputs["stop_reason"]
    assert sorted(p.name for p in (trained / "model").iterdir()) == [
        "card.json",
        "learning_curve.png",
        "metrics.csv",
        "samples",
        "weights.safetensors",
    ]
    assert sorted(p.name for p in (trained / "model/samples").iterdir()) == ["training.png", "validation.png"]
    assert not (trained / "model.partial").exists()


def test_the_model_gives_scores_to_slabs(trained):
    segmenter = load_segmenter(trained / "model", torch.device("cpu"))
    assert segmenter.scores(torch.zeros(6, 16, 24)).shape == (2, 16, 24)


def test_the_same_seed_repeats_a_training(trained):
    assert train(trained, "--feature", "rod", "--annotator", "anna", output="again") == 0
    assert (trained / "again/weights.safetensors").read_bytes() == (trained / "model/weights.safetensors").read_bytes()


def test_a_training_can_start_from_a_model_of_its_network_and_pixel_size(trained, capsys):
    assert train(trained, "--start-from", str(trained / "model"), output="further", steps=1) == 0
    begun = json.loads((trained / "further/card.json").read_text())
    assert begun["start"]["name"] == str(trained / "model") and begun["start"]["validation"]["dice"] > 0
    if begun["start"]["kept"]:  # one step hardly makes it better
        assert "is not clearly better than" in capsys.readouterr().err
        assert begun["calibration"] == pytest.approx(
            json.loads((trained / "model/card.json").read_text())["calibration"]
        )
    text = refused(trained, capsys, "--start-from", str(trained / "model"), "--network", "unet2d", output="x")
    assert "has the network unet, but this training has unet2d" in text
    text = refused(trained, capsys, "--start-from", str(trained / "model"), "--working-pixel-size", "20", output="y")
    assert "works at 10 Å/px, but this training at 20 Å/px. Give --working-pixel-size 10" in text


@pytest.mark.parametrize(
    "options, network, start",
    [
        (["--feature", "filament"], "unet32", "filament"),
        (["--feature", "filament", "--network", "unet"], "unet", None),
        (["--feature", "filament", "--working-pixel-size", "20"], "unet", None),
        (["--feature", "rod"], "unet", None),
        (["--start-from", "filament"], "unet32", "filament"),
    ],
)
def test_a_training_starts_from_the_shipped_model_of_its_feature(options, network, start, project, capsys):
    assert train(project, *options, steps=1) == 0
    assert card(project)["network"] == network and card(project).get("start", {}).get("name") == start
    assert ("starts from the shipped model" in capsys.readouterr().out) == (
        start is not None and "--feature" in options
    )


@pytest.mark.parametrize("name", SEGMENTER_NETWORKS)
def test_every_network_is_trained_by_the_same_command(name, project):
    assert train(project, "--network", name, steps=1) == 0
    assert card(project)["network"] == name and card(project)["feature"] == "model"


def test_a_killed_training_continues_and_ends_as_if_there_was_none(tmp_path, monkeypatch):
    write_project(tmp_path, shape=(6, 96, 96))
    command = lambda output: [
        "train-segmenter",
        "--tomograms",
        "tomo/*.mrc",
        "--labels",
        "labels/*.mrc",
        "--label",
        "1",
        "--feature",
        "rod",
        "--output",
        output,
        *"--device cpu --threads 1 --steps 14 --batch-size 2".split(),
    ]
    monkeypatch.chdir(tmp_path)
    assert main(command("whole")) == 0
    killed = start_cryodl(command("killed"), tmp_path)
    checkpoint = tmp_path / "killed.partial/checkpoint.safetensors"
    while not checkpoint.exists() and killed.poll() is None:
        pass
    killed.kill()
    killed.communicate()
    assert killed.returncode == -9 and not (tmp_path / "killed").exists()
    again = start_cryodl(command("killed"), tmp_path)
    out, err = again.communicate()
    assert again.returncode == 0 and "Continuing the training at step" in out, err
    killed, whole = (tmp_path / name / "weights.safetensors" for name in ("killed", "whole"))
    assert killed.read_bytes() == whole.read_bytes()


def test_the_network_finds_a_simple_feature_in_another_tomogram(tmp_path):
    write_project(tmp_path, shape=(12, 96, 128), noise=0.3)
    assert train(tmp_path, "--batch-size", "8", steps=40) == 0
    segmenter = load_segmenter(tmp_path / "model", torch.device("cpu"))
    tomogram, labels = rods(seed=1, shape=(12, 96, 128), noise=0.3)
    slab = GreyValues(float(np.median(tomogram)), 0.3).normalised(torch.from_numpy(tomogram))
    found, ground_truth = segmenter.scores(slab).numpy() >= 0.5, labels[2:-2]
    assert 2 * (found & (ground_truth == 1)).sum() / (found.sum() + (ground_truth == 1).sum()) > 0.5


# ----- annotations
def test_annotations_are_learnt_from_too_and_their_tomograms_looked_at(project, monkeypatch, capsys):
    from cryodl.tomograms.annotations.store import open_annotations

    store = open_annotations(project / "annotations")
    store.set_path("t0", project / "tomo/t0.mrc", (6, 96, 96))
    drawing = np.zeros((64, 64), np.int16)
    drawing[20:30] = 1
    for k in range(6):
        store.add("t0", PIXEL, (k, 32, 40), 64, "rod", "anna", drawing if k < 3 else None)
    store.save()
    source = ["--annotations", str(project / "annotations")]
    killed = lambda *given: (given[2] / recipe.CHECKPOINT).touch() or 1 / 0
    with monkeypatch.context() as patch:  # after its first weights
        patch.setattr(recipe, "fit_task", killed)
        assert train(project, source=source, steps=1) != 0
    os.utime(project / "tomo/t0.mrc", (1e9, 1e9))  # another one under its name
    assert "other parameters (files that the inputs name)" in refused(project, capsys, source=source, steps=1)
    shutil.rmtree(project / "model.partial")
    moved = project / "elsewhere"
    moved.mkdir()
    shutil.move(project / "tomo/t0.mrc", moved / "t0.mrc")
    source = ["--annotations", str(project / "annotations"), "--tomograms", str(moved / "t0.mrc")]
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "fit_task", killed)
        assert train(project, source=source, steps=1) != 0
    # each file once: a training that was stopped before annotations named any looked at these alone, and goes on
    known = json.loads((project / "model.partial/unfinished.json").read_text())["parameters"]["files"]
    assert [path for path, *_ in known] == [str(moved / "t0.mrc")]
    shutil.rmtree(project / "model.partial")
    assert train(project, source=source, steps=1) == 0
    assert result(project).outputs["feature"] == "rod" and result(project).outputs["annotator"] == "anna"


# ----- what is refused
def test_a_label_that_is_nowhere_is_refused_with_those_that_there_are(project, capsys):
    source = ["--tomograms", str(project / "tomo/*.mrc"), "--labels", str(project / "labels/*.mrc"), "--label", "7"]
    text = refused(project, capsys, source=source)
    assert "No voxel of the label volumes has the value 7 (--label)" in text and "values found are 0, 1" in text


def test_a_label_of_a_few_voxels_is_not_said_to_be_absent(project, capsys):
    labels = np.zeros((6, 96, 96), np.int8)
    labels[3, 50, 50:52] = 1
    write_volume(project / "labels/t0.mrc", labels)
    text = refused(project, capsys)
    assert "The value 1 (--label) takes less than 0.2% of every tile of 64 px" in text


def test_labels_of_another_shape_are_refused_with_both_files(project, capsys):
    write_volume(project / "labels/t0.mrc", np.zeros((6, 96, 90), np.int8))
    text = refused(project, capsys)
    assert "labels/t0.mrc has 90 x 96 x 6 voxels" in text and "tomo/t0.mrc 96 x 96 x 6" in text


def test_another_number_of_labels_is_refused(project, capsys):
    shutil.copy(project / "tomo/t0.mrc", project / "tomo/t1.mrc")
    assert "2 tomograms (--tomograms) and 1 label volumes (--labels)" in refused(project, capsys)


def test_names_that_score_volumes_could_not_carry_are_refused_before_the_training(project, capsys):
    assert "'a b/c'" in refused(project, capsys, "--feature", "a b/c")
    assert "'an@na'" in refused(project, capsys, "--annotator", "an@na")
    assert "Give the name with --feature" in refused(project, capsys, output="my__model")


def test_a_feature_that_fills_everything_is_refused(project, capsys):
    write_volume(project / "labels/t0.mrc", np.ones((6, 96, 96), np.int8))
    assert "There are only annotations of model itself in the label volumes" in refused(project, capsys)


def test_a_missing_pixel_size_is_asked_for(project, capsys):
    tomogram, _ = rods(shape=(6, 96, 96))
    write_volume(project / "tomo/t0.mrc", tomogram, 0)
    assert "t0.mrc has no pixel size (it says 0" in refused(project, capsys)
    assert train(project, "--pixel-size", "12.5", steps=1) == 0 and card(project)["pixel_size"] == 12.5


def test_values_that_are_no_numbers_are_refused(project, capsys):
    tomogram, _ = rods(shape=(6, 96, 96))
    tomogram[2, 40:60, 50] = np.nan
    write_volume(project / "tomo/t0.mrc", tomogram)
    assert "t0.mrc holds values that are not finite numbers" in refused(project, capsys)


@pytest.mark.parametrize("bad", ["flat", "nan", "nan labels", "no pixel size", "short"])
def test_one_bad_tomogram_does_not_end_a_training(bad, project):
    tomogram, labels = rods(shape=(6, 96, 96))
    labels = labels.astype(np.float32)
    if bad == "flat":
        tomogram[:] = 1
    if bad.startswith("nan"):
        (labels if "labels" in bad else tomogram)[:, 40:60, 50] = np.nan
    write_volume(project / "tomo/t1.mrc", tomogram, 0 if bad == "no pixel size" else PIXEL)
    write_volume(project / "labels/t1.mrc", labels[: 5 if bad == "short" else 6])
    assert train(project, steps=1) == 0
    assert [one.item for one in result(project).skipped] == ["t1"] and card(project)["training_tomograms"] == ["t0"]


def test_a_model_that_exists_is_not_replaced(trained, capsys):
    assert train(trained) != 0
    assert "model (--output) exists already; it is not replaced" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", (np.int8, np.int16))
def test_whole_numbers_teach_what_the_same_real_numbers_do(dtype, project):
    tomogram, _ = rods(shape=(6, 96, 96))
    whole = np.rint(20 * tomogram).clip(-127, 127).astype(dtype)
    write_volume(project / "tomo/t0.mrc", whole)
    assert train(project, steps=1) == 0
    write_volume(project / "tomo/t0.mrc", whole.astype(np.float32))
    assert train(project, steps=1, output="real") == 0
    assert (project / "model/weights.safetensors").read_bytes() == (project / "real/weights.safetensors").read_bytes()


def test_inputs_are_left_as_they_were(project):
    before = {p: p.read_bytes() for p in project.glob("*/*.mrc")}
    assert train(project, steps=1) == 0
    assert {p: p.read_bytes() for p in project.glob("*/*.mrc")} == before


def test_labels_and_annotations_together_are_refused(project, capsys):
    assert main(["train-segmenter", "--annotations", "a", "--labels", "l", "--output", str(project / "m")]) != 0
    assert "Give either label volumes" in capsys.readouterr().err
