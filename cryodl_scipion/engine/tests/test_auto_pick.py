# SPDX-License-Identifier: GPL-3.0-or-later
"""auto-pick: rounds on small micrographs of blobs, which the shipped ribosome model takes for particles."""
import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
from synthetic import blob_project, write_mrc, write_untrained_model

from cryodl.cli import main
from cryodl.commands.auto_pick import spread
from cryodl.contract import Result, check_model
from cryodl.io.coordinates import read_coordinates
from cryodl.matching import match_picks


def auto_pick(folder, *more, output="out", model="ribosome"):
    """Exit code of auto-pick with short rounds."""
    return main(["auto-pick", "--micrographs", str(folder / "mics/*.mrc"), "--pixel-size", "4", "--particle-diameter", "110",
                 "--output", str(folder / output), "--model", model, "--steps", "4", "--device", "cpu", "--threads", "1",
                 "--result", str(folder / "result.json"), *more])


def result_of(folder):
    return Result.read(folder / "result.json")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Five micrographs, four of which teach; one round."""
    folder = tmp_path_factory.mktemp("auto")
    blob_project(folder, count=5)
    assert auto_pick(folder, "--rounds", "1", "--training-micrographs", "4") == 0
    return folder


@pytest.fixture
def copied(finished, tmp_path):
    """The same as a folder of one's own, to be continued."""
    shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy2)
    return tmp_path / "copy"


def test_all_micrographs_are_picked_and_every_round_is_kept(finished):
    outputs = result_of(finished).outputs
    assert set(outputs["coordinates"]) == {f"mic{i}" for i in range(5)} and outputs["contrast"] == "dark"
    truth = read_coordinates(finished / "coordinates")
    for name, path in outputs["coordinates"].items():
        yx, _ = read_coordinates(path)[name]
        assert match_picks(yx, truth[name][0], 7).sum() >= 0.9 * len(truth[name][0]) and len(yx) <= 1.1 * len(truth[name][0])
    for number in (0, 1):
        folder = finished / "out/rounds" / str(number)
        assert sorted(p.name for p in folder.iterdir()) == ["model", "picks", "round.json"]
        assert len(read_coordinates(folder / "picks")) == 4
    card = check_model(finished / "out/model", "picker")
    best = check_model(finished / f"out/rounds/{outputs['best_round']}/model")
    assert card["weights_sha256"] == best["weights_sha256"] and outputs["model"] == str(finished / "out/model")


def test_the_table_of_rounds_says_how_they_were_judged(finished):
    with open(finished / "out/rounds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["round"] for row in rows] == ["0", "1"] and list(rows[0])[:4] == ["round", "figure", "picks", "threshold"]
    assert all(float(row["figure"]) > 2 for row in rows) and rows[0]["agreement"] == ""
    assert float(rows[1]["agreement"]) > 0.9 and int(rows[0]["confident"]) >= 40 and rows[0]["micrographs"] == "4"
    outputs = result_of(finished).outputs
    assert [r["figure"] for r in outputs["rounds"]] == [float(row["figure"]) for row in rows]
    assert outputs["best_round"] == int(np.argmax([float(row["figure"]) for row in rows]))
    assert "round" in outputs["stop_reason"] and (finished / "out/rounds.png").stat().st_size > 5000


def test_the_retrained_model_says_where_it_comes_from(finished):
    card = check_model(finished / "out/rounds/1/model")
    assert card["training"]["first_model"] == "ribosome" and card["labels"] == "own picks" and card["contrast"] == "dark"
    assert card["particle_diameter"] == 110 and card["pixel_sizes"] == [4.0] and not card.get("general")
    assert set(card["training"]["micrographs"]).isdisjoint(card["training"]["validation_micrographs"])
    assert len(card["training"]["micrographs"]) == 3 and card["training"]["steps"] == 4 and "threshold_uncertainty" in card
    assert check_model(finished / "out/rounds/0/model")["weights_sha256"] != card["weights_sha256"]


def stamps(folder):
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_a_finished_run_is_not_done_again(copied):
    before = stamps(copied / "out/rounds")
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4") == 0
    assert stamps(copied / "out/rounds") == before and result_of(copied).device == "none: no network was run"


def test_a_run_killed_between_rounds_goes_on_with_the_next(copied):
    last = copied / "out/rounds/1"
    whole = check_model(last / "model")["weights_sha256"]
    shutil.rmtree(last)
    shutil.rmtree(copied / "out/model")
    before = stamps(copied / "out/rounds/0")
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4") == 0
    assert stamps(copied / "out/rounds/0") == before
    assert check_model(last / "model")["weights_sha256"] == whole  # the same picks and seed: the same model


def test_a_run_killed_in_a_training_continues_it_and_ends_the_same(copied, monkeypatch, capsys):
    whole = check_model(copied / "out/rounds/1/model")["weights_sha256"]
    shutil.rmtree(copied / "out/rounds/1")
    from cryodl import training
    real, steps = training._one_step, []

    def stop_after_three(*arguments):
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return real(*arguments)
    schedule = training.Schedule
    monkeypatch.setattr(training, "Schedule", lambda *a, **k: dataclasses.replace(schedule(*a, **k), every=2))
    monkeypatch.setattr(training, "_one_step", stop_after_three)
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4") == 130
    assert (copied / "out/rounds/1/model.partial/checkpoint.safetensors").exists()
    assert not (copied / "out/rounds/1/model").exists()
    monkeypatch.setattr(training, "_one_step", real)
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4") == 0
    assert "Continuing the training at step 2 of 4" in capsys.readouterr().out
    assert check_model(copied / "out/rounds/1/model")["weights_sha256"] == whole
    assert not (copied / "out/rounds/1/model.partial").exists()


def test_a_run_killed_while_it_picks_a_round_keeps_the_training(copied):
    before = stamps(copied / "out/rounds/1/model")
    (copied / "out/rounds/1/round.json").unlink()
    (copied / "out/rounds/1/picks/candidates/mic3.star").unlink()
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4") == 0
    assert stamps(copied / "out/rounds/1/model") == before and (copied / "out/rounds/1/round.json").exists()
    assert len(read_coordinates(copied / "out/rounds/1/picks")) == 4


def test_another_best_round_replaces_model_and_picks(copied):
    """More rounds may follow later; the picks of an earlier model do not stay among the new ones."""
    best = result_of(copied).outputs["best_round"]
    record = copied / "out/rounds" / str(best) / "round.json"
    record.write_text(json.dumps(dict(json.loads(record.read_text()), figure=0.1)))
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4") == 0
    outputs = result_of(copied).outputs
    assert outputs["best_round"] == 1 - best
    checksum = check_model(copied / f"out/rounds/{1 - best}/model")["weights_sha256"]
    assert check_model(copied / "out/model")["weights_sha256"] == checksum
    assert json.loads((copied / "out/pick.json").read_text())["weights_sha256"] == checksum
    assert len(outputs["counts"]) == 5


def test_other_parameters_or_micrographs_are_refused(copied, capsys):
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4", "--confident", "0.9") == 2
    assert "confident 0.8 (now 0.9)" in capsys.readouterr().err
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "3") == 2
    assert "other micrographs to learn from" in capsys.readouterr().err
    write_untrained_model(copied / "other")
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4", model=str(copied / "other")) == 2
    assert "another first model" in capsys.readouterr().err


def test_another_threshold_needs_no_new_rounds(copied):
    before = stamps(copied / "out/rounds")
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4", "--threshold", "0") == 0
    assert stamps(copied / "out/rounds") == before and result_of(copied).outputs["threshold"] == 0


def test_without_rounds_the_first_model_picks(tmp_path):
    blob_project(tmp_path, count=2)
    assert auto_pick(tmp_path, "--rounds", "0") == 0
    outputs = result_of(tmp_path).outputs
    assert outputs["best_round"] == 0 and outputs["stop_reason"] == "all 0 rounds were done" and outputs["picks"] > 30
    assert check_model(tmp_path / "out/model")["name"] == "ribosome"


def test_hardly_any_confident_pick_is_said_and_the_first_picks_are_kept(tmp_path):
    """Noise: nothing to learn from, and no crash."""
    (tmp_path / "mics").mkdir()
    for index in range(3):
        noise = np.random.default_rng(index).standard_normal((256, 320), dtype=np.float32)
        write_mrc(tmp_path / f"mics/mic{index}.mrc", noise)
    assert auto_pick(tmp_path) == 0
    result = result_of(tmp_path)
    assert result.outputs["best_round"] == 0 and len(result.outputs["counts"]) == 3
    assert any("hardly any confident pick" in w for w in result.warnings)
    assert (tmp_path / "out/rounds.csv").exists() and not (tmp_path / "out/rounds/1").exists()


def test_bad_micrographs_are_left_out_and_one_good_one_is_not_enough_to_learn(tmp_path):
    blob_project(tmp_path, count=1)
    for name in ("bad1", "bad2"):
        (tmp_path / f"mics/{name}.mrc").write_bytes(b"broken")
    assert auto_pick(tmp_path) == 0
    result = result_of(tmp_path)
    assert sorted(s.item for s in result.skipped) == ["bad1", "bad2"] and set(result.outputs["counts"]) == {"mic0"}
    assert any("only one of the training micrographs" in w for w in result.warnings) and result.outputs["picks"] > 10


def test_when_all_are_bad_it_fails_with_a_sentence_and_can_be_repeated(tmp_path, capsys):
    (tmp_path / "mics").mkdir()
    write_mrc(tmp_path / "mics/black.mrc", np.zeros((256, 320), np.float32))
    assert auto_pick(tmp_path) == 2 and "None of the 1 micrographs could be picked" in capsys.readouterr().err
    blob_project(tmp_path, count=2)
    assert auto_pick(tmp_path, "--rounds", "0") == 0


def test_the_training_micrographs_are_spread_over_the_set():
    named = [(str(i), str(i)) for i in range(100)]
    chosen = [int(n) for n, _ in spread(named, 12)]
    assert len(set(chosen)) == 12 and chosen[0] == 0 and chosen[-1] == 99 and set(np.diff(chosen)) == {9}
    assert spread(named[:5], 12) == named[:5] and len(spread(named, 2)) == 2
