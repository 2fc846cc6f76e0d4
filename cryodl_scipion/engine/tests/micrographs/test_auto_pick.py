# SPDX-License-Identifier: GPL-3.0-or-later
"""auto-pick: rounds on small micrographs of blobs, with the shipped ribosome model calibrated for them."""

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic import blob_micrograph, blob_project, write_mrc, write_untrained_model

from cryodl.contract import Result, check_model
from cryodl.core.calibration import fit_calibration
from cryodl.core.matching import match_picks
from cryodl.io.coordinates import read_coordinates
from cryodl.io.files import evenly_spaced
from cryodl.io.model import find_model, read_model, write_model
from cryodl.micrographs.pickers import round_loop
from cryodl.running.cli import main


def auto_pick(folder, *more, output="out", model=None):
    """Exit code of auto-pick with short rounds. model: <folder>/first if None."""
    return main(
        [
            "auto-pick",
            "--micrographs",
            str(folder / "mics/*.mrc"),
            "--pixel-size",
            "4",
            "--particle-diameter",
            "110",
            "--output",
            str(folder / output),
            "--model",
            model or str(folder / "first"),
            "--steps",
            "4",
            *"--device cpu --threads 1 --result".split(),
            str(folder / "result.json"),
            *more,
        ]
    )


def result_of(folder):
    return Result.read(folder / "result.json")


def write_blob_model(folder):
    """The shipped model, whose network finds round things, with scores that are right for blobs."""
    import torch

    from cryodl.micrographs.pickers import load_network, picker_method
    from cryodl.micrographs.pickers.predict import Picker

    card, weights = read_model(find_model("ribosome"))
    method = picker_method(card["network"])
    picker, hits, raw = Picker(method, load_network(method, weights, folder), torch.device("cpu")), [], []
    for seed in (101, 102):
        image, centres = blob_micrograph(seed=seed)
        yx, scores = picker.candidates(image, 4.0, 110.0, 77.0)
        hits.append(match_picks(yx, centres, 7))
        raw.append(scores)
    hits, raw = np.concatenate(hits), np.concatenate(raw)
    calibration = fit_calibration(hits, raw)
    card = {k: v for k, v in card.items() if k not in ("format_version", "weights_sha256")}
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_model(folder, dict(card, name="first", calibration=list(calibration), threshold=0.5), weights)


@pytest.fixture
def start(tmp_path, finished):
    """A folder with nothing but the first model."""
    shutil.copytree(finished / "first", tmp_path / "first")
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Five micrographs, four of which teach; one round."""
    folder = tmp_path_factory.mktemp("auto")
    blob_project(folder, count=5)
    write_blob_model(folder / "first")
    assert auto_pick(folder, "--rounds", "1", "--training-micrographs", "4") == 0
    return folder


@pytest.fixture
def copied(finished, tmp_path):
    """The same as a folder of one's own, to be continued."""
    shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copy2)
    return tmp_path / "copy"


def test_a_round_is_told_with_the_numbers_that_it_has():
    entry = dict(round=1, picks=2, micrographs=3, confident=4, separation=0.5, agreement=None)
    sentence = "Round 1: 2 picks in 3 micrographs, 4 confident picks on the training micrographs; separation 0.500."
    assert round_loop.round_in_words(entry) == sentence
    assert round_loop.round_in_words(dict(entry, separation=None, agreement=0.25)) == sentence.replace(
        "separation 0.500", "agreement with the previous round 0.250"
    )


def test_all_micrographs_are_picked_and_every_round_is_kept(finished):
    outputs = result_of(finished).outputs
    assert set(outputs["coordinates"]) == {f"mic{i}" for i in range(5)} and outputs["contrast"] == "dark"
    ground_truth = read_coordinates(finished / "coordinates")
    for name, path in outputs["coordinates"].items():
        yx, _ = read_coordinates(path)[name]
        number = len(ground_truth[name][0])
        assert match_picks(yx, ground_truth[name][0], 7).sum() >= 0.9 * number and len(yx) <= 1.1 * number
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
    assert [row["round"] for row in rows] == ["0", "1"]
    assert list(rows[0])[:4] == ["round", "separation", "picks", "threshold"]
    assert all(float(row["separation"]) > 2 for row in rows) and rows[0]["agreement"] == ""
    assert all(int(row[part]) >= 0 for row in rows for part in ("background", "contamination", "confident_held_out"))
    assert float(rows[1]["agreement"]) > 0.9 and int(rows[0]["confident"]) >= 40 and rows[0]["micrographs"] == "4"
    outputs = result_of(finished).outputs
    assert [r["separation"] for r in outputs["rounds"]] == [float(row["separation"]) for row in rows]
    assert outputs["best_round"] == int(np.argmax([float(row["separation"]) for row in rows]))
    assert "round" in outputs["stop_reason"] and (finished / "out/rounds.png").stat().st_size > 5000


def test_the_retrained_model_says_where_it_comes_from(finished):
    card = check_model(finished / "out/rounds/1/model")
    assert card["training"]["first_model"] == "first" and card["labels"] == "own picks" and card["contrast"] == "dark"
    assert card["particle_diameter"] == 110 and card["pixel_sizes"] == [4.0] and not card.get("general")
    assert set(card["training"]["micrographs"]).isdisjoint(card["training"]["validation_micrographs"])
    assert len(card["training"]["micrographs"]) == 3 and card["training"]["steps"] == 4
    assert "threshold_uncertainty" in card
    assert check_model(finished / "out/rounds/0/model")["weights_sha256"] != card["weights_sha256"]


def stamps(folder):
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_a_finished_run_is_not_done_again(copied):
    before = stamps(copied / "out/rounds")
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4") == 0
    assert stamps(copied / "out/rounds") == before and result_of(copied).device == "none"


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
    from cryodl.learning import recipe as schedules
    from cryodl.learning import training

    real, steps = training._one_step, []

    def stop_after_three(*arguments):
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    schedule = schedules.Schedule
    monkeypatch.setattr(schedules, "Schedule", lambda *a, **k: dataclasses.replace(schedule(*a, **k), every=2))
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
    record.write_text(json.dumps(dict(json.loads(record.read_text()), separation=0.1)))
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4") == 0
    outputs = result_of(copied).outputs
    assert outputs["best_round"] == 1 - best
    checksum = check_model(copied / f"out/rounds/{1 - best}/model")["weights_sha256"]
    assert check_model(copied / "out/model")["weights_sha256"] == checksum
    assert json.loads((copied / "out/pick.json").read_text())["weights_sha256"] == checksum
    assert len(outputs["counts"]) == 5


def test_a_model_that_taught_itself_is_no_surer_than_the_picks_that_it_began_with(copied, monkeypatch):
    """Its own scores would promise much wherever it picks."""
    assert check_model(copied / "out/rounds/1/model")["clear"] is True
    record = copied / "out/rounds/0/round.json"
    record.write_text(json.dumps(dict(json.loads(record.read_text()), clear=False)))
    for made in ("rounds/1", "model"):
        shutil.rmtree(copied / "out" / made)
    monkeypatch.setattr("cryodl.micrographs.commands.auto_pick.best_round", lambda entries: len(entries) - 1)
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4") == 0
    outputs = result_of(copied).outputs
    assert outputs["best_round"] == 1 and outputs["state"] == "unsure" and outputs["expected"] is None
    assert outputs["questions"] == str(copied / "out/questions.json") and Path(outputs["questions"]).exists()
    assert any("are not stated" in said for said in result_of(copied).summary)


def test_a_model_that_taught_itself_states_no_precision_of_its_picks(copied, monkeypatch):
    """On EMPIAR-10028 it stated 0.98 where 0.74 was true."""
    shutil.rmtree(copied / "out/model")
    monkeypatch.setattr("cryodl.micrographs.commands.auto_pick.best_round", lambda entries: len(entries) - 1)
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4") == 0
    outputs = result_of(copied).outputs
    assert outputs["best_round"] == 1 and outputs["state"] == "clear" and outputs["expected"] is None
    assert any("learnt from its own picks agrees" in said for said in result_of(copied).summary)
    assert outputs["threshold"] == check_model(copied / "out/model")["threshold"]


def test_other_parameters_or_micrographs_are_refused(copied, capsys):
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4", "--confident", "0.9") == 2
    assert "confident 0.8 (now 0.9)" in capsys.readouterr().err
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "3") == 2
    assert "other training micrographs" in capsys.readouterr().err
    write_untrained_model(copied / "other")
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4", model=str(copied / "other")) == 2
    assert "another first model" in capsys.readouterr().err


def test_another_threshold_needs_no_new_rounds(copied):
    before = stamps(copied / "out/rounds")
    assert auto_pick(copied, "--rounds", "1", "--training-micrographs", "4", "--threshold", "0") == 0
    assert stamps(copied / "out/rounds") == before and result_of(copied).outputs["threshold"] == 0


def test_without_rounds_the_first_model_picks(start):
    blob_project(start, count=2)
    assert auto_pick(start, "--rounds", "0") == 0
    outputs = result_of(start).outputs
    assert outputs["best_round"] == 0 and outputs["stop_reason"] == "0 rounds were asked for" and outputs["picks"] > 30
    assert check_model(start / "out/model")["name"] == "first"


def test_hardly_any_confident_pick_is_said_and_the_first_picks_are_kept(start):
    """A model that is sure of nothing: nothing to learn from, and no crash."""
    blob_project(start, count=3)
    card = json.loads((start / "first/card.json").read_text())
    (start / "first/card.json").write_text(json.dumps(dict(card, calibration=[0.1, -1.0], threshold=0.2)))
    assert auto_pick(start) == 0
    result = result_of(start)
    assert result.outputs["best_round"] == 0 and len(result.outputs["counts"]) == 3 and result.outputs["picks"] > 20
    assert any("hardly any confident pick" in w for w in result.warnings)
    assert (start / "out/rounds.csv").exists() and not (start / "out/rounds/1").exists()


def test_micrographs_without_any_candidate_are_no_failure(start, monkeypatch):
    blob_project(start, count=3)
    monkeypatch.setattr(
        "cryodl.micrographs.pickers.predict.Picker.candidates", lambda *a: (np.zeros((0, 2)), np.zeros(0))
    )
    assert auto_pick(start) == 0
    result = result_of(start)
    assert result.outputs["picks"] == 0 and any("no picks" in w for w in result.warnings)
    assert any("hardly any confident pick" in w for w in result.warnings)


def test_noise_alone_has_no_size_to_pick_at_and_ends_after_the_first_round(tmp_path):
    (tmp_path / "mics").mkdir()
    for number in (1, 2):
        write_mrc(tmp_path / f"mics/{number}.mrc", np.random.default_rng(number).standard_normal((256, 256), "f4"), 4.0)
    given = ["--micrographs", str(tmp_path / "mics/*.mrc"), "--pixel-size", "4", "--output", str(tmp_path / "out")]
    compute = ["--device", "cpu", "--threads", "1", "--result", str(tmp_path / "result.json")]
    assert main(["auto-pick", *given, "--model", "general", "--steps", "4", *compute]) == 0
    result = result_of(tmp_path)
    assert result.outputs["picks"] == 0 and result.outputs["best_round"] == 0 and len(result.outputs["rounds"]) == 1
    entry = result.outputs["rounds"][0]
    assert entry["picked_diameter"] is None and entry["picks"] == 0 and 0 <= entry["seconds"] < 600
    assert any("No particles were found" in w for w in result.warnings)
    assert "trained last on 256927 particles of 1400 simulated micrographs" in " ".join(result.methods)


def test_bad_micrographs_are_left_out_and_one_good_one_is_not_enough_to_learn(start):
    blob_project(start, count=1)
    for name in ("bad1", "bad2"):
        (start / f"mics/{name}.mrc").write_bytes(b"broken")
    assert auto_pick(start) == 0
    result = result_of(start)
    assert sorted(s.item for s in result.skipped) == ["bad1", "bad2"] and set(result.outputs["counts"]) == {"mic0"}
    assert any("only one of the training micrographs" in w for w in result.warnings) and result.outputs["picks"] > 10


def test_when_all_are_bad_it_fails_with_a_sentence_and_can_be_repeated(start, capsys):
    (start / "mics").mkdir()
    write_mrc(start / "mics/black.mrc", np.zeros((256, 320), np.float32))
    assert auto_pick(start) == 2 and "Of 1 micrograph, none could be picked" in capsys.readouterr().err
    blob_project(start, count=2)
    assert auto_pick(start, "--rounds", "0") == 0


def test_the_training_micrographs_are_spread_over_the_set():
    named = [(str(i), str(i)) for i in range(100)]
    chosen = [int(n) for n, _ in evenly_spaced(named, 12)]
    assert len(set(chosen)) == 12 and chosen[0] == 0 and chosen[-1] == 99 and set(np.diff(chosen)) == {9}
    assert evenly_spaced(named[:5], 12) == named[:5] and len(evenly_spaced(named, 2)) == 2


@pytest.mark.parametrize("name", ["pick.json", "model"])
def test_a_folder_of_something_else_is_left_alone(tmp_path, name, capsys):
    """The user's own model folder, or the picks of `cryodl pick`, must not be removed."""
    import mrcfile

    mrcfile.write(tmp_path / "a.mrc", np.random.default_rng(0).standard_normal((300, 300), dtype=np.float32))
    output = tmp_path / "mine"
    (output / name).mkdir(parents=True) if name == "model" else (output.mkdir(), (output / name).write_text("{}"))
    assert (
        main(
            [
                "auto-pick",
                "--micrographs",
                str(tmp_path / "a.mrc"),
                "--pixel-size",
                "5",
                "--particle-diameter",
                "150",
                "--model",
                "ribosome",
                "--output",
                str(output),
            ]
        )
        == 2
    )
    error = capsys.readouterr().err
    assert f"{output} (--output) contains {name}, which auto-pick did not write and does not replace" in error
    assert [p.name for p in output.iterdir()] == [name]
