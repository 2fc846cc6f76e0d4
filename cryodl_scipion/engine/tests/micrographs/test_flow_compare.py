# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole flow: pick the same micrographs with two models, compare, combine, assess, pick the good ones again."""

import json

import numpy as np
from synthetic import blob_project, write_mrc, write_untrained_model

from cryodl.contract import Result
from cryodl.io.coordinates import read_coordinates, write_coordinates
from cryodl.running.cli import main

SAME = ["--pixel-size", "4", "--particle-diameter", "120"]


def run(folder, command, *arguments):
    """Result of one command."""
    result = folder / f"{command}.json"
    assert main([command, *map(str, arguments), "--result", str(result)]) == 0
    return Result.read(result)


def noisy_set(folder, ground_truth, seed):
    """Four of five particles, moved by about 3 px, and as many false picks as a quarter; false ones score less."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for name, centres in ground_truth:
        found = centres[rng.random(len(centres)) < 0.8]
        found = found + rng.normal(0, 2, found.shape)
        false = rng.uniform(20, 220, (len(centres) // 4, 2))
        scores = np.concatenate([rng.uniform(0.6, 1, len(found)), rng.uniform(0.1, 0.5, len(false))])
        write_coordinates(folder / f"{name}.star", np.concatenate([found, false]), scores)


def test_what_two_sets_agree_on_is_more_precise_than_each(tmp_path):
    ground_truth = blob_project(tmp_path)
    names = ("one", "two")
    for seed, name in enumerate(names):
        noisy_set(tmp_path / name, ground_truth, seed)
    given = ["--picks", *(f"{name}={tmp_path / name}" for name in names), *SAME]
    common = ["--micrographs", tmp_path / "mics/*.mrc"]
    combined = run(tmp_path, "consensus-picks", *given, "--minimum-sets", 2, "--output", tmp_path / "consensus")
    written = read_folder(tmp_path / "consensus")
    assert sum(len(yx) for yx in written) == combined.outputs["picks"]
    compared = run(
        tmp_path,
        "compare-picks",
        *given[:3],
        f"consensus={tmp_path / 'consensus'}",
        *SAME,
        "--reference",
        tmp_path / "coordinates",
        *common,
    )
    metrics = compared.outputs["metrics"]
    assert all(metrics["consensus"]["precision"] > metrics[name]["precision"] for name in names)
    assert all(metrics["consensus"]["recall"] <= metrics[name]["recall"] for name in names)
    assert compared.outputs["counts"]["consensus"] == combined.outputs["picks"]


def read_folder(folder):
    """Centres of each micrograph's STAR file of a folder."""
    return [read_coordinates(path)[path.stem][0] for path in sorted(folder.glob("*.star"))]


def test_good_micrographs_of_an_assessment_are_picked(tmp_path):
    blob_project(tmp_path)
    image = np.random.default_rng(0).normal(size=(256, 320))
    y, x = np.mgrid[:256, :320]
    write_mrc(tmp_path / "mics/spoiled.mrc", (image - 9 * ((y - 120) ** 2 + (x - 150) ** 2 < 80**2)).astype(np.float32))
    assessed = run(
        tmp_path,
        "assess-micrographs",
        "--micrographs",
        tmp_path / "mics/*.mrc",
        *SAME,
        "--output",
        tmp_path / "assessment",
        "--threads",
        1,
    )
    assert assessed.outputs["good"] == ["mic0", "mic1"] and assessed.outputs["bad"] == ["spoiled"]
    write_untrained_model(tmp_path / "model")
    picked = run(
        tmp_path,
        "pick",
        "--micrographs",
        tmp_path / "assessment/good.txt",
        "--pixel-size",
        4,
        "--model",
        tmp_path / "model",
        "--output",
        tmp_path / "picks",
        "--device",
        "cpu",
        "--threads",
        1,
    )
    assert sorted(picked.outputs["counts"]) == ["mic0", "mic1"]
    assert "spoiled" in json.dumps(assessed.outputs["metrics"])
