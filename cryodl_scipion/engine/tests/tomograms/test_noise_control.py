# SPDX-License-Identifier: GPL-3.0-or-later
"""The answer of segmenters to noise with a tomogram's spectrum, and segmenters that share all but their heads."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from segmenting_data import noise, write_segmenter
from synthetic import write_mrc

from cryodl.contract import Result, SegmentConfig, SegmentOutputs
from cryodl.io.messages import collected
from cryodl.io.model import read_model, write_model
from cryodl.running.cli import main
from cryodl.running.runner import Run
from cryodl.tomograms.commands.segment import _tell
from cryodl.tomograms.segmenters import load_segmenter, predict
from cryodl.tomograms.segmenters.combine import CombinedFeature, combined_scores
from cryodl.tomograms.segmenters.known_size import OWN, boundary_of_size, peaks_of
from cryodl.tomograms.segmenters.predict import NoiseAnswer, lowered, same_spectrum
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
    told = "blob: found in 100 % of noise with a tomogram's spectrum, and in 100 % of the blocks that"
    assert told in capsys.readouterr().out
    assert "In a, noise alone gives more than a third as many voxels of blob as are found" in " ".join(result.warnings)
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
    assert "membrane: found in 0.01 to 0.07 % of noise" in run.summary_sentences[1]
    assert "filament: found in 0 to 0.4 % of noise" in run.summary_sentences[2]
    assert "in 0 to 1.06 % of the blocks" in run.summary_sentences[2]
    assert run.summary_sentences[2].endswith("threshold, by the tomogram's scores: the model's 0.62.")
    assert len(warnings) == 1 and "In t6, t7, noise alone gives" in warnings[0] and "of filament" in warnings[0]


def scores_of(*populations):
    """Scores of Gaussian populations of log odds: (number, mean) each."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(np.concatenate([rng.normal(mean, 0.7, n) for n, mean in populations])).float().sigmoid()


def test_the_boundary_lies_where_scores_of_the_tomogram_leave_those_of_noise_within_the_range():
    noise, found = scores_of((100_000, -6)), scores_of((90_000, -6), (10_000, -1.5))
    answer = NoiseAnswer.none(0.5).with_scores(noise, found)
    parts = answer.parts((-5.0, 0.0))
    assert -4.5 < parts["raised"] < -3 and parts["boundary"] == pytest.approx(1 / (1 + np.exp(-parts["raised"])))
    assert parts["tomogram"] == pytest.approx(0.1, abs=0.005) and parts["noise"] < 0.01
    drawn = lowered(found.clone(), parts["raised"]) >= 0.5
    assert float(drawn.float().mean()) == pytest.approx(parts["tomogram"], abs=1e-3)
    assert answer.parts((-2.0, 0.0))["raised"] == -2.0 and answer.parts((0.5, 1.0))["raised"] == 0.5
    assert "raised" not in answer.parts(None)  # a model that learned from labels of such tomograms
    assert answer.parts(None)["tomogram"] == pytest.approx(float((found >= 0.5).float().mean()))


def test_a_boundary_stays_where_the_tomogram_scores_as_noise_does():
    answer = NoiseAnswer.none(0.5).with_scores(scores_of((50_000, -1)), scores_of((50_000, -1)))
    assert "raised" not in answer.parts((-3.0, -1.0))


FILLED = (5 / 9) ** 3  # a ball of 5 px in one of 9 px


def peaks_of_balls(middle):
    """Peaks of log odds of -6 but for nine balls: `middle` in their middles, falling by one in each px."""
    z, y, x = np.ogrid[:32, :96, :96]
    away = np.sqrt((z - 16) ** 2 + ((y - 6) % 28 - 14) ** 2 + ((x - 6) % 28 - 14) ** 2)
    background = np.random.default_rng(0).normal(-6, 0.3, away.shape)
    return peaks_of(np.maximum(background, middle - away).astype(np.float32), 9.0, FILLED)


def test_a_boundary_by_size_lies_where_sure_things_are_as_large_as_the_feature_is():
    noise, both = peaks_of_balls(-9), (-4.0, 1.0)
    for middle in (2.5, 4.5):  # 5 px from there the log odds are less by 5
        by_size = boundary_of_size(noise, peaks_of_balls(middle), both, middle - 5)
        assert by_size == pytest.approx(middle - 5, abs=0.4)
        higher = boundary_of_size(noise, peaks_of_balls(middle), both, middle - 2)
        assert higher == pytest.approx(by_size + 3 * (1 - OWN))
    # nothing surer than noise; nothing that is large enough
    assert boundary_of_size(noise, noise, both, -2.0) == boundary_of_size(noise, peaks_of_balls(1.0), both, -2.0) == 1.0


def test_an_image_in_place_of_a_tomogram_is_said(tmp_path):
    write_mrc(tmp_path / "image.mrc", noise((1, 48, 48)), 10.0)
    write_segmenter(tmp_path / "model")
    command = ["segment", "--tomograms", str(tmp_path / "image.mrc"), "--model", str(tmp_path / "model")]
    assert (
        main([*command, "--output", str(tmp_path / "out"), "--result", str(tmp_path / "r.json"), "--device", "cpu"])
        == 0
    )
    assert any("has a single slice" in warning for warning in Result.read(tmp_path / "r.json").warnings)


def test_the_size_of_a_feature_counts_for_several_models_of_it_too(monkeypatch):
    scores = [
        torch.from_numpy(rng.normal(-4, 1, (2, 40, 64, 64))).float() for rng in map(np.random.default_rng, (0, 1))
    ]
    for each in scores:
        each[1, 10:30, 20:40, 20:40] += 6
    monkeypatch.setattr(predict, "_block_answers", lambda *_: dict(enumerate(each.sigmoid() for each in scores)))
    segmenter = SimpleNamespace(card=dict(pixel_size=14.0))
    found = SimpleNamespace(grids=[SimpleNamespace(shape=(40, 64, 64))], segmenters=[segmenter, segmenter])
    feature = CombinedFeature("both", (0, 1), ("a", "b"), (0.5, 0.5), (-4.0, 1.0), (140.0, 0.5))
    answer = predict.noise_answers(found, [feature])["both"]
    expected = NoiseAnswer.none(0.5).with_peaks(combined_scores(torch.stack(scores).sigmoid()), (140.0, 0.5), 14.0)
    assert all(np.array_equal(one, other) for one, other in zip(answer.peaks, expected.peaks))


def test_flat_areas_and_thin_tomograms_have_no_peaks():
    odds = np.random.default_rng(0).normal(size=(30, 48, 48)).astype(np.float32)
    odds[:, :24] = -9.21  # masked: the lowest score that there is
    assert 0 < len(peaks_of(odds, 6.5, 0.5)) < 30
    answer = NoiseAnswer.none(0.5).with_peaks(torch.full((2, 4, 48, 48), 0.2), (90.0, 0.5), 14.0)
    assert answer.raised((-3.0, 0.5)) == 0
