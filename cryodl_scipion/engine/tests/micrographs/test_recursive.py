# SPDX-License-Identifier: GPL-3.0-or-later
"""train-picker --recursions: false positives on the training micrographs become background of the next round."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from synthetic import blob_project
from test_train_picker import train

from cryodl.contract import Result, recursion_problems
from cryodl.micrographs.pickers import recursive
from cryodl.micrographs.pickers.crops import LabelledImage
from cryodl.micrographs.pickers.recursive import false_positives

STEPS = 10


def test_wrong_picks_are_those_above_the_threshold_clear_of_every_label_and_known_negative(monkeypatch):
    monkeypatch.setattr(recursive, "calibrate_model", lambda task, hits: ((1.0, 0.0), 0.5, 0.0))
    item = LabelledImage(
        "a", torch.zeros(200, 200), torch.ones(200, 200, dtype=torch.bool), np.array([[50.0, 50.0]]),
        np.array([[120.0, 52.0]]),
    )  # fmt: skip
    yx = np.array([[50.0, 50.0], [50.0, 120.0], [120.0, 50.0], [60.0, 64.0], [150.0, 150.0]])
    found = [(yx, np.array([0.95, 0.9, 0.85, 0.8, 0.1]), np.ones(5))]
    method = SimpleNamespace(working_diameter=32.0)
    task = SimpleNamespace(method=method, training=[item], validation=[], candidates=lambda items: found)
    # the first is a particle, the third a known negative, the fourth lies half on the particle, the fifth scores low
    assert false_positives(task)[0].tolist() == [[50.0, 120.0]]


@pytest.mark.parametrize("labels", ["boxes", "sparse"])
def test_labels_that_leave_particles_out_are_refused(labels):
    assert recursion_problems(0, labels) == recursion_problems(2, "complete") == []
    assert recursion_problems(2, labels)[0].startswith(f"Recursions (--recursions) is 2, but the labels are {labels}")


@pytest.fixture(scope="module")
def recursed(tmp_path_factory):
    """A model of 10 steps and two recursions, trained on labels that leave out a third of the blobs, so that there are
    false positives."""
    folder = tmp_path_factory.mktemp("recursed")
    blob_project(folder, count=3)
    for path in sorted((folder / "coordinates").glob("*.star")):
        lines = path.read_text().splitlines()
        rows = [i for i, line in enumerate(lines) if line[:1].isdigit() or line[:2].strip()[:1].isdigit()]
        path.write_text("\n".join(line for i, line in enumerate(lines) if i not in rows[::3]) + "\n")
    more = ["--labels", "complete", "--recursions", "2", "--validation-fraction", "0.34"]
    assert train(folder, steps=STEPS, more=more) == 0
    return folder


def test_each_recursion_is_on_the_card_and_in_the_result(recursed):
    rounds = json.loads((recursed / "model/card.json").read_text())["training"]["recursions"]
    assert 1 <= len(rounds) <= 2 and all(r["false_positives"] > 0 for r in rounds)
    assert [r["kept"] for r in rounds[:-1]] == [True] * (len(rounds) - 1)
    assert Result.read(recursed / "result.json").outputs.recursions == [r["false_positives"] for r in rounds]


def test_the_folder_holds_the_model_alone_and_one_learning_curve_of_all_rounds(recursed):
    assert sorted(p.name for p in (recursed / "model").iterdir()) == [
        "card.json",
        "learning_curve.png",
        "metrics.csv",
        "weights.safetensors",
    ]
    card = json.loads((recursed / "model/card.json").read_text())
    kept = sum(r["kept"] for r in card["training"]["recursions"])
    with open(recursed / "model/metrics.csv", newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == sorted(set(steps)) and steps[-1] == card["training"]["steps"] == STEPS * (1 + kept)


def test_a_run_that_was_stopped_between_two_rounds_ends_the_same(recursed, tmp_path, monkeypatch):
    real, calls = recursive.fit_task, []

    def stopped(task, config, folder, device, **seed):
        calls.append(folder)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(task, config, folder, device, **seed)

    arguments = dict(steps=STEPS)
    more = ["--labels", "complete", "--recursions", "2", "--validation-fraction", "0.34"]
    monkeypatch.setattr(recursive, "fit_task", stopped)
    try:
        code = train(recursed, output="again", more=more, **arguments)
    except KeyboardInterrupt:
        code = 130
    assert code
    monkeypatch.setattr(recursive, "fit_task", real)
    assert train(recursed, output="again", more=more, **arguments) == 0
    first, second = ((recursed / name / "weights.safetensors").read_bytes() for name in ("model", "again"))
    assert first == second


@pytest.mark.parametrize("how", [["--labels", "sparse"], ["--network", "topaz"]])
def test_sparse_labels_are_refused_before_training_whoever_calls_them_so(tmp_path, capsys, how):
    blob_project(tmp_path, count=2)
    assert train(tmp_path, more=[*how, "--recursions", "1"]) != 0
    assert "Recursions (--recursions) is 1, but the labels are sparse" in capsys.readouterr().err
    assert not (tmp_path / "model.partial").exists()
