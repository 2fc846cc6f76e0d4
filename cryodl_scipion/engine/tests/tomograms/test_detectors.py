# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors: what is learnt from, what comes out, and what is told of inputs that do not fit."""

import numpy as np
import pytest
import torch
from detection_data import PIXEL, blob_tomogram
from synthetic import write_mrc

from cryodl.contract import Failure, Result, read_card
from cryodl.core.matching import best_f_beta, f_beta
from cryodl.io.messages import collected
from cryodl.io.star import read_tables, write_tables
from cryodl.learning.networks import folded
from cryodl.running.cli import main
from cryodl.tomograms.detectors.labels import Labelled, split_tomograms
from cryodl.tomograms.detectors.train import heat_map, varied_sharpness
from cryodl.tomograms.detectors.unet3d import HeatMapUNet
from cryodl.tomograms.segmenters.working_scale import skewness


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(HeatMapUNet, "widths", (8, 8))
    monkeypatch.setattr(HeatMapUNet, "granularity", 4)
    monkeypatch.setattr(HeatMapUNet, "overlap", 16)
    monkeypatch.setattr(HeatMapUNet, "crop", 24)
    monkeypatch.setattr(HeatMapUNet, "learning_rate", 0.02)
    return tmp_path


def command(name, code=0, **options):
    words = [name, "--threads", "1", "--device", "cpu", "--result", "result.json"]
    for key, value in options.items():
        if value is not None:
            words += ["--" + key.replace("_", "-"), *map(str, value if isinstance(value, tuple) else (value,))]
    assert main(words) == code
    return Result.read("result.json") if code == 0 else Failure.read("failure.json").message


def train(code=0, **options):
    given = dict(
        tomograms=("a.mrc", "b.mrc"),
        coordinates=("a.star", "b.star"),
        diameter=("large=100", "small=50"),
        working_pixel_size=PIXEL,
        steps=60,
        output="model",
        beta=1.0,
    )
    return command("train-detector", code, **dict(given, **options))


def test_a_detector_finds_what_it_learnt_in_a_tomogram_that_it_has_not_seen(folder):
    for seed, name in enumerate("abc"):
        ground_truth = blob_tomogram(folder / f"{name}.mrc", seed)
    outputs = train().outputs
    assert outputs["species"] == ["large", "small"] and outputs["pixel_size"] == PIXEL
    found = command("detect-particles", tomograms="c.mrc", model="model", output="found", control=1.0).outputs
    table = read_tables(found["files"]["c"])["particles"]
    large = [row for row, name in enumerate(table["cryodlSpecies"]) if name == "large"]
    zyx = np.array([[float(table[f"rlnCoordinate{axis}"][row]) for axis in "ZYX"] for row in large])
    distances = np.linalg.norm(ground_truth["large"][:, None] - zyx, axis=2).min(axis=1)
    assert (distances < 2.5).mean() >= 0.8
    assert found["expected_false_detections"]["c"]["large"] < 0.3 * found["counts"]["c"]["large"]
    assert read_card("model", "detector")["particles"] == dict(large=10, small=10)
    low = dict(tomograms="c.mrc", model="model", control=1.0, threshold="0.05")
    assert command("detect-particles", output="low", **low).outputs["expected_false_detections"]["c"]["small"] > 0
    far = command("detect-particles", output="far", border=5000, **low).outputs  # nothing is so far inside
    assert set(far["counts"]["c"].values()) == {0} == set(far["expected_false_detections"]["c"].values())


def test_a_spot_is_highest_at_its_particle_and_overlapping_ones_do_not_add_up():
    spots = heat_map(np.array([[5.0, 6.0, 7.0], [5.0, 6.0, 8.0], [30.0, 0.0, 0.0]]), 1.0, (12, 12, 12))
    assert float(spots[5, 6, 7]) == float(spots[5, 6, 8]) == 1.0
    assert float(spots[5, 6, 9]) == pytest.approx(np.exp(-0.5), abs=1e-6)


def test_the_cells_of_a_network_are_its_voxels():
    x = torch.arange(64.0).reshape(1, 1, 4, 4, 4)
    cells = folded(x, 2)
    assert cells.shape == (1, 8, 2, 2, 2)
    assert set(cells[0, :, 1, 0, 1].tolist()) == set(x[0, 0, 2:4, 0:2, 2:4].flatten().tolist())


def test_filtering_keeps_the_variance_and_strength_0_everything():
    x = torch.randn(1, 16, 16, 16)
    assert torch.allclose(varied_sharpness(x, 0.0), x, atol=1e-5)
    assert float(varied_sharpness(x, 1.0).std()) == pytest.approx(float(x.std()), rel=1e-4)


def test_f_beta_by_hand():
    """8 found, 4 wrong, 2 missed: precision 2/3, recall 0.8; F1 8 / 11, F4 = 17 x 8 / (17 x 8 + 16 x 2 + 4)."""
    assert f_beta(8, 4, 2, 1.0) == pytest.approx(8 / 11)
    assert f_beta(8, 4, 2, 4.0) == pytest.approx(136 / 172)
    assert f_beta(0, 0, 0, 4.0) == 0.0


def test_the_best_threshold_is_where_f_beta_is_largest():
    scores = np.array([0.9, 0.8, 0.7, 0.2, 0.1])
    hit = np.array([True, True, False, True, False])
    assert best_f_beta(hit, scores, 3, 0.2) == (pytest.approx(0.8), pytest.approx(f_beta(2, 0, 1, 0.2)))
    assert best_f_beta(hit, scores, 3, 4.0) == (pytest.approx(0.2), pytest.approx(f_beta(3, 1, 0, 4.0)))
    assert best_f_beta(np.zeros(5, bool), scores, 3, 4.0) == (1.0, 0.0)


def labelled(name, counts):
    return Labelled(name, torch.zeros(16, 40, 16), tuple(np.full((n, 3), 8.0) for n in counts))


def test_whole_tomograms_are_held_out_where_every_species_is_left_on_both_sides():
    parts = [labelled("a", (3, 3)), labelled("b", (3, 0)), labelled("c", (3, 3))]
    learnt, held, how = split_tomograms(parts, 0.2, np.random.default_rng(0))
    assert [one.name for one in held] in (["a"], ["c"]) and "1 of 3 tomograms" in how


def test_of_a_single_tomogram_a_part_is_held_out_with_its_own_particles():
    points = (np.array([[5.0, 4.0, 5.0], [5.0, 36.0, 5.0]]),)
    learnt, held, _ = split_tomograms([Labelled("a", torch.zeros(16, 40, 16), points)], 0.25, np.random.default_rng(0))
    assert learnt[0].volume.shape[1] == 30 and held[0].volume.shape[1] == 10
    assert learnt[0].points[0].tolist() == [[5, 4, 5]] and held[0].points[0].tolist() == [[5, 6, 5]]


def test_where_the_last_part_has_no_particle_the_last_particles_are_held_out():
    points = (np.array([[5.0, y, 5.0] for y in (2, 5, 9, 12, 15)]),)
    one = Labelled("a", torch.zeros(16, 64, 16), points)
    (learnt,), (held,), how = split_tomograms([one], 0.2, np.random.default_rng(0))
    assert learnt.points[0][:, 1].tolist() == [2, 5, 9, 12] and "its last particles along y" in how
    assert (held.points[0][:, 1] + learnt.volume.shape[1]).tolist() == [15]
    assert learnt.volume.shape[1] + held.volume.shape[1] == 64


@pytest.mark.parametrize("diameter, warned", [(6, False), (12, True)])
def test_last_particles_are_held_out_behind_the_widest_gap_and_a_narrow_one_is_warned_of(diameter, warned, capsys):
    """Two of ten by the fraction, three by the gap of 8 px between 16 and 24."""
    points = (np.array([[5.0, y, 5.0] for y in (2, 4, 6, 9, 11, 14, 16, 24, 25, 27)]),)
    one = Labelled("a", torch.zeros(16, 128, 16), points)
    with collected():
        (learnt,), (held,), _ = split_tomograms([one], 0.2, np.random.default_rng(0), diameter)
    assert learnt.volume.shape[1] == 20 and held.points[0][:, 1].tolist() == [4, 5, 7]
    assert ("In a, particles held out for validation begin 0.67 diameters" in capsys.readouterr().out) == warned


def test_particles_of_which_none_can_be_held_out_are_refused_before_the_first_step(folder):
    """All at the border, in front of the thinnest part that can be cut off."""
    write_mrc(folder / "a.mrc", np.random.default_rng(0).normal(size=(32, 48, 48)).astype(np.float32), PIXEL)
    rows = dict(rlnTomoName=["a"] * 6, cryodlSpecies=["large"] * 6)
    rows.update({f"rlnCoordinate{axis}": [float(v)] * 6 for axis, v in zip("XYZ", (20, 4, 16))})
    write_tables(folder / "a.star", dict(particles=rows))
    message = train(2, tomograms="a.mrc", coordinates="a.star", diameter="large=100")
    assert "No particle lies in the part that is held out" in message
    assert not (folder / "model.partial").exists()


def test_the_skewness_tells_dark_from_bright():
    volume = torch.randn(32, 32, 32)
    volume[8:16, 8:16, 8:16] -= 4
    assert skewness(volume) < -0.3 < 0.3 < skewness(-volume)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(species=("large", "huge")), "There are 0 examples of the species huge"),
        (dict(diameter=("large=100",)), "has no number for small"),
        (dict(diameter=("large=wide",)), "name=number"),
        (dict(coordinates="none*.star"), "No file matches"),
        (dict(pixel_size=0.01), "must be between"),
    ],
)
def test_inputs_that_do_not_fit_are_told(folder, change, message):
    for seed, name in enumerate("ab"):
        blob_tomogram(folder / f"{name}.mrc", seed, count=5)
    assert message in train(2, **change)


def test_coordinates_outside_of_the_tomogram_are_told(folder):
    blob_tomogram(folder / "a.mrc", 0, count=5)
    table = read_tables("a.star")["particles"]
    table = dict(table, rlnCoordinateX=["300", *list(table["rlnCoordinateX"])[1:]])
    write_tables("a.star", dict(particles=table))
    message = train(2, tomograms="a.mrc", coordinates="a.star")
    assert "1 of 10 particles of a lie outside" in message and "another binning" in message


def test_coordinates_of_other_tomograms_are_told(folder):
    for seed, name in enumerate("ab"):
        blob_tomogram(folder / f"{name}.mrc", seed, count=5)
    assert "the files name b" in train(2, tomograms="a.mrc", coordinates="b.star")


@pytest.mark.parametrize(
    "shape, value, words",
    [
        ((40, 40), 0, "it is an image or a thin stack"),
        ((40, 40, 40), 0, "the same value nearly everywhere"),
        ((40, 40, 40), np.nan, "values that are not finite numbers"),
    ],
)
def test_an_image_an_empty_and_a_broken_volume_are_no_tomograms_and_do_not_end_a_training(folder, shape, value, words):
    for seed, name in enumerate("ab"):
        blob_tomogram(folder / f"{name}.mrc", seed, count=5)
    write_mrc("b.mrc", np.full(shape, value, np.float32), PIXEL)
    result = train(steps=1)
    (skipped,) = result.skipped
    assert skipped.item == "b" and words in skipped.reason
    assert any("of tomograms that were not given, or skipped, are not used (b)" in one for one in result.warnings)


def test_a_model_of_another_contrast_is_told(folder):
    import mrcfile

    for seed, name in enumerate("ab"):
        blob_tomogram(folder / f"{name}.mrc", seed)
    train(steps=10)
    write_mrc("c.mrc", -mrcfile.read("a.mrc"), PIXEL)
    result = command("detect-particles", tomograms="c.mrc", model="model", output="found", control=0)
    assert any("contrast of c.mrc seems to be opposite to that in the training of model" in w for w in result.warnings)
    assert "difference is too large" in command(
        "detect-particles", 2, tomograms="c.mrc", model="model", output="other", pixel_size=100.0
    )
