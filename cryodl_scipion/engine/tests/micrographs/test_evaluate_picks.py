# SPDX-License-Identifier: GPL-3.0-or-later
"""evaluate-picks: metrics of lists whose matches are counted by hand."""

import json
import subprocess
import sys

import numpy as np
import pytest
from synthetic import PEER, write_mrc, write_star

from cryodl.contract import EvaluatePicksConfig, Result
from cryodl.io.coordinates import write_coordinates
from cryodl.micrographs.compare import pick_metrics
from cryodl.running.cli import main


@pytest.fixture
def lists(tmp_path):
    """Micrograph a: 3 of 4 picks right; b: a reference of 2 without picks; picks of c have no reference."""
    for part in ("picks", "truth", "mics"):
        (tmp_path / part).mkdir()
    write_coordinates(
        tmp_path / "picks/a_autopick.star", [[10, 10], [50, 52], [90, 90], [120, 20]], [0.9, 0.8, 0.7, 0.6]
    )
    write_coordinates(tmp_path / "picks/c.star", [[1, 1]], [0.5])
    write_star(tmp_path / "truth/a.star", [[10, 10], [50, 50], [90, 91]])
    write_star(tmp_path / "truth/b.star", [[5, 5], [60, 60]])
    for name in "ab":
        write_mrc(tmp_path / f"mics/{name}.mrc", np.zeros((130, 140), np.float32))
    return tmp_path


def config(folder, **values):
    return EvaluatePicksConfig(
        **dict(
            dict(
                coordinates=str(folder / "picks"),
                reference=str(folder / "truth"),
                pixel_size=2.0,
                particle_diameter=40.0,
            ),
            **values,
        )
    )


def test_pooled_and_per_micrograph(lists):
    metrics = pick_metrics(config(lists))
    assert metrics["match_distance_px"] == 5.0
    assert (metrics["picks"], metrics["reference"], metrics["true_positives"]) == (4, 5, 3)
    assert metrics["precision"] == 0.75 and metrics["recall"] == 0.6
    assert metrics["average_precision"] == pytest.approx(0.6) and metrics["best_threshold"] == 0.7
    assert metrics["micrographs"]["a"]["recall"] == 1.0 and metrics["micrographs"]["b"]["recall"] == 0.0
    assert metrics["picks_elsewhere"] == 1 and metrics["micrographs_without_picks"] == 1


def test_the_tolerance_is_in_radii(lists):
    assert pick_metrics(config(lists, tolerance=0.15))["true_positives"] == 2  # 1.5 px: the pick 2 px away is out


def test_without_a_threshold_log_odds_below_0_count_and_candidates_always(lists):
    """Topaz writes log odds: its own threshold is -6."""
    all_of_them = pick_metrics(config(lists))
    path = lists / "picks/a_autopick.star"
    write_coordinates(path, [[10, 10], [50, 52], [90, 90], [120, 20]], [1.9, -0.2, -3.0, -5.8])
    metrics = pick_metrics(config(lists))
    assert metrics["threshold"] == -5.8
    assert all(
        metrics[key] == all_of_them[key] for key in ("precision", "recall", "f1", "picks", "micrographs_without_picks")
    )
    assert pick_metrics(config(lists, threshold=0.0))["picks"] == 1
    assert pick_metrics(config(lists, threshold=0.0), str(lists / "picks"))["picks"] == 4


def test_the_threshold_leaves_low_picks_out_of_f1_only(lists):
    metrics = pick_metrics(config(lists, threshold=0.75))
    assert metrics["picks"] == 2 and metrics["precision"] == 1.0 and metrics["average_precision"] == pytest.approx(0.6)


def test_a_border_takes_picks_and_reference_away(lists):
    metrics = pick_metrics(config(lists, border=15.0, micrographs=(str(lists / "mics/*.mrc"),)))
    assert (metrics["picks"], metrics["reference"], metrics["true_positives"]) == (2, 3, 2)


def test_mirrored_picks_score_nothing(lists):
    write_coordinates(lists / "picks/a_autopick.star", [[129 - 10, 10], [129 - 50, 50]], [1, 1])
    assert pick_metrics(config(lists))["true_positives"] == 0


def test_json_on_the_command_line(lists, capsys):
    arguments = [
        "evaluate-picks",
        "--coordinates",
        str(lists / "picks"),
        "--reference",
        str(lists / "truth"),
        "--pixel-size",
        "2",
        "--particle-diameter",
        "40",
    ]
    assert main(arguments + ["--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    for key in ("precision", "recall", "f1", "average_precision", "best_f1", "best_threshold"):
        assert key in printed["metrics"] and key in printed["micrographs"]["a"]
    assert main([*arguments, "--result", str(lists / "result.json")]) == 0
    outputs = Result.read(lists / "result.json").outputs
    assert outputs.metrics["f1"] == printed["metrics"]["f1"] and set(outputs.micrographs) == set(printed["micrographs"])
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 6 and table[3].endswith("  a") and "all together" in table[-1]


def test_lists_without_a_common_micrograph_name_both_sides(lists):
    (lists / "picks/a_autopick.star").unlink()
    with pytest.raises(ValueError) as error:
        pick_metrics(config(lists))
    assert "picks are on c, the reference on a, b." in str(error.value) and "another program" in str(error.value)


def test_more_names_than_are_listed_are_counted(lists):
    (lists / "picks/a_autopick.star").unlink()
    for number in range(20):
        write_coordinates(lists / f"picks/other{number:02}.star", [[10, 10]], [1.0])
    with pytest.raises(ValueError, match=r"other06 and 13 more, the reference on a, b\."):
        pick_metrics(config(lists))


def test_picks_that_count_nowhere_are_said(lists, capsys):
    words = (
        f"evaluate-picks --coordinates {lists}/picks --reference {lists}/truth --pixel-size 2 --particle-diameter 40"
    )
    assert main(words.split()) == 0
    assert "Not counted: 1 pick on micrographs without a reference." in capsys.readouterr().out


def test_a_border_without_micrographs_is_refused(lists, capsys):
    assert (
        main(
            [
                "evaluate-picks",
                "--coordinates",
                "x",
                "--reference",
                "y",
                "--pixel-size",
                "2",
                "--particle-diameter",
                "40",
                "--border",
                "5",
            ]
        )
        == 2
    )
    assert "--micrographs" in capsys.readouterr().err


@pytest.mark.skipif(not PEER.is_file(), reason="the reference program score_picks.py is not beside this checkout")
@pytest.mark.parametrize("border", [0.0, 15.0])
def test_equals_the_reference_program_on_files(tmp_path, capsys, border):
    rng = np.random.default_rng(0)
    for part in ("picks", "truth", "mics"):
        (tmp_path / part).mkdir()
    for name in "abc":
        ground_truth = rng.uniform(0, 1, (25, 2)) * (259, 299)
        found = np.clip(
            np.vstack([ground_truth[:18] + rng.normal(0, 3, (18, 2)), rng.uniform(0, 1, (15, 2)) * (259, 299)]), 0, 259
        )
        write_star(tmp_path / f"truth/{name}.star", ground_truth)
        write_coordinates(tmp_path / f"picks/{name}_autopick.star", found, np.round(rng.random(33), 2))
        write_mrc(tmp_path / f"mics/{name}.mrc", np.zeros((260, 300), np.float32))
    ours = pick_metrics(config(tmp_path, border=border, threshold=0.3, micrographs=(str(tmp_path / "mics/*.mrc"),)))
    more = ["--border", str(border), "--size", "300", "260"] if border else []
    done = subprocess.run(
        [
            sys.executable,
            str(PEER),
            "--truth",
            str(tmp_path / "truth"),
            "--picks",
            str(tmp_path / "picks"),
            "--radius",
            "10",
            "--tol",
            "0.5",
            "--threshold",
            "0.3",
            "--json",
            str(tmp_path / "peer.json"),
            *more,
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads((tmp_path / "peer.json").read_text())
    assert ours["reference"] == theirs["truth"] and ours["average_precision"] == pytest.approx(theirs["auprc"])
    assert ours["true_positives"] == theirs["default"]["tp"] > 10
    for key in ("precision", "recall", "f1"):
        assert ours[key] == pytest.approx(theirs["default"][key])
    assert ours["best_f1"] == pytest.approx(theirs["best"]["f1"])
    assert ours["best_threshold"] == pytest.approx(theirs["best"]["threshold"])


def test_all_candidates_are_scored_too_where_pick_left_them(lists):
    candidates = lists / "picks/candidates"
    candidates.mkdir()
    write_coordinates(
        candidates / "a.star", [[10, 10], [50, 52], [90, 90], [120, 20], [30, 30]], [0.9, 0.8, 0.7, 0.6, 0.1]
    )
    text = subprocess.run(
        [
            sys.executable,
            "-m",
            "cryodl",
            "evaluate-picks",
            "--coordinates",
            lists / "picks",
            "--reference",
            lists / "truth",
            "--pixel-size",
            "2",
            "--particle-diameter",
            "40",
            "--json",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    printed = json.loads(text)
    metrics, candidates = printed["metrics"], printed["all_candidates"]
    assert metrics["picks"] == 4 and candidates["picks"] == 5
    assert candidates["best_f1"] == pytest.approx(metrics["best_f1"])


def test_a_run_that_found_no_particles_has_recall_0(lists, capsys):
    """Empty lists of picks, and no candidates at all: what `cryodl pick` leaves of empty micrographs."""
    (lists / "none/candidates").mkdir(parents=True)
    for name in "ab":
        write_coordinates(lists / f"none/{name}.star", np.zeros((0, 2)), np.zeros(0))
    common = ["--reference", str(lists / "truth"), "--pixel-size", "2", "--particle-diameter", "40"]
    result = ["--result", str(lists / "result.json")]
    assert main(["evaluate-picks", "--coordinates", str(lists / "none"), *common, *result]) == 0
    found = Result.read(lists / "result.json").outputs
    assert found["metrics"]["f1"] == found["metrics"]["recall"] == 0.0 and found["all_candidates"] is None
    sets = [f"none={lists / 'none'}", f"some={lists / 'picks'}"]
    assert main(["compare-picks", "--picks", *sets, *common, *result]) == 0
    found = Result.read(lists / "result.json").outputs
    assert found["metrics"]["none"]["recall"] == 0.0 and found["metrics"]["some"]["recall"] == 0.6
    assert found["all_candidates"] == {}
