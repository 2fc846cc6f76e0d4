# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl train-denoiser` from particles to a model folder."""

import csv
import json
import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from denoiser_data import run_command, train_denoiser
from particle_data import BOX, PIXEL, simulate_particles

from cryodl.contract import check_model, read_card
from cryodl.particles.commands.train_denoiser import denoiser_grid
from cryodl.particles.denoisers.train import card_warnings, names_digest


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with particles, their structure and a hardly trained model, and the Result of its training."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        simulate_particles(count=40)
        return folder, train_denoiser()


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_training_leaves_a_whole_model_and_nothing_else(trained):
    folder, result = trained
    card = check_model(folder / "model", "denoiser")
    assert (card["network"], card["box"], card["pixel_size"]) == ("swinconv", BOX, PIXEL)
    assert result.outputs["model"] == "model" and (result.outputs["box"], result.outputs["pixel_size"]) == (BOX, PIXEL)
    assert "all 10 steps were done" in result.outputs["stop_reason"]
    assert (
        "network swinconv, of map.mrc" in result.summary[0] and "10 steps, stopped: all 10 steps" in result.summary[1]
    )
    assert "mean FRC with the projections" in result.summary[2]
    assert result.summary[3] == "Denoised images are not raw data. Evaluate the denoiser to measure what it invents."
    assert "a two-dimensional Swin-Conv-UNet, was trained with cryodl" in result.methods[0]
    assert result.methods[0].endswith("in 10 steps on 35 particles with projections of map.mrc as targets.")
    assert 0 < result.outputs["validation"]["loss"] and -1 <= result.outputs["validation"]["frc"] <= 1
    assert sorted(p.name for p in (folder / "model").iterdir()) == [
        "card.json",
        "learning_curve.png",
        "metrics.csv",
        "samples",
        "training_targets.mrcs",
        "weights.safetensors",
    ]
    assert not (folder / "model.partial").exists()


def test_the_card_says_what_was_learnt_from(trained):
    folder, _ = trained
    card = read_card(folder / "model")
    (entry,) = card["training_particles"]
    assert entry["particles"] == "p.star" and entry["structure"] == "map.mrc" and entry["contrast"] == "bright"
    assert entry["number"] == 40 == entry["training"] + entry["validation"]
    assert entry["snr"] == pytest.approx(0.5, rel=0.35)
    assert card["structures"] == ["map.mrc"] and len(entry["sha256"]) == 64
    assert card["training"]["particles"] == entry["training"] and card["training"]["seconds"] > 0


def test_metrics_and_sample_pictures_are_those_of_each_validation(trained):
    folder, _ = trained
    table = rows(folder / "model/metrics.csv")
    assert [int(r["step"]) for r in table] == [10]
    assert {"train_loss", "validation_loss", "validation_frc", "validation_frc_raw"} <= set(table[0])
    assert [p.name for p in (folder / "model/samples").iterdir()] == ["step_0000010.png"]


def test_training_targets_are_projections_with_a_deviation_of_one_inside_the_circle(trained):
    folder, _ = trained
    with mrcfile.open(folder / "model/training_targets.mrcs") as mrc:
        targets, pixel_size = mrc.data.copy(), float(mrc.voxel_size.x)
    assert targets.shape == (64, BOX, BOX) and pixel_size == pytest.approx(PIXEL)
    card = read_card(folder / "model")
    y, x = np.mgrid[:BOX, :BOX] - BOX // 2
    inside = y**2 + x**2 <= (card["particle_diameter"] / PIXEL / 2) ** 2
    assert targets[:, inside].std(axis=1).mean() == pytest.approx(1.0, rel=0.1)


def test_the_same_seed_repeats_a_training(trained, monkeypatch):
    folder, _ = trained
    monkeypatch.chdir(folder)
    again = train_denoiser("again")
    assert (folder / "again/weights.safetensors").read_bytes() == (folder / "model/weights.safetensors").read_bytes()
    assert again.outputs["validation"] == read_card(folder / "model")["validation"]


def test_the_published_network_trains_with_its_discriminator(trained, monkeypatch):
    folder, _ = trained
    monkeypatch.chdir(folder)
    train_denoiser("gan", network="cgan", batch_size=1, loss="exponential")
    (row,) = rows(folder / "gan/metrics.csv")
    assert float(row["train_discriminator"]) > 0 and float(row["train_verdict"]) > 0
    card = check_model(folder / "gan", "denoiser")
    assert card["network"] == "cgan" and card["ctf"] == "none" and card["training"]["adversarial"] == 1.0


def test_a_training_can_start_from_a_model_of_the_same_network_and_box(trained, monkeypatch):
    folder, _ = trained
    monkeypatch.chdir(folder)
    monkeypatch.setattr("cryodl.learning.training.Schedule.rate", lambda self, step: 0.0)
    train_denoiser("further", start_from="model")
    first, further = (read_card(folder / name)["validation"]["frc"] for name in ("model", "further"))
    assert further == pytest.approx(first, abs=0.03)  # where the other ended, not at random weights
    text = train_denoiser("other", code=2, start_from="model", network="cgan")
    assert "has the network swinconv, but this training has cgan" in text


def test_several_molecules_are_learnt_together(trained, monkeypatch):
    folder, _ = trained
    monkeypatch.chdir(folder)
    simulate_particles("q.star", seed=3)
    train_denoiser("both", particles=["p.star", "q.star"])
    card = read_card(folder / "both")
    assert [e["particles"] for e in card["training_particles"]] == ["p.star", "q.star"] and len(card["scales"]) == 2


def test_an_existing_model_and_particles_that_cannot_teach_are_refused(trained, monkeypatch):
    folder, _ = trained
    monkeypatch.chdir(folder)
    assert "model (--output) exists already" in train_denoiser("model", code=2)
    lines = Path("p.star").read_text().splitlines()
    position = next(int(line.split("#")[1]) - 1 for line in lines if line.startswith("_rlnAngleTilt"))
    Path("flat.star").write_text("\n".join(line.replace("_rlnAngleTilt", "_otherAngle") for line in lines) + "\n\n")
    assert position >= 0 and "flat.star" in train_denoiser("none", code=2, particles="flat.star")
    assert not Path("none").exists() and not Path("none.partial").exists()


def test_denoised_particles_are_not_learnt_from(trained, monkeypatch):
    folder, _ = trained
    monkeypatch.chdir(folder)
    run_command("denoise", particles="p.star", model="model", output="seen.star")
    assert "denoised" in train_denoiser("circular", code=2, particles="seen.star")


class Grid:
    def __init__(self, box, pixel_size):
        self.box, self.pixel_size = box, pixel_size


@pytest.mark.parametrize(
    "sets, resolution, expected",
    [
        ([(64, 3.5)], None, (3.5, 64)),
        ([(64, 3.5), (128, 1.5)], None, (3.5, 64)),  # the coarsest pixels, the widest box
        ([(256, 1.0)], 8.0, (4.0, 64)),  # nothing finer is wanted: a small box is quick
        ([(256, 1.0)], 1.5, (1.0, 256)),
        ([(101, 2.0)], None, (2.0, 100)),
    ],
)
def test_the_network_works_at_the_coarsest_pixels_that_lose_nothing(sets, resolution, expected):
    assert denoiser_grid([Grid(*s) for s in sets], resolution) == expected


def test_a_card_warns_where_nothing_was_learnt():
    card = dict(validation=dict(frc=0.1, frc_raw=0.11), training=dict(validation_particles=100))
    assert ["has learnt nothing" in text for text in card_warnings(card)] == [True]
    card["training"]["validation_particles"] = 5
    assert ["metrics are uncertain" in text for text in card_warnings(card)] == [True]
    good = dict(validation=dict(frc=0.3, frc_raw=0.11), training=dict(validation_particles=100))
    assert not list(card_warnings(good))


def test_a_digest_is_of_the_names_whatever_the_order_of_the_rows():
    class Named:
        names = ("1@a", "2@a", "3@a")

    assert names_digest(Named, [2, 0]) == names_digest(Named, [0, 2]) != names_digest(Named, [0, 1])


@pytest.mark.slow
def test_training_continues_after_a_kill_and_ends_as_if_there_was_none(tmp_path, monkeypatch):
    from synthetic import run_cryodl, start_cryodl
    from test_interrupted import kill_when

    monkeypatch.chdir(tmp_path)
    simulate_particles()
    command = lambda output: [
        "train-denoiser",
        "--particles",
        "p.star",
        "--structure",
        "map.mrc",
        "--output",
        output,
        "--network",
        "swinconv",
        *f"--steps 40 --batch-size 2 --device cpu --threads 1 --result {output}.json".split(),
    ]
    assert run_cryodl(command("whole"), tmp_path).returncode == 0
    checkpoint = tmp_path / "killed.partial/checkpoint.safetensors"
    kill_when(start_cryodl(command("killed"), tmp_path), checkpoint.exists)
    assert not (tmp_path / "killed").exists() and not (tmp_path / "killed.json").exists()
    shutil.copytree(tmp_path / "killed.partial", tmp_path / "seen")
    again = run_cryodl(command("killed"), tmp_path)
    assert again.returncode == 0, again.stderr
    assert "Continuing the training at step" in again.stdout
    whole, killed = (tmp_path / name / "weights.safetensors" for name in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()
    results = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "killed")]
    assert results[0]["outputs"]["validation"] == results[1]["outputs"]["validation"]
    steps = [[r["step"] for r in rows(tmp_path / name / "metrics.csv")] for name in ("whole", "killed")]
    assert steps[0] == steps[1] and len(list((tmp_path / "killed/samples").iterdir())) == len(steps[0])
