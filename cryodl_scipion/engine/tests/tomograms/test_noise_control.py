# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer of segmenters to noise with a tomogram's spectrum, and segmenters that share all but their heads."""

import json

import numpy as np
import pytest
import torch
from segmenting_data import Average, noise, write_segmenter
from synthetic import write_mrc

from cryodl.contract import Result, SegmentConfig, SegmentOutputs
from cryodl.io.messages import collected
from cryodl.io.model import read_model, write_model
from cryodl.io.tomograms import Tomogram
from cryodl.running.cli import main
from cryodl.running.runner import Run
from cryodl.tomograms.commands.segment import _tell
from cryodl.tomograms.segmenters import combine, load_segmenter
from cryodl.tomograms.segmenters.predict import (
    SLOPE,
    ZERO,
    NoiseAnswer,
    TomogramScores,
    lowered,
    noise_answers,
    same_spectrum,
)
from cryodl.tomograms.segmenters.slabs import joined_segmenters

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
    told = "blob: 100 % of the voxels of the blocks that were compared, and 100 % of noise with the same spectrum"
    assert told in capsys.readouterr().out
    assert "In a, noise alone gives more than a third as many voxels of blob as" in " ".join(result.warnings)
    record = json.loads((tmp_path / "out/segment.json").read_text())
    assert record["tomograms"]["a"]["noise"]["blob"]["noise"] == 1.0


def test_each_feature_is_told_of_all_tomograms_and_warned_of_by_one_rule():
    parts = lambda noise, found, **more: dict(noise=noise, tomogram=found, voxels=1000, **more)
    faint, none = parts(0.004, 0.0106, raised=0.5, boundary=0.62), parts(0.0, 0.0)
    noise = {f"t{n}": dict(membrane=parts(0.0001 * n, 0.05), filament=faint if n > 5 else none) for n in range(1, 8)}
    noise["old"] = {}  # of version 0.1.0
    run = Run(SegmentConfig(("t.mrc",), ("m",), "scores"))
    made = SegmentOutputs("scores", {}, ["membrane", "filament"], {}, 10.0, {}, {}, {}, noise)
    with collected() as said:
        _tell(made, [], run)
        warnings = list(said())
    assert "membrane: 5 % of the voxels" in run.summary_sentences[1]
    assert "0.01 to 0.07 % of noise" in run.summary_sentences[1]
    assert "filament: 0 to 1.06 % of the voxels" in run.summary_sentences[2]
    assert "and 0 to 0.4 % of noise" in run.summary_sentences[2]
    assert run.summary_sentences[2].endswith("threshold, by the tomogram's scores: the model's 0.62.")
    assert len(warnings) == 1 and "In t6, t7, noise alone gives" in warnings[0] and "of filament" in warnings[0]


def scores_of(*populations):
    """Scores of Gaussian populations of log odds: (number, mean) each."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.concatenate([rng.normal(mean, 0.7, n) for n, mean in populations])).float().sigmoid()


def answer_to(noise, found):
    return NoiseAnswer.none(0.5).with_scores(scores_of(*noise), scores_of(*found))


def test_the_boundary_follows_the_mean_of_what_is_found_within_the_range():
    noise, found = [(100_000, -6)], [(90_000, -6), (10_000, 3.0)]
    answer = answer_to(noise, found)  # a mean of 3, give or take STEP
    for level, most in ((3.5, 1.0), (2.5, 2.0)):
        raised = answer.raised((level, -2.0, most))
        assert raised == pytest.approx(SLOPE * (3 - level), abs=0.1)
        parts = answer.parts((level, -2.0, most))
        assert parts["boundary"] == pytest.approx(1 / (1 + np.exp(-raised)))
        drawn = lowered(scores_of(*found), raised) >= 0.5
        assert float(drawn.float().mean()) == pytest.approx(parts["tomogram"], abs=1e-3)
    assert answer.raised((4.5, -2.0, 0.0)) == -2.0 and answer.raised((1.0, -2.0, 0.5)) == 0.5
    assert "raised" not in answer.parts(None)  # a model that learned from labels of such tomograms
    assert answer.parts(None)["tomogram"] == pytest.approx(0.1, abs=1e-3)


def test_a_boundary_is_not_lowered_where_little_is_found_or_noise_gives_as_much():
    rule, found = (4.0, -3.0, 1.0), [(97_000, -6), (3_000, 3.0)]
    assert answer_to([(99_200, -6), (800, 3.0)], found).raised(rule) == pytest.approx(-2, abs=0.1)
    assert answer_to([(99_000, -6), (1_000, 3.0)], found).raised(rule) == 0.0
    assert answer_to([(99_000, -6), (1_000, 3.0)], found).raised((2.0, -3.0, 1.0)) == 1.0
    assert answer_to([(100_000, -6)], [(99_970, -6), (30, 3.0)]).raised(rule) == 0.0


@pytest.mark.parametrize("first", [10, 58])
def test_what_lies_above_or_below_the_middle_is_compared_too(first, tmp_path):
    volume = noise((80, 48, 48))
    volume[first : first + 10] += 6.0
    write_mrc(tmp_path / "a.mrc", volume, 10.0)
    segmenter = Average(scale=0.25)
    found = TomogramScores(Tomogram(str(tmp_path / "a.mrc")), 10.0, [segmenter], 1.0)
    answer = noise_answers(found, combine.combined_features([segmenter.card], ["average"], "combined"))["blob"]
    assert 0.05 < answer.tomogram[ZERO] / answer.voxels < 0.2


def test_an_image_in_place_of_a_tomogram_is_said(tmp_path):
    write_mrc(tmp_path / "image.mrc", noise((1, 48, 48)), 10.0)
    write_segmenter(tmp_path / "model")
    command = ["segment", "--tomograms", str(tmp_path / "image.mrc"), "--model", str(tmp_path / "model")]
    assert (
        main([*command, "--output", str(tmp_path / "out"), "--result", str(tmp_path / "r.json"), "--device", "cpu"])
        == 0
    )
    assert any("has a single slice" in warning for warning in Result.read(tmp_path / "r.json").warnings)
