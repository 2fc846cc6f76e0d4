# SPDX-License-Identifier: GPL-3.0-or-later
"""assess-micrographs: metrics, verdicts and their reasons, continuing, micrographs that arrive later, bad input."""

import csv
import json
import os
import time

import numpy as np
import pytest
from synthetic import blob_micrograph, start_cryodl, write_mrc, write_star

from cryodl.contract import AssessMicrographsConfig, Result
from cryodl.io.coordinates import write_coordinates
from cryodl.io.files import expand_paths
from cryodl.micrographs.assess.judge import judge_record
from cryodl.micrographs.commands.assess_micrographs import METRICS
from cryodl.running.cli import main


@pytest.fixture
def mics(tmp_path):
    """clean.mrc, and ice.mrc with a crystal over 3 % of it; picks with scores of both, none for later.mrc."""
    for part in ("mics", "picks", "more"):
        (tmp_path / part).mkdir()
    image, centres = blob_micrograph((220, 200), contrast=0.5)
    write_mrc(tmp_path / "mics/clean.mrc", image)
    write_mrc(tmp_path / "more/later.mrc", image[::-1])
    y, x = np.mgrid[:220, :200]
    write_mrc(tmp_path / "mics/ice.mrc", (image - 8 * ((y - 110) ** 2 + (x - 90) ** 2 < 21**2)).astype(np.float32))
    write_coordinates(tmp_path / "picks/clean_autopick.star", centres, np.linspace(0.4, 0.8, len(centres)))
    write_coordinates(tmp_path / "picks/ice.star", centres[:2], [0.2, 0.4])
    return tmp_path


def assess(folder, *more, micrographs=("mics/*.mrc",)):
    return main(
        [
            "assess-micrographs",
            "--micrographs",
            *(str(folder / m) for m in micrographs),
            "--pixel-size",
            "4",
            "--particle-diameter",
            "120",
            "--output",
            str(folder / "out"),
            "--threads",
            "1",
            "--result",
            str(folder / "result.json"),
            *more,
        ]
    )


def outputs(folder):
    return Result.read(folder / "result.json").outputs


def table(folder):
    with open(folder / "out/micrographs.csv", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_figures_and_verdicts(mics):
    assert assess(mics, "--coordinates", str(mics / "picks"), "--maximum-contaminated", "2") == 0
    found = outputs(mics)
    assert found["good"] == ["clean"] and found["bad"] == ["ice"]
    clean, ice = found["metrics"]["clean"], found["metrics"]["ice"]
    assert clean["contaminated_percent"] < 0.2 and clean["carbon_percent"] == ice["carbon_percent"] == 0
    assert ice["contaminated_percent"] == pytest.approx(3.1, abs=1) and ice["particles"] == 2
    assert ice["mean_score"] == pytest.approx(0.3) and clean["mean_score"] == pytest.approx(0.6)
    assert clean["ice_gradient"] < 0.3 and abs(clean["background"]) < 1
    assert ice["reason"] == f"{ice['contaminated_percent']:.1f} % contaminated, more than 2 %" and clean["reason"] == ""
    rows = table(mics)
    assert list(rows) == ["clean", "ice"] and rows["ice"]["verdict"] == "bad" and rows["ice"]["reason"] == ice["reason"]
    assert expand_paths([str(mics / "out/good.txt")]) == [str(mics / "mics/clean.mrc")]
    assert (mics / "out/bad.txt").read_text() == f"{mics}/mics/ice.mrc\n"
    record = json.loads((mics / "out/ice.json").read_text())
    assert {f: record[f] for f in METRICS} == {f: ice[f] for f in METRICS}


def test_other_limits_cost_no_second_measurement(mics):
    assert assess(mics) == 0
    before = {n: os.stat(mics / f"out/{n}.json").st_mtime_ns for n in ("clean", "ice")}
    assert outputs(mics)["metrics"]["clean"]["particles"] is None and outputs(mics)["good"] == ["clean", "ice"]
    assert assess(mics, "--maximum-contaminated", "2") == 0
    assert outputs(mics)["bad"] == ["ice"] and Result.read(mics / "result.json").device.startswith("none")
    assert before == {n: os.stat(mics / f"out/{n}.json").st_mtime_ns for n in ("clean", "ice")}


def test_the_judge_needs_no_limit_and_a_record_of_an_earlier_version_is_measured_again(mics):
    y, x = np.mgrid[:220, :200]
    image, _ = blob_micrograph((220, 200), contrast=0.5)
    write_mrc(mics / "more/dirty.mrc", (image - 8 * ((y - 60) ** 2 + (x - 90) ** 2 < 45**2)).astype(np.float32))
    assert assess(mics, micrographs=("more/dirty.mrc", "mics/clean.mrc")) == 0
    assert outputs(mics)["bad"] == ["dirty"] and "positions are lost" in outputs(mics)["metrics"]["dirty"]["reason"]
    assert assess(mics, "--maximum-contaminated", "60", micrographs=("more/dirty.mrc",)) == 0
    assert outputs(mics)["good"] == ["dirty"]
    record = json.loads((mics / "out/clean.json").read_text())
    signs = record.pop("signs")
    (mics / "out/clean.json").write_text(json.dumps(record))
    assert assess(mics, micrographs=("mics/clean.mrc",)) == 0
    assert json.loads((mics / "out/clean.json").read_text())["signs"] == signs


def test_micrographs_that_arrive_later_join_the_table(mics):
    assert assess(mics) == 0
    assert assess(mics, micrographs=("more/later.mrc",)) == 0
    assert list(outputs(mics)["metrics"]) == ["later"] and list(table(mics)) == ["clean", "ice", "later"]


def test_picks_that_arrive_later_are_counted(mics):
    assert assess(mics) == 0
    assert assess(mics, "--coordinates", str(mics / "picks"), "--minimum-particles", "3") == 0
    assert outputs(mics)["metrics"]["ice"]["reason"] == "2 particles, fewer than 3"


def test_a_micrograph_without_a_list_of_picks_is_named_and_not_taken_for_empty(mics):
    write_star(mics / "picks/later.star", [])
    assert (
        assess(
            mics,
            "--coordinates",
            str(mics / "picks"),
            "--minimum-score",
            "0.1",
            micrographs=("mics/*.mrc", "more/*.mrc"),
        )
        == 0
    )
    assert outputs(mics)["metrics"]["later"]["particles"] == 0
    assert outputs(mics)["metrics"]["later"]["reason"] == "mean score could not be measured"
    (mics / "picks/ice.star").unlink()
    (mics / "out/ice.json").unlink()
    assert assess(mics, "--coordinates", str(mics / "picks"), "--minimum-particles", "1") == 0
    result = Result.read(mics / "result.json")
    assert "Maximum carbon area 50 %" in result.methods[0]
    assert "no list of picks" in result.warnings[0] and "ice" in result.warnings[0]
    assert result.outputs["metrics"]["ice"]["reason"] == "particles could not be measured"


def test_numbers_of_earlier_picks_do_not_stay(mics):
    assert assess(mics, "--coordinates", str(mics / "picks")) == 0 and table(mics)["ice"]["particles"] == "2"
    (mics / "picks/ice.star").unlink()
    assert assess(mics, "--coordinates", str(mics / "picks"), "--minimum-particles", "1") == 0
    assert outputs(mics)["metrics"]["ice"]["reason"] == "particles could not be measured"
    assert assess(mics) == 0
    assert [(row["particles"], row["mean_score"]) for row in table(mics).values()] == [("", ""), ("", "")]


def test_picks_without_scores_have_no_mean_score(mics):
    write_star(mics / "picks/ice.star", [[5, 5], [50, 50]])
    assert assess(mics, "--coordinates", str(mics / "picks")) == 0
    assert outputs(mics)["metrics"]["ice"]["mean_score"] is None and table(mics)["ice"]["mean_score"] == ""


def test_a_stopped_run_continues(mics):
    for index in range(3):
        (mics / f"mics/copy{index}.mrc").write_bytes((mics / "mics/clean.mrc").read_bytes())
    arguments = [
        "assess-micrographs",
        "--micrographs",
        str(mics / "mics/*.mrc"),
        "--pixel-size",
        "4",
        "--particle-diameter",
        "120",
        "--output",
        str(mics / "out"),
        "--threads",
        "1",
    ]
    process = start_cryodl(arguments, mics)
    while process.poll() is None and not any((mics / "out").glob("[!.]*.json")):
        time.sleep(0.02)
    process.kill()
    process.communicate()
    done = {p.name: p.stat().st_mtime_ns for p in (mics / "out").glob("[!.]*.json")}
    assert done and assess(mics) == 0
    assert {n: os.stat(mics / "out" / n).st_mtime_ns for n in done} == done and len(table(mics)) == 5
    assert not list((mics / "out").glob("*.tmp*"))


def test_a_broken_micrograph_is_skipped_and_named(mics):
    (mics / "mics/broken.mrc").write_bytes((mics / "mics/clean.mrc").read_bytes()[:5000])
    write_mrc(mics / "mics/empty.mrc", np.zeros((200, 200), np.float32))
    assert assess(mics) == 0
    result = Result.read(mics / "result.json")
    assert [s.item for s in result.skipped] == ["broken", "empty"]
    assert "2 micrographs were skipped" in result.warnings[0]
    assert table(mics)["empty"]["verdict"] == "unreadable" and "constant" in table(mics)["empty"]["reason"]
    assert result.outputs["good"] == ["clean", "ice"] and not (mics / "out/empty.json").exists()


def test_what_could_not_be_read_stays_in_the_table_when_others_come(mics):
    write_mrc(mics / "mics/empty.mrc", np.zeros((200, 200), np.float32))
    assert assess(mics) == 0
    assert assess(mics, micrographs=[str(mics / "mics/clean.mrc")]) == 0
    assert table(mics)["empty"]["verdict"] == "unreadable" and "constant" in table(mics)["empty"]["reason"]
    (mics / "mics/empty.mrc").write_bytes((mics / "mics/clean.mrc").read_bytes())
    assert assess(mics) == 0 and table(mics)["empty"]["verdict"] == "good"


def test_metrics_of_a_micrograph_that_broke_later_do_not_stay(mics):
    assert assess(mics) == 0 and outputs(mics)["good"] == ["clean", "ice"]
    whole = (mics / "mics/clean.mrc").read_bytes()
    (mics / "mics/clean.mrc").write_bytes(whole[:5000])
    assert assess(mics) == 0 and outputs(mics)["good"] == ["ice"] and set(outputs(mics)["metrics"]) == {"ice"}
    assert table(mics)["clean"]["verdict"] == "unreadable" and "clean" not in (mics / "out/good.txt").read_text()
    (mics / "mics/clean.mrc").write_bytes(whole)
    assert assess(mics) == 0 and outputs(mics)["good"] == ["clean", "ice"]


def test_only_broken_micrographs_are_an_error(mics, capsys):
    write_mrc(mics / "more/later.mrc", np.zeros((200, 200), np.float32))
    assert assess(mics, micrographs=("more/*.mrc",)) == 2
    assert "Of 1 micrograph, none" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more, words",
    [
        (["--pixel-size", "5"], ("other parameters", "pixel size 4 (now 5)", "--output")),
        (["--coordinates", "nowhere"], ("nowhere", "do not exist")),
        (["--maximum-carbon", "101"], ("--maximum-carbon", "101 %", "between 0 and 100 %")),
        (["--names", "a"], ("--names", "1 entries for 2 micrographs")),
    ],
)
def test_bad_input_is_named(mics, capsys, more, words):
    assert assess(mics) == 0
    before = (mics / "out/micrographs.csv").read_bytes()
    assert assess(mics, *more) == 2
    message = capsys.readouterr().err
    for word in words:
        assert word in message
    assert (mics / "out/micrographs.csv").read_bytes() == before


def test_other_files_in_the_folder_are_left_alone(mics):
    (mics / "out").mkdir()
    for name, text in (("request.json", '{"kind": "other"}'), ("list.json", "[1]"), ("half.json", '{"kind"')):
        (mics / "out" / name).write_text(text)
    assert assess(mics) == 0 and list(table(mics)) == ["clean", "ice"]
    assert (mics / "out/half.json").read_text() == '{"kind"'


def record(**values):
    return dict(
        dict(
            particles=50,
            mean_score=0.6,
            contaminated_percent=1.0,
            carbon_percent=0.0,
            ice_gradient=0.2,
            signs=dict(seen=30.0, thickness=5.0, loss=0.0, lost=0.02, spots=1.5, angle=30.0, finest=25.0),
        ),
        **values,
    )


@pytest.mark.parametrize(
    "values, limits, reason",
    [
        ({}, {}, ""),
        ({"carbon_percent": 50.0}, {}, ""),
        ({"carbon_percent": 50.1}, {}, "50.1 % carbon, more than 50 %"),
        ({"particles": 3}, dict(minimum_particles=3), ""),
        ({"particles": 2}, dict(minimum_particles=3), "2 particles, fewer than 3"),
        ({"mean_score": 0.25}, dict(minimum_score=0.3), "mean score 0.25, below 0.3"),
        ({"ice_gradient": 2.0}, dict(maximum_gradient=1.5), "ice gradient 2.00, more than 1.5"),
        ({"ice_gradient": None}, dict(maximum_gradient=1.5), "ice gradient could not be measured"),
        ({"ice_gradient": None, "mean_score": None, "particles": None}, {}, ""),
        (
            {"contaminated_percent": 30.0, "carbon_percent": 60.0},
            dict(maximum_contaminated=20.0),
            "30.0 % contaminated, more than 20 %; 60.0 % carbon, more than 50 %",
        ),
        ({"contaminated_percent": 30.0}, {}, ""),
    ],
)
def test_limits(values, limits, reason):
    config = AssessMicrographsConfig(
        micrographs=("a.mrc",), pixel_size=1.0, particle_diameter=100.0, output="out", **limits
    )
    assert judge_record(record(**values), config) == (("bad" if reason else "good"), reason)
