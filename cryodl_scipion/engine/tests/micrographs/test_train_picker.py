# SPDX-License-Identifier: GPL-3.0-or-later
"""train-picker: a model folder with all that picking needs, from full labels, from few boxes, from one micrograph."""

import csv
import json
import re

import numpy as np
import pytest
from picking import train_picker
from synthetic import blob_project, grid_centres, write_star, write_untrained_model

from cryodl.contract import Failure, Result
from cryodl.io.model import read_model
from cryodl.running.cli import main


def train(folder, output="model", steps=2, coordinates="coordinates", more=(), micrographs=None):
    return train_picker(folder, *more, output=output, steps=steps, coordinates=coordinates, micrographs=micrographs)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with three labelled micrographs and a model of 10 steps, its result and card."""
    folder = tmp_path_factory.mktemp("trained")
    blob_project(folder, count=3)
    assert train(folder, steps=10, more=["--validation-fraction", "0.34"]) == 0
    return folder, Result.read(folder / "result.json"), json.loads((folder / "model/card.json").read_text())


def test_the_folder_holds_a_model_and_nothing_else(trained):
    folder, result, _ = trained
    assert sorted(p.name for p in (folder / "model").iterdir()) == [
        "card.json",
        "learning_curve.png",
        "metrics.csv",
        "weights.safetensors",
    ]
    assert not (folder / "model.partial").exists() and result.outputs["model"] == str(folder / "model")
    assert (folder / "model/learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_card_says_what_others_need(trained):
    folder, result, card = trained
    assert (card["format_version"], card["kind"], card["name"], card["network"]) == (2, "picker", "model", "unet")
    assert card["particle_diameter"] == 120.0 and card["pixel_sizes"] == [4.0] and 0 < card["threshold"] < 1
    training = card["training"]
    names = training["micrographs"] + training["validation_micrographs"]
    assert sorted(names) == ["mic0", "mic1", "mic2"] and len(training["validation_micrographs"]) == 1
    assert training["particles"] > 30 and training["background_boxes"] == 0 and training["steps"] == 10
    assert training["stop_reason"] == result.outputs["stop_reason"] and training["device"].startswith("CPU")
    assert set(card["validation"]) >= {"f1", "precision", "recall", "average_precision", "threshold"}
    assert all(0 <= card["validation"][k] <= 1 for k in ("f1", "precision", "recall", "average_precision"))
    assert set(card["versions"]) == {"cryodl", "torch"} and result.outputs["threshold"] == card["threshold"]
    read_model(folder / "model", "picker")


def test_summary_and_methods_say_what_was_learned_where(trained):
    _, result, card = trained
    count, score = card["training"]["particles"], card["validation"]["f1"]
    assert re.match(
        rf"^The model model for particles of 120 Å, a U-Net, was trained on {count} particles of 2 micrographs with "
        rf"cryodl \S+ in 10 steps, from complete labels; on 1 micrograph held out for validation its F1 was "
        rf"{score:.3f} and its average precision [01].\d+, at a score threshold of 0.\d+.$",
        result.methods[0],
    )
    text = "\n".join(result.summary)
    for words in ("120 Å", f"{count} particles of 2 micrographs", "1 more for validation", f"F1 {score:.3f}", " ± "):
        assert words in text


def test_the_table_has_the_columns_that_viewers_read(trained):
    with open(trained[0] / "model/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "step",
        "seconds",
        "train_loss",
        "validation_loss",
        "validation_f1",
        "validation_average_precision",
        "learning_rate",
    ]
    assert [int(r["step"]) for r in rows][-1] == 10 and all(np.isfinite(float(v)) for r in rows for v in r.values())


def test_the_model_picks_without_being_told_anything_twice(trained):
    folder, _, card = trained
    assert (
        main(
            [
                "pick",
                "--micrographs",
                str(folder / "mics/mic0.mrc"),
                "--pixel-size",
                "4",
                "--model",
                str(folder / "model"),
                "--output",
                str(folder / "picks"),
                "--device",
                "cpu",
                "--result",
                str(folder / "pick.json"),
            ]
        )
        == 0
    )
    outputs = Result.read(folder / "pick.json").outputs
    assert outputs["threshold"] == card["threshold"] and outputs["particle_diameter"] == 120.0 and outputs["picks"] > 5


def test_the_output_is_never_replaced(trained, capsys):
    folder, _, _ = trained
    assert train(folder) == 2 and "exists already" in capsys.readouterr().err
    assert (folder / "model/card.json").exists()


def test_an_unfinished_training_with_other_parameters_is_not_continued(tmp_path, capsys):
    blob_project(tmp_path)
    (tmp_path / "model.partial").mkdir()
    record = dict(command="train-picker", parameters=dict(steps=9))
    (tmp_path / "model.partial/unfinished.json").write_text(json.dumps(record))
    (tmp_path / "model.partial/checkpoint.safetensors").write_bytes(b"9 steps")
    assert train(tmp_path) == 2
    assert "model.partial holds an unfinished train-picker with other parameters" in capsys.readouterr().err


def test_a_training_that_failed_before_its_first_step_can_be_repeated_with_other_parameters(tmp_path):
    blob_project(tmp_path, count=2)
    assert train(tmp_path, more=["--particle-diameter", "900"]) == 2  # larger than the micrographs
    assert not (tmp_path / "model").exists()
    assert train(tmp_path) == 0


def test_the_same_seed_gives_the_same_model(tmp_path):
    blob_project(tmp_path)
    for output, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert train(tmp_path, output, more=["--seed", str(seed)]) == 0
    sums = [json.loads((tmp_path / f"{n}/card.json").read_text())["weights_sha256"] for n in "abc"]
    assert sums[0] == sums[1] != sums[2]


def test_a_single_micrograph_is_cut_for_validation_and_the_user_is_told(tmp_path):
    blob_project(tmp_path, count=1, shape=(256, 480))
    assert train(tmp_path) == 0
    result = Result.read(tmp_path / "result.json")
    assert any("validation uses a part of it" in w for w in result.warnings)
    card = json.loads((tmp_path / "model/card.json").read_text())
    assert card["training"]["micrographs"] == card["training"]["validation_micrographs"] == ["mic0"]


def boxes(folder, ground_truth, positives, negatives):
    """Folders good and bad with some of the particles, and positions between them, as boxes; spread over the
    micrographs."""
    rng = np.random.default_rng(0)
    for part in ("good", "bad"):
        (folder / part).mkdir()
    for name, centres in ground_truth:
        positions = grid_centres((256, 320), 20, seed=3)
        far = positions[np.linalg.norm(positions[:, None] - centres[None], axis=2).min(1) > 24]
        chosen = [
            rng.permutation(centres)[: positives // len(ground_truth)],
            rng.permutation(far)[: negatives // len(ground_truth)],
        ]
        for part, yx in zip(("good", "bad"), chosen):
            write_star(folder / part / f"{name}.star", yx)
    return sum(len(p) for p in chosen)


@pytest.mark.slow
def test_twenty_good_and_sixty_bad_boxes_find_the_particles(tmp_path):
    """Maximum number of particles of the micrographs are unlabelled and must not be taught as background."""
    ground_truth = blob_project(tmp_path, count=4)
    boxes(tmp_path, ground_truth, 20, 60)
    assert train(tmp_path, steps=30, coordinates="good", more=["--background", str(tmp_path / "bad")]) == 0
    card = json.loads((tmp_path / "model/card.json").read_text())
    training = card["training"]
    assert (training["particles"], training["validation_particles"], training["background_boxes"]) == (15, 5, 60)
    assert (
        main(
            [
                "pick",
                "--micrographs",
                str(tmp_path / "mics/*.mrc"),
                "--pixel-size",
                "4",
                "--model",
                str(tmp_path / "model"),
                "--output",
                str(tmp_path / "picks"),
                "--device",
                "cpu",
            ]
        )
        == 0
    )
    from cryodl.contract import EvaluatePicksConfig
    from cryodl.micrographs.compare import pick_metrics

    metrics = pick_metrics(EvaluatePicksConfig(str(tmp_path / "picks"), str(tmp_path / "coordinates"), 4.0, 120.0))
    assert metrics["best_f1"] > 0.85 and metrics["f1"] > 0.7


def test_boxes_on_one_micrograph_and_background_on_others_train(tmp_path):
    ground_truth = blob_project(tmp_path, count=2, shape=(256, 480))
    write_star(tmp_path / "coordinates/mic1.star", np.zeros((0, 2)))
    (tmp_path / "bad").mkdir()
    write_star(tmp_path / "bad/mic1.star", np.array([[20.0, 20.0], [200.0, 300.0]]))
    assert train(tmp_path, more=["--background", str(tmp_path / "bad")]) == 0
    training = json.loads((tmp_path / "model/card.json").read_text())["training"]
    assert training["micrographs"] == ["mic0", "mic1"] and training["validation_micrographs"] == ["mic0"]
    assert training["particles"] > 3 * training["validation_particles"] > 0
    assert training["particles"] + training["validation_particles"] <= len(ground_truth[0][1])
    assert training["background_boxes"] == 2


def test_one_bad_labelled_micrograph_is_skipped_and_named(tmp_path, capsys):
    blob_project(tmp_path, count=3)
    whole = (tmp_path / "mics/mic1.mrc").read_bytes()
    (tmp_path / "mics/mic1.mrc").write_bytes(whole[:20000])
    assert train(tmp_path) == 0
    result = Result.read(tmp_path / "result.json")
    assert [s.item for s in result.skipped] == ["mic1"] and "truncated" in result.skipped[0].reason
    assert any("1 micrograph was skipped" in w for w in result.warnings) and "mic1.mrc" in result.skipped[0].path
    assert "mic1.mrc" in capsys.readouterr().out
    training = json.loads((tmp_path / "model/card.json").read_text())["training"]
    assert sorted(training["micrographs"] + training["validation_micrographs"]) == ["mic0", "mic2"]


def test_few_held_out_particles_are_warned_of(tmp_path):
    ground_truth = blob_project(tmp_path)
    for name, centres in ground_truth:
        write_star(tmp_path / f"coordinates/{name}.star", centres[:4])
    assert train(tmp_path) == 0
    assert any("held out for validation" in w for w in Result.read(tmp_path / "result.json").warnings)


def test_training_may_start_from_a_model(tmp_path):
    blob_project(tmp_path)
    write_untrained_model(tmp_path / "start")
    tiny = ["--learning-rate", "1e-7"]
    assert train(tmp_path, more=["--start-from", str(tmp_path / "start"), *tiny]) == 0
    start, end = (read_model(tmp_path / n)[1] for n in ("start", "model"))
    learnt = [k for k in start if k.endswith("weight") and start[k].ndim == 4]
    assert max(float((start[k] - end[k]).abs().max()) for k in learnt) < 1e-4
    assert train(tmp_path, "other", more=["--start-from", str(tmp_path / "start"), "--seed", "2", *tiny]) == 0
    other = read_model(tmp_path / "other")[1]
    assert any((end[k] != other[k]).any() for k in learnt), "the seed draws what is learnt from, not only first weights"


def test_paths_with_spaces_percent_and_quotes(tmp_path):
    folder = tmp_path / "50% of 'my' \"data\" é"
    folder.mkdir()
    blob_project(folder)
    assert train(folder, output="a 'model' 10%s") == 0
    assert (folder / "a 'model' 10%s" / "card.json").exists()


def test_a_loss_that_is_no_number_is_the_users_to_mend(tmp_path, monkeypatch, capsys):
    blob_project(tmp_path)
    import torch

    monkeypatch.setattr(
        "cryodl.micrographs.pickers.heatmap.HeatmapPicker.loss",
        lambda self, logits, target, weight: (logits * float("nan")).sum(),
    )
    assert train(tmp_path) == 2
    assert "nan" in capsys.readouterr().err and Failure.read(tmp_path / "failure.json").kind == "input"
    assert not (tmp_path / "model").exists() and torch.is_grad_enabled()
