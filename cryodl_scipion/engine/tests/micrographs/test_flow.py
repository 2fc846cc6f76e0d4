# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole way through on the command line: simulate, train, pick, evaluate; with the truth known at every step."""

import json

import mrcfile
import numpy as np
import pytest
from synthetic import lopsided_density, write_mrc

from cryodl.contract import Result
from cryodl.core.geometry import inside
from cryodl.io.coordinates import read_coordinates, write_coordinates
from cryodl.io.star import read_tables
from cryodl.running.cli import main

pytestmark = pytest.mark.slow
PIXEL_SIZE = "4"


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """A folder in which everything was run once: sim/, model/, picks/, with results."""
    folder = tmp_path_factory.mktemp("flow")
    write_mrc(folder / "map.mrc", lopsided_density(), 4.0)
    common = ["--pixel-size", PIXEL_SIZE, "--device", "cpu"]
    assert (
        main(
            [
                "simulate-micrographs",
                "--structure",
                str(folder / "map.mrc"),
                "--count",
                "5",
                "--size",
                "512",
                "--particles",
                "30",
                "--snr",
                "0.4",
                "--output",
                str(folder / "sim"),
                *common,
                "--result",
                str(folder / "sim.json"),
            ]
        )
        == 0
    )
    simulated = Result.read(folder / "sim.json").outputs
    diameter = str(simulated["particle_diameter"])
    mics = folder / "sim/micrographs"
    labels = folder / "labels"
    labels.mkdir()
    for index in (1, 2, 3):
        name = f"simulated_{index:04d}.star"
        (labels / name).write_text((folder / "sim/coordinates" / name).read_text())
    assert (
        main(
            [
                "train-picker",
                "--micrographs",
                str(mics / "simulated_000[123].mrc"),
                "--coordinates",
                str(labels),
                "--particle-diameter",
                diameter,
                "--output",
                str(folder / "model"),
                "--steps",
                "40",
                "--batch-size",
                "3",
                *common,
                "--result",
                str(folder / "model.json"),
            ]
        )
        == 0
    )
    assert (
        main(
            [
                "pick",
                "--micrographs",
                str(mics / "simulated_000[45].mrc"),
                "--model",
                str(folder / "model"),
                "--output",
                str(folder / "picks"),
                *common,
                "--result",
                str(folder / "picks.json"),
            ]
        )
        == 0
    )
    return folder, simulated


def evaluate(folder, capsys, picks="picks", more=()):
    capsys.readouterr()
    simulated = Result.read(folder / "sim.json").outputs
    assert (
        main(
            [
                "evaluate-picks",
                "--coordinates",
                str(folder / picks),
                "--reference",
                str(folder / "sim/coordinates"),
                "--pixel-size",
                PIXEL_SIZE,
                "--particle-diameter",
                str(simulated["particle_diameter"]),
                "--micrographs",
                str(folder / "sim/micrographs/simulated_000[45].mrc"),
                "--json",
                *more,
            ]
        )
        == 0
    )
    printed = json.loads(capsys.readouterr().out)
    return dict(printed["metrics"], micrographs=printed["micrographs"])


def test_particles_of_unseen_micrographs_are_found(flow, capsys):
    metrics = evaluate(flow[0], capsys)
    assert metrics["reference"] > 30
    assert metrics["f1"] > 0.8 and metrics["average_precision"] > 0.8 and metrics["best_f1"] > 0.85
    assert set(metrics["micrographs"]) == {"simulated_0004", "simulated_0005"}


def test_positions_have_no_shift(flow):
    """The mean offset of matched picks tells half a pixel."""
    folder, simulated = flow
    picks, ground_truth = read_coordinates(folder / "picks"), read_coordinates(folder / "sim/coordinates")
    offsets = []
    for name, (yx, _) in picks.items():
        gaps = yx[:, None] - ground_truth[name][0][None]
        nearest = np.linalg.norm(gaps, axis=2).argmin(1)
        offset = gaps[np.arange(len(yx)), nearest]
        offsets.append(offset[np.linalg.norm(offset, axis=1) < 4])
    offsets = np.concatenate(offsets)
    assert len(offsets) > 25 and np.abs(offsets.mean(0)).max() < 0.8


def test_mirrored_picks_score_far_less(flow, capsys):
    folder, _ = flow
    (folder / "mirrored").mkdir(exist_ok=True)
    for name, (yx, scores) in read_coordinates(folder / "picks").items():
        write_coordinates(folder / "mirrored" / f"{name}.star", np.stack([511 - yx[:, 0], yx[:, 1]], 1), scores)
    assert evaluate(folder, capsys, "mirrored")["f1"] < 0.3


def test_a_border_needs_and_uses_the_micrographs(flow, capsys):
    whole, inner = evaluate(flow[0], capsys), evaluate(flow[0], capsys, more=["--border", "60"])
    assert 0 < inner["reference"] < whole["reference"] and inner["picks"] <= whole["picks"]


def test_what_was_simulated_is_documented(flow):
    folder, simulated = flow
    assert simulated["particles"] > 100 and 60 < simulated["particle_diameter"] < 128
    for part in ("micrographs", "coordinates", "ctf"):
        assert len(list((folder / "sim" / part).iterdir())) == 5
    with mrcfile.open(folder / "sim/micrographs/simulated_0001.mrc") as mrc:
        assert mrc.data.shape == (512, 512) and abs(float(mrc.voxel_size.x) - 4.0) < 1e-4
    star = folder / "sim/coordinates/simulated_0001.star"
    (columns,) = read_tables(star).values()
    u, v = (np.array(columns[f"rlnDefocus{x}"], float) for x in "UV")
    assert (8000 - 300 <= v).all() and (v <= u).all() and (u <= 25000 + 300).all() and len(set(u)) == 1
    values = (folder / "sim/ctf/simulated_0001.txt").read_text().splitlines()[-1].split()
    assert len(values) == 7 and np.allclose([float(values[1]), float(values[2])], [u[0], v[0]], atol=0.01)


def test_the_mean_of_boxes_at_the_picks_is_a_centred_dark_particle(flow):
    folder, _ = flow
    boxes = []
    for name, (yx, _) in read_coordinates(folder / "picks").items():
        with mrcfile.open(folder / f"sim/micrographs/{name}.mrc") as mrc:
            image = mrc.data - mrc.data.mean()
        for y, x in np.rint(yx[inside(yx, image.shape, 17)]).astype(int):
            boxes.append(-image[y - 16 : y + 17, x - 16 : x + 17])
    mean = np.mean(boxes, 0)
    rows, columns = np.mgrid[-16:17, -16:17]
    middle = np.hypot(rows, columns) < 8
    edge = np.hypot(rows, columns) > 14
    assert mean[middle].mean() > mean[edge].mean() + 0.1
    weight = np.clip(mean - mean[edge].mean(), 0, None) * (np.hypot(rows, columns) < 12)
    assert abs((weight * rows).sum() / weight.sum()) < 1.5 and abs((weight * columns).sum() / weight.sum()) < 1.5


def test_simulation_repeats_with_its_seed_and_is_not_replaced(flow, tmp_path, capsys):
    folder, _ = flow
    command = [
        "simulate-micrographs",
        "--structure",
        str(folder / "map.mrc"),
        "--count",
        "1",
        "--size",
        "256",
        "--particles",
        "5",
        "--pixel-size",
        PIXEL_SIZE,
        "--device",
        "cpu",
        "--output",
    ]
    for output, more in (("a", []), ("b", []), ("c", ["--seed", "1"])):
        assert main(command + [str(tmp_path / output), *more]) == 0
    images = [(tmp_path / n / "coordinates/simulated_0001.star").read_text() for n in "abc"]
    assert images[0] == images[1] != images[2]
    assert main(command + [str(tmp_path / "a")]) == 2 and "(--output) exists already" in capsys.readouterr().err
    assert main(command[:4] + ["1", "--size", "128", *command[7:], str(tmp_path / "d"), "--pixel-size", "1"]) == 2
    assert "map.mrc" in capsys.readouterr().err
