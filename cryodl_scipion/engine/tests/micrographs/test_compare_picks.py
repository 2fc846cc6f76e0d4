# SPDX-License-Identifier: GPL-3.0-or-later
"""compare-picks: metrics of lists whose matches are counted by hand, with and without a reference."""

import json

import numpy as np
import pytest
from synthetic import write_mrc, write_star

from cryodl.contract import EvaluatePicksConfig, Result
from cryodl.io.coordinates import write_coordinates
from cryodl.micrographs.compare import agreement_matrix, pick_metrics
from cryodl.running.cli import main

PNG = b"\x89PNG"


@pytest.fixture
def lists(tmp_path):
    """Set a: 3 of 4 right on m1, nothing on m2; set b: 2 of 2 on m1, 1 of 2 on m2, and one pick elsewhere."""
    for part in ("a", "b", "truth", "mics"):
        (tmp_path / part).mkdir()
    write_coordinates(
        tmp_path / "a/m1_autopick.star", [[10, 10], [50, 52], [90, 90], [120, 20]], [-0.9, -1.8, -2.7, -2.6]
    )
    write_coordinates(tmp_path / "b/m1.star", [[10, 12], [90, 90]], [0.9, 0.8])
    write_coordinates(tmp_path / "b/m2.star", [[60, 60], [100, 100]], [0.7, 0.6])
    write_coordinates(tmp_path / "b/m3.star", [[1, 1]], [0.5])
    write_star(tmp_path / "truth/m1.star", [[10, 10], [50, 50], [90, 91]])
    write_star(tmp_path / "truth/m2.star", [[5, 5], [60, 60]])
    for name in ("m1", "m2"):
        write_mrc(tmp_path / f"mics/{name}.mrc", np.zeros((130, 140), np.float32))
    return tmp_path


def compare(folder, *more, sets=("a", "second=b")):
    paths = [s.replace("=", f"={folder}/") if "=" in s else f"{folder}/{s}" for s in sets]
    return main(
        [
            "compare-picks",
            "--picks",
            *paths,
            "--pixel-size",
            "2",
            "--particle-diameter",
            "40",
            "--result",
            str(folder / "result.json"),
            *more,
        ]
    )


def outputs(folder):
    return Result.read(folder / "result.json").outputs


def test_against_a_reference(lists):
    assert compare(lists, "--reference", str(lists / "truth"), "--output", str(lists / "out")) == 0
    found, said = outputs(lists), Result.read(lists / "result.json")
    assert "2 sets of coordinates were compared with reference picks on 2 micrographs" in said.methods[0]
    assert "a: 4 picks, precision 0.750, recall 0.600" in said.summary[1] and "Agreement (F1)" in said.summary[-1]
    assert found["sets"] == ["a", "second"] and found["counts"] == {"a": 4, "second": 4} and found["micrographs"] == 2
    first, second = found["metrics"]["a"], found["metrics"]["second"]
    assert (first["true_positives"], first["picks"], first["reference"]) == (3, 4, 5)  # scores below 0 count, too
    assert first["precision"] == 0.75 and first["recall"] == 0.6 and first["best_threshold"] == -2.7
    assert (second["true_positives"], second["f1"]) == (3, pytest.approx(2 * 3 / 9))
    assert np.allclose(found["agreement"], [[1, 2 * 2 / 8], [2 * 2 / 8, 1]])
    notes = " ".join(found["notes"])
    assert "a has no list of picks for 1 of the 2 micrographs (m2)" in notes and "1 pick of second" in notes
    written = json.loads((lists / "out/comparison.json").read_text())
    assert {k: v for k, v in found.items() if k in written} == written
    for name in ("curves_plot", "agreement_plot"):
        assert open(found[name], "rb").read(4) == PNG


def test_the_figures_are_those_of_evaluate_picks(lists):
    assert (
        compare(
            lists, "--reference", str(lists / "truth"), "--micrographs", str(lists / "mics/*.mrc"), "--border", "15"
        )
        == 0
    )
    alone = pick_metrics(
        EvaluatePicksConfig(
            coordinates=str(lists / "b"),
            reference=str(lists / "truth"),
            pixel_size=2.0,
            particle_diameter=40.0,
            border=15.0,
            micrographs=(str(lists / "mics/*.mrc"),),
        )
    )
    metrics = outputs(lists)["metrics"]["second"]
    assert metrics["reference"] == 3 and {k: alone[k] for k in metrics if k != "threshold"} == {
        k: v for k, v in metrics.items() if k != "threshold"
    }


def test_without_a_reference_only_the_sets_agree(lists, capsys):
    assert compare(lists, "--output", str(lists / "out")) == 0
    found = outputs(lists)
    assert found["metrics"] == {} and found["curves_plot"] is None and not (lists / "out/curves.png").exists()
    assert found["micrographs"] == 3 and np.allclose(found["agreement"], [[1, 2 * 2 / 9], [2 * 2 / 9, 1]])
    table = capsys.readouterr().out
    assert "Agreement" in table and "second (5 picks)" in table


def test_micrographs_restrict_a_comparison_without_reference(lists):
    assert compare(lists, "--micrographs", str(lists / "mics/m1.mrc")) == 0
    found = outputs(lists)
    assert found["micrographs"] == 1 and found["counts"] == {"a": 4, "second": 2}
    assert found["folder"] is None and np.allclose(found["agreement"], [[1, 2 * 2 / 6], [2 * 2 / 6, 1]])


def test_one_set_with_a_reference_is_enough(lists):
    assert compare(lists, "--reference", str(lists / "truth"), sets=("a",)) == 0
    assert outputs(lists)["agreement"] == [[1.0]]


def test_all_candidates_are_scored_beside_the_picks(lists):
    (lists / "b/candidates").mkdir()
    write_coordinates(lists / "b/candidates/m1.star", [[10, 12], [90, 90], [50, 50]], [0.9, 0.8, 0.1])
    assert compare(lists, "--reference", str(lists / "truth"), "--output", str(lists / "out")) == 0
    found = outputs(lists)
    assert list(found["all_candidates"]) == ["second"] and found["all_candidates"]["second"]["picks"] == 3
    assert found["metrics"]["second"]["picks"] == 4


def test_json_on_the_command_line(lists, capsys):
    assert compare(lists, "--reference", str(lists / "truth"), "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    for key in ("precision", "recall", "f1", "average_precision", "best_f1", "best_threshold"):
        assert key in printed["metrics"]["a"]


def test_agreement_counts_each_pick_once():
    one, two = np.array([[5.0, 5]]), np.array([[5.0, 5], [5, 6]])
    sets = {"a": {"m": (one, np.ones(1))}, "b": {"m": (two, np.ones(2))}, "c": {}}
    assert np.allclose(agreement_matrix(sets, ["m"], 4.0), [[1, 2 / 3, 0], [2 / 3, 1, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    "more, sets, words",
    [
        ((), ("a",), ("--picks", "one set", "--reference")),
        (("--border", "5"), ("a", "b"), ("--border", "--micrographs")),
        (("--tolerance", "0"), ("a", "b"), ("--tolerance", "0.01")),
        (("--reference", "nowhere"), ("a", "b"), ("nowhere", "do not exist")),
        ((), ("a", "mics"), ("mics", "has no coordinates")),
        ((), ("same=a", "same=b"), ("have the name same",)),
    ],
)
def test_bad_input_is_named(lists, capsys, more, sets, words):
    assert compare(lists, *more, sets=sets) == 2
    message = capsys.readouterr().err
    for word in words:
        assert word in message
    assert not (lists / "result.json").exists()


def test_a_set_without_a_common_micrograph_is_named(lists, capsys):
    (lists / "a/m1_autopick.star").rename(lists / "a/other.star")
    assert compare(lists, "--reference", str(lists / "truth")) == 2
    message = capsys.readouterr().err
    assert f"{lists}/a and" in message and "on other, the reference on m1, m2." in message


@pytest.mark.parametrize("command", ["evaluate-picks", "compare-picks", "consensus-picks"])
@pytest.mark.parametrize("binning, farthest, said", [(2, 500, True), (1, 500, False), (1, 1500, False)])
def test_picks_of_binned_micrographs_are_said_to_fill_a_corner(tmp_path, capsys, command, binning, farthest, said):
    yx = np.random.default_rng(0).uniform(5, 500, (60, 2))
    for name, places in (("mine", yx / binning), ("theirs", np.append(yx[1:], [[farthest] * 2], 0))):
        (tmp_path / name).mkdir()
        write_coordinates(tmp_path / name / "m.star", places, np.ones(60))
    mine, theirs, out = (str(tmp_path / name) for name in ("mine", "theirs", "out"))
    given = {
        "evaluate-picks": ["--coordinates", mine, "--reference", theirs],
        "compare-picks": ["--picks", mine, "--reference", theirs],
        "consensus-picks": ["--picks", mine, theirs, "--output", out],
    }[command]
    assert main([command, *given, "--pixel-size", "2", "--particle-diameter", "40"]) == 0
    assert ("mine lie within 50 % of the width and height" in capsys.readouterr().out) == said


def test_a_position_that_is_absurdly_far_away_hinders_no_comparison(tmp_path, capsys):
    """Ends of the axes were counted in one array of all places up to it: 532 GiB for 1e12 px."""
    yx = np.random.default_rng(0).uniform(5, 500, (60, 2))
    for name, places in (("mine", np.append(yx[1:], [[yx[0, 0], 1e12]], 0)), ("theirs", yx)):
        (tmp_path / name).mkdir()
        write_coordinates(tmp_path / name / "m.star", places, np.ones(60))
    given = ["--coordinates", str(tmp_path / "mine"), "--reference", str(tmp_path / "theirs")]
    assert main(["evaluate-picks", *given, "--pixel-size", "2", "--particle-diameter", "40"]) == 0
    assert "counted from the other end" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "turn, said",
    [
        (lambda yx: np.c_[129 - yx[:, 0], yx[:, 1]], "with y counted from the other end"),
        (lambda yx: np.c_[yx[:, 0], 139 - yx[:, 1]], "with x counted from the other end"),
        (lambda yx: yx[:, ::-1], "with x and y exchanged"),
        (lambda yx: yx, None),
        (lambda yx: yx + [0, 17], None),
    ],
)
def test_picks_in_another_frame_than_the_others_are_told_of(tmp_path, turn, said):
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    for name in ("m1", "m2"):
        yx = rng.uniform(0, 129, (20, 2))
        write_coordinates(tmp_path / "a" / f"{name}.star", yx, np.ones(20))
        write_coordinates(tmp_path / "b" / f"{name}.star", turn(yx + rng.normal(0, 1, (20, 2))), np.ones(20))
    sizes = ["--pixel-size", "2", "--particle-diameter", "40", "--result", str(tmp_path / "result.json")]
    both = [str(tmp_path / "a"), str(tmp_path / "b")]
    for words in (
        ["compare-picks", "--picks", *both],
        ["consensus-picks", "--picks", *both, "--output", str(tmp_path / "out")],
        ["evaluate-picks", "--coordinates", both[1], "--reference", both[0]],
    ):
        assert main([*words, *sizes]) == 0
        told = [w for w in Result.read(tmp_path / "result.json").warnings if "in the frame of" in w]
        assert len(told) == (said is not None) and all(said in sentence for sentence in told)
