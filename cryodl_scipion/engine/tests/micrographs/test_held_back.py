# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes that are held back tell whether the general model should learn from the others."""

import dataclasses
import json
import types

import numpy as np
import pytest
import torch
from picking import train_picker as train
from synthetic import blob_project, write_star

from cryodl.contract import Result, TrainPickerConfig
from cryodl.io.model import find_model, read_model
from cryodl.micrographs.pickers import held_back, picker_method
from cryodl.micrographs.pickers.crops import LabelledImage
from cryodl.micrographs.pickers.held_back import HeldBack, hold_back
from cryodl.micrographs.pickers.train import PickerTask


def labelled(name, particles, background, seed=0):
    rng = np.random.default_rng(seed)
    image, valid = torch.zeros(64, 64), torch.ones(64, 64, dtype=torch.bool)
    return LabelledImage(
        name, image, valid, rng.uniform(0, 64, (particles, 2)), rng.uniform(0, 64, (background, 2)), "boxes"
    )


def rows(images, field):
    return sorted((im.name, *yx) for im in images for yx in getattr(im, field).tolist())


@pytest.mark.parametrize("helps, learns", [(1.0, True), (-1.0, False)])
def test_each_box_is_held_back_once_and_never_learnt_meanwhile(tmp_path, monkeypatch, helps, learns):
    """Of the background, those that the user gave; the proposed ones that follow are no evidence."""
    images = [labelled("a", 7, 5), labelled("b", 4, 3, 1), labelled("c", 1, 0, 2)]
    given, seen, taught = {"a": 2, "b": 0, "c": 0}, [], []

    def task_of(training, validation):
        assert len(validation) == 1 and len(validation[0].positives)
        taught.append(training)
        task = types.SimpleNamespace(trained=0.0)

        def box_ranks(held):
            seen.append(held)
            signs = np.concatenate([[1] * len(im.positives) + [-1] * len(im.negatives) for im in held])
            return np.exp(3.0 - task.trained * signs), 100

        task.box_ranks = box_ranks
        return task

    monkeypatch.setattr(held_back, "fit_task", lambda task, *_: setattr(task, "trained", helps))
    config = TrainPickerConfig(("a.mrc",), "boxes", 2.0, 90.0, "model", steps=400)
    found = hold_back(task_of, images, given, config, tmp_path, torch.device("cpu"), seed=3)
    assert found.learns is learns and found.gain == helps and found.error == 0
    assert len(taught) == 2 and (tmp_path / "fold_2").is_dir()
    held = [seen[0], seen[2]]
    assert sorted(rows(held[0], "positives") + rows(held[1], "positives")) == rows(images, "positives")
    own = [("a", *yx) for yx in images[0].negatives[:2].tolist()]
    assert sorted(rows(held[0], "negatives") + rows(held[1], "negatives")) == sorted(own)
    for out, rest in zip(held, taught):
        for field in ("positives", "negatives"):
            assert sorted(rows(out, field) + rows(rest, field)) == rows(images, field)
        assert 5 <= len(rows(out, "positives")) + len(rows(out, "negatives")) <= 9, "about one half"


def test_ranks_count_the_candidates_that_score_higher(monkeypatch):
    method = picker_method("unet")
    image = dataclasses.replace(
        labelled("a", 2, 1), positives=np.array([[20.0, 20], [40, 40]]), negatives=np.array([[60.0, 10]])
    )
    task = PickerTask(method, method.build(), [image], [image], 2, torch.device("cpu"))
    yx = np.array([*image.positives, [0, 0], *image.negatives])
    scores = np.array([0.9, 0.5, 0.8, 0.2])
    found = [(yx, scores), (yx[:0], scores[:0]), (yx[1:] + 0.1, scores[1:] + 0.01)]
    picker = types.SimpleNamespace(candidates_prepared=lambda item, distance: found.pop(0))
    monkeypatch.setattr(task, "_picker", lambda: picker)
    ranks, number = task.box_ranks([image] * 3)
    assert number == 7 and ranks.tolist() == [1, 5, 7, *[np.inf] * 4, 4, 6]


@pytest.mark.parametrize("rate, learns", [("0.1", False), ("1e-7", True)])
def test_a_training_that_ruins_the_general_model_leaves_it_as_it_is(tmp_path, rate, learns):
    ground_truth = blob_project(tmp_path)
    for name, centres in ground_truth:
        write_star(tmp_path / f"coordinates/{name}.star", centres[:6])
    more = ["--labels", "boxes", "--start-from", "general", "--learning-rate", rate]
    assert train(tmp_path, *more, steps=8) == 0
    result, card = Result.read(tmp_path / "result.json"), json.loads((tmp_path / "model/card.json").read_text())
    said = HeldBack(**card["training"]["held_back"])
    assert said.boxes == 6 * len(ground_truth) and said.learns is learns
    assert said.sentence() in result.summary and bool(card.get("general")) is not learns
    weights, general = (read_model(folder)[1] for folder in (tmp_path / "model", find_model("general", "picker")))
    if not learns:
        assert card["name"] == "model" and "as it is" in result.outputs["stop_reason"]
        assert said.gain < -said.error and all(torch.equal(weights[key], general[key]) for key in general)
        assert result.outputs["threshold"] == card["threshold"] and card["contrast"] == "dark"
    assert not list((tmp_path / "model").glob("fold_*"))
