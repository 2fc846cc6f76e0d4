# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole flow: pick the same micrographs with two models, compare, combine, assess, pick the good ones again."""

import json

import numpy as np
from synthetic import blob_project, write_mrc, write_untrained_model

from cryodl.cli import main
from cryodl.contract import Result
from cryodl.io.coordinates import read_coordinates

SAME = ["--pixel-size", "4", "--particle-diameter", "120"]


def run(folder, command, *arguments):
    """Result of one command."""
    result = folder / f"{command}.json"
    assert main([command, *map(str, arguments), "--result", str(result)]) == 0
    return Result.read(result)


def noisy_set(folder, truth, seed):
    """Four of five particles, moved by about 3 px, and as many false picks as a quarter; false ones score less."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for name, centres in truth:
        found = centres[rng.random(len(centres)) < 0.8]
        false = rng.uniform(20, 220, (len(centres) // 4, 2))
        written = read_coordinates(tmp_path / "consensus")
    assert sum(len(yx) for yx, _ in written.values()) == compared["consensus"]["picks"]


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
    assert "spoiled" in json.dumps(assessed.outputs["figures"])
