# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer of segmenters to noise with a tomogram's spectrum, and segmenters that share all but their heads."""

import json

import numpy as np
import pytest
import torch
from segmenting_data import noise, write_segmenter
from synthetic import write_mrc

from cryodl.cli import main
from cryodl.contract import Result
from cryodl.io.model import read_model, write_model
from cryodl.io.tomograms import Tomogram
from cryodl.tomograms.segmenters import load_segmenter
from cryodl.tomograms.segmenters.noise_control import NoiseAnswer, lowered, same_spectrum
from cryodl.tomograms.segmenters.segmenter import joined_segmenters

CPU = torch.device("cpu")


def test_noise_of_the_same_spectrum_has_the_same_power_at_every_scale_and_no_structure():
    z, y, x = np.meshgrid(*[np.arange(32)] * 3, indexing="ij")
    ball = ((z - 16) ** 2 + (y - 16) ** 2 + (x - 16) ** 2 < 64).astype(np.float32)
    made = same_spectrum(torch.from_numpy(ball), np.random.default_rng(0)).numpy()
    assert made.std() == pytest.approx(ball.std(), rel=1e-4) and made.mean() == pytest.approx(ball.mean(), rel=1e-3)
    rings = lambda v: np.abs(np.fft.rfftn(v))[:6, :6, 1:6].mean(axis=(0, 1))
    assert np.allclose(rings(made), rings(ball), rtol=0.5)
    skewness = lambda v: float((((v - v.mean()) / v.std()) ** 3).mean())
    assert skewness(ball) > 3 and abs(skewness(made)) < 1


@pytest.mark.parametrize("network", ["unet", "unet3d", "unet16"])
def test_models_that_differ_in_their_heads_alone_answer_together_what_each_answers(network, tmp_path):
    first = write_segmenter(tmp_path / "one", network, feature="one")
    card, weights = read_model(first)
    (tmp_path / "two").mkdir()
    weights["head.weight"] = -weights["head.weight"]
    card = dict(card, name="two", feature="two", calibration=[2.0, 0.3])
    write_model(
        tmp_path / "two", {k: v for k, v in card.items() if k not in ("format_version", "weights_sha256")}, weights
    )
    write_segmenter(tmp_path / "other", network, seed=1, feature="other")
    segmenters = [load_segmenter(tmp_path / name, CPU) for name in ("one", "other", "two")]
    groups = joined_segmenters(segmenters)
    assert [numbers for numbers, _ in groups] == [(0, 2), (1,)]
    slab = torch.from_numpy(noise((2 * segmenters[0].context + 3, 24, 40)))
    together = groups[0][1].scores(slab)
    for number, scores in zip((0, 2), together):
        assert torch.allclose(scores, segmenters[number].scores(slab), atol=0.02)


def test_a_run_says_what_its_models_find_in_noise(tmp_path, capsys):
    write_mrc(tmp_path / "a.mrc", noise((12, 48, 48)), 10.0)
    write_segmenter(tmp_path / "model", calibration=[0.0, 3.0])  # everything is the feature
    command = ["segment", "--tomograms", str(tmp_path / "a.mrc"), "--model", str(tmp_path / "model")]
    assert (
        main([*command, "--output", str(tmp_path / "out"), "--result", str(tmp_path / "r.json"), "--device", "cpu"])
        == 0
    )
    result = Result.read(tmp_path / "r.json")
    assert result.outputs["noise"] == {"a": {"blob": {"noise": 1.0, "tomogram": 1.0, "voxels": 12 * 48 * 48}}}
    assert "a, blob: the model finds the feature in 100 % of noise" in capsys.readouterr().out
    assert any("may be noise" in warning for warning in result.warnings)
    record = json.loads((tmp_path / "out/segment.json").read_text())
    assert record["tomograms"]["a"]["noise"]["blob"]["noise"] == 1.0


def test_a_boundary_is_raised_to_the_limit_where_noise_has_more_than_a_third_of_what_is_found():
    noise, found = torch.linspace(0, 0.8, 1000), torch.linspace(0, 1, 1000)
    answer = NoiseAnswer.none(0.5).with_scores(noise, found)
    parts = answer.parts(0.01)  # 1 - t / 0.8 of the noise reach t: 1 % is left at 0.792
    assert parts["boundary"] == pytest.approx(0.792, abs=0.01)
    assert parts["noise_before"] == pytest.approx(0.375, abs=2e-3)
    assert parts["noise"] <= 0.01 and parts["voxels"] == 1000
    fewer = NoiseAnswer.none(0.5).with_scores(torch.linspace(0, 0.55, 1000), found)  # 9 % of noise, 50 % found
    assert "raised" not in fewer.parts(0.01)
    assert answer.parts(None) == answer.parts(1.0) == {"noise": 0.375, "tomogram": 0.5, "voxels": 1000}
    drawn = lowered(found.clone(), parts["raised"]) >= 0.5
    assert float(drawn.float().mean()) == pytest.approx(parts["tomogram"], abs=2e-3)


def test_what_is_no_stronger_than_in_noise_is_not_drawn(tmp_path, capsys):
    write_mrc(tmp_path / "a.mrc", noise((12, 48, 48)), 10.0)
    write_segmenter(tmp_path / "model", calibration=[0.0, 3.0])  # everything is the feature
    command = ["segment", "--tomograms", str(tmp_path / "a.mrc"), "--model", str(tmp_path / "model"), "--device", "cpu"]
    command += ["--noise-limit", "0.05", "--output", str(tmp_path / "out"), "--result", str(tmp_path / "r.json")]
    assert main(command) == 0
    result = Result.read(tmp_path / "r.json")
    parts = result.outputs["noise"]["a"]["blob"]
    assert parts["noise"] == 0 and parts["noise_before"] == 1 and parts["boundary"] > 0.95
    assert (Tomogram(result.outputs["files"]["a"]["blob"]).raw() < 0.5).all()
    assert any("regard the feature as not found" in warning for warning in result.warnings)
    assert main([*command[:-4], "--output", str(tmp_path / "out"), "--noise-limit", "100"]) != 0
    assert "limit in noise (--noise-limit)" in capsys.readouterr().err


def test_an_image_in_place_of_a_tomogram_is_said(tmp_path):
    write_mrc(tmp_path / "image.mrc", noise((1, 48, 48)), 10.0)
    write_segmenter(tmp_path / "model")
    command = ["segment", "--tomograms", str(tmp_path / "image.mrc"), "--model", str(tmp_path / "model")]
    assert (
        main([*command, "--output", str(tmp_path / "out"), "--result", str(tmp_path / "r.json"), "--device", "cpu"])
        == 0
    )
    assert any("has a single slice" in warning for warning in Result.read(tmp_path / "r.json").warnings)
