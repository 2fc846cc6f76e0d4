# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes killed in the middle (SIGKILL): the same command finishes, and nothing is lost, redone or half."""

import csv
import json
import shutil
import time

import pytest
from synthetic import blob_project, run_cryodl, start_cryodl, write_untrained_model

pytestmark = pytest.mark.slow


def kill_when(process, ready, seconds=90):
    """Kill a process as soon as ready() holds; it must not have ended by itself."""
    end = time.monotonic() + seconds
    while not ready() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    process.kill()
    _, err = process.communicate()
    assert process.returncode == -9, f"it ended before it could be killed: {err}"


def pick_arguments(folder, output):
    return [
        "pick",
        "--micrographs",
        "mics/*.mrc",
        "--pixel-size",
        "4",
        "--model",
        "model",
        "--output",
        *f"{output} --device cpu --threads 1 --result {output}.json".split(),
    ]


def test_picking_continues_after_a_kill(tmp_path):
    blob_project(tmp_path, count=1)
    for index in range(1, 40):
        shutil.copy(tmp_path / "mics/mic0.mrc", tmp_path / f"mics/mic{index}.mrc")
    write_untrained_model(tmp_path / "model")
    candidates = tmp_path / "out/candidates"
    kill_when(
        start_cryodl(pick_arguments(tmp_path, "out"), tmp_path), lambda: len(list(candidates.glob("mic*.star"))) >= 5
    )
    done = {p.name: (p.stat().st_mtime_ns, p.read_text()) for p in candidates.glob("mic*.star")}
    assert 5 <= len(done) < 40 and not (tmp_path / "out.json").exists()
    assert len(set(text.split("\n", 1)[1] for _, text in done.values())) == 1  # one image: whole files are equal

    again = run_cryodl(pick_arguments(tmp_path, "out"), tmp_path)
    assert again.returncode == 0, again.stderr
    assert f"{len(done)} of them already picked" in again.stdout
    result = json.loads((tmp_path / "out.json").read_text())
    assert len(result["outputs"]["coordinates"]) == 40 and result["skipped"] == []
    for name, (time_before, text) in done.items():
        assert (candidates / name).stat().st_mtime_ns == time_before and (candidates / name).read_text() == text
    assert len(set(p.read_text().split("\n", 1)[1] for p in (tmp_path / "out").glob("mic*.star"))) == 1
    assert len(list((tmp_path / "out").glob("mic*.star"))) == len(list(candidates.glob("mic*.star"))) == 40


def test_training_continues_after_a_kill_and_ends_as_if_there_was_none(tmp_path):
    blob_project(tmp_path)
    command = lambda output: [
        "train-picker",
        "--micrographs",
        "mics/*.mrc",
        "--coordinates",
        "coordinates",
        "--pixel-size",
        "4",
        "--particle-diameter",
        "120",
        "--output",
        output,
        "--device",
        "cpu",
        "--threads",
        "1",
        "--steps",
        "40",
        "--batch-size",
        "1",
        "--result",
        f"{output}.json",
    ]
    assert run_cryodl(command("whole"), tmp_path).returncode == 0
    checkpoint = tmp_path / "killed.partial/checkpoint.safetensors"
    kill_when(start_cryodl(command("killed"), tmp_path), checkpoint.exists)
    assert not (tmp_path / "killed").exists() and not (tmp_path / "killed.json").exists()

    again = run_cryodl(command("killed"), tmp_path)
    assert again.returncode == 0, again.stderr
    assert "Continuing the training at step" in again.stdout and "Continuing the training at step 0" not in again.stdout
    cards = [json.loads((tmp_path / name / "card.json").read_text()) for name in ("whole", "killed")]
    for key in ("weights_sha256", "threshold", "calibration", "validation"):
        assert cards[0][key] == cards[1][key], key
    tables = []
    for name in ("whole", "killed"):
        with open(tmp_path / name / "metrics.csv", newline="") as file:
            tables.append([{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)])
    assert tables[0] == tables[1] and not (tmp_path / "killed.partial").exists()
    assert json.loads((tmp_path / "killed.json").read_text())["command"] == "train-picker"


def test_simulating_leaves_nothing_that_looks_finished_when_killed(tmp_path):
    from synthetic import lopsided_density, write_mrc

    write_mrc(tmp_path / "map.mrc", lopsided_density())
    command = [
        "simulate-micrographs",
        "--structure",
        "map.mrc",
        "--pixel-size",
        "4",
        "--count",
        "30",
        "--size",
        "512",
        "--output",
        "sim",
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    kill_when(start_cryodl(command, tmp_path), lambda: list((tmp_path / "sim.partial/ctf").glob("*.txt")))
    assert not (tmp_path / "sim").exists()
    command[command.index("30")] = "2"
    assert run_cryodl(command, tmp_path).returncode == 0
    assert len(list((tmp_path / "sim/micrographs").iterdir())) == 2
