# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-general-picker`, small, and what it says about wrong input."""

import json

import numpy as np
import pytest
from synthetic import write_mrc

from cryodl.contract import Result, check_model
from cryodl.io.coordinates import write_coordinates
from cryodl.micrographs.pickers.general import read_sets
from cryodl.running.cli import main


@pytest.fixture
def table(tmp_path):
    """A table with one real set of one noise micrograph."""
    import mrcfile

    (tmp_path / "mics").mkdir(), (tmp_path / "coords").mkdir()
    rng = np.random.default_rng(0)
    mrcfile.write(tmp_path / "mics" / "a.mrc", rng.standard_normal((400, 420), dtype=np.float32))
    write_coordinates(tmp_path / "coords" / "a.star", rng.uniform(60, 340, (20, 2)), np.ones(20))
    path = tmp_path / "sets.csv"
    path.write_text("name,micrographs,coordinates,pixel_size,particle_diameter\nnoise,mics/*.mrc,coords,5,200\n")
    return path


def _run(tmp_path, *options):
    return main(
        [
            "train-general-picker",
            "--output",
            str(tmp_path / "model"),
            "--procedural",
            "4",
            "--simulated",
            "6",
            "--steps",
            "6",
            "--device",
            "cpu",
            "--threads",
            "1",
            *options,
        ]
    )


def test_a_small_training_gives_a_model_that_says_what_it_learnt_from(tmp_path, table):
    partial = ("--real-marks", "partial", "--real-fraction", "0.4", "--start-from", "general")
    assert _run(tmp_path, "--sets", str(table), *partial, "--result", str(tmp_path / "result.json")) == 0
    card = check_model(tmp_path / "model", "picker")
    assert (card["training"]["real_marks"], card["training"]["real_fraction"]) == ("partial", 0.4)
    assert card["general"] is True and card["training"]["real_sets"] == ["noise"]
    assert card["training"]["simulated_micrographs"] == 6 and card["training"]["left_out"] == []
    assert 0 <= card["validation"]["calibration_error"] <= 1 and 0 < card["threshold"] < 1
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "card.json",
        "learning_curve.png",
        "metrics.csv",
        "reliability.png",
        "weights.safetensors",
    ]
    assert (tmp_path / "model/reliability.png").read_bytes().startswith(b"\x89PNG")
    result = Result.read(tmp_path / "result.json")
    text = "\n".join(result.summary)
    for words in ("It estimates the particles' size", "1 labelled set", "6 simulated micrographs", "4 artificial"):
        assert words in text
    assert "on 6 simulated micrographs of" in result.methods[0]


def test_another_network_gives_a_general_model_that_picks_at_a_stated_diameter(tmp_path, capsys):
    assert _run(tmp_path, "--network", "topaz", "--steps", "2", "--simulated", "2", "--batch-size", "1") == 0
    card = check_model(tmp_path / "model", "picker")
    assert (card["network"], card["general"], card["tells_size"]) == ("topaz", True, False)
    write_mrc(tmp_path / "m.mrc", np.random.default_rng(0).standard_normal((300, 300), dtype=np.float32), 5.0)
    pick = ["pick", "--micrographs", str(tmp_path / "m.mrc"), "--pixel-size", "5", "--model", str(tmp_path / "model")]
    pick += ["--output", str(tmp_path / "picks"), "--device", "cpu", "--threads", "1"]
    assert main(pick) == 2 and "--particle-diameter" in capsys.readouterr().err
    assert main([*pick, "--particle-diameter", "200"]) == 0


def test_a_model_of_another_network_is_no_start(tmp_path, capsys):
    assert _run(tmp_path, "--network", "topaz", "--start-from", "general") == 2
    assert "of the network unet" in capsys.readouterr().err
    assert not list(tmp_path.glob("model*")), "nothing is begun"


def test_what_is_left_out_is_not_learnt_from(tmp_path, table):
    assert _run(tmp_path, "--sets", str(table), "--leave-out", "noise", "--steps", "2", "--simulated", "2") == 0
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["training"]["real_sets"] == [] and card["training"]["micrographs"] == []
    assert card["training"]["left_out"] == ["noise"]


def test_partial_marks_without_a_model_that_looks_at_them_are_an_error(tmp_path, table, capsys):
    assert _run(tmp_path, "--sets", str(table), "--real-marks", "partial") == 2
    assert "--start-from" in capsys.readouterr().err and not (tmp_path / "model").exists()


def test_a_name_to_leave_out_that_nothing_has_is_an_error(tmp_path, table, capsys):
    assert _run(tmp_path, "--sets", str(table), "--leave-out", "nois") == 2
    assert "nois" in capsys.readouterr().err and not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    "text, said",
    [
        ("name,micrographs\nx,y\n", "no column coordinates"),
        ("name,micrographs,coordinates,pixel_size,particle_diameter\nx,mics/*.mrc,coords,five,200\n", "line 2"),
        ("name,micrographs,coordinates,pixel_size,particle_diameter\nx,none/*.mrc,coords,5,200\n", "none/*.mrc"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(table, text, said):
    table.write_text(text)
    with pytest.raises(ValueError, match=said.replace("*", r"\*")) as error:
        read_sets(table)
    assert "sets.csv" in str(error.value)
