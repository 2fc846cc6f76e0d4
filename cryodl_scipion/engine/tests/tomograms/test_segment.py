# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl segment`: what it writes, skips, refuses and does not do twice, and that a stopped run continues."""

import json

import mrcfile
import numpy as np
import pytest
import torch
from segmenting_data import noise, write_segmenter
from synthetic import lopsided_density, write_mrc

from cryodl.contract import Failure, Result
from cryodl.running.cli import main

SHAPE = (10, 40, 56)


def segment(folder, *more, tomograms=None, models=("model",)):
    """Exit code of the command. more: further arguments."""
    return main(
        [
            "segment",
            "--tomograms",
            *(tomograms or [str(folder / "tomo/*")]),
            "--model",
            *(str(folder / m) for m in models),
            "--output",
            str(folder / "out"),
            *"--device cpu --threads 1 --result".split(),
            str(folder / "result.json"),
            *map(str, more),
        ]
    )


def read(path):
    """Values and pixel size of a volume; its file is checked to be a valid one."""
    assert mrcfile.validate(str(path))
    with mrcfile.open(path) as mrc:
        return mrc.data.copy(), float(mrc.voxel_size.x)


@pytest.fixture
def tomo(tmp_path):
    """A folder with tomo/a.mrc, tomo/b.rec and a model of random weights."""
    (tmp_path / "tomo").mkdir()
    for seed, name in enumerate(("a.mrc", "b.rec")):
        write_mrc(tmp_path / "tomo" / name, noise(SHAPE, seed), 10.0)
    write_segmenter(tmp_path / "model")
    return tmp_path


def test_what_a_field_around_a_cell_is_filled_with_changes_neither_scores_nor_the_contrast(tomo, capsys):
    cell = noise((10, 100, 120), 0)
    for name, value in (("low", -30.0), ("high", 30.0)):
        field = np.full((10, 140, 180), value, np.float32)
        field[:, 40:, 60:] = cell
        write_mrc(tomo / "tomo" / f"{name}.mrc", field, 10.0)
    assert segment(tomo, tomograms=[str(tomo / "tomo" / f"{name}.mrc") for name in ("low", "high")]) == 0
    low, high = (mrcfile.read(tomo / f"out/{name}__blob.mrc").astype(np.float32) for name in ("low", "high"))
    assert np.abs(low - high).max() < 1e-3 and "protein seems to be bright" not in capsys.readouterr().out


def test_a_volume_of_scores_for_each_tomogram_is_written_once(tomo):
    assert segment(tomo) == 0
    outputs = Result.read(tomo / "result.json").outputs
    assert outputs["files"] == {n: {"blob": str(tomo / f"out/{n}__blob.mrc")} for n in "ab"}
    assert outputs["pixel_size"] == 10 and outputs["thresholds"] == {"blob": 0.5} and not outputs["agreement"]
    values, pixel_size = read(tomo / "out/a__blob.mrc")
    assert values.shape == SHAPE and values.dtype == np.float16 and pixel_size == 10
    assert 0 <= values.min() < values.max() <= 1 and values.std() > 0.01
    record = json.loads((tomo / "out/segment.json").read_text())
    assert [f["name"] for f in record["features"]] == ["blob"] and record["features"][0]["annotators"] == ["me"]
    entry = record["tomograms"]["b"]
    assert entry["shape"] == list(SHAPE) and entry["files"] == {"blob": "b__blob.mrc"}
    assert sorted(p.name for p in (tomo / "out").iterdir()) == ["a__blob.mrc", "b__blob.mrc", "segment.json"]

    write_mrc(tomo / "tomo/c.mrc", noise(SHAPE, 7), 10.0)
    (tomo / "out/b__blob.mrc").unlink()
    before = (tomo / "out/a__blob.mrc").stat().st_mtime_ns
    assert segment(tomo) == 0
    assert (tomo / "out/a__blob.mrc").stat().st_mtime_ns == before
    assert list(Result.read(tomo / "result.json").outputs["files"]) == ["a", "b", "c"]
    assert (tomo / "out/b__blob.mrc").exists() and (tomo / "out/c__blob.mrc").exists()


def test_int8_scores_are_hundredths(tomo):
    assert segment(tomo) == 0
    exact, _ = read(tomo / "out/a__blob.mrc")
    assert segment(tomo, "--scores", "int8", "--output", tomo / "small") == 0
    found, _ = read(tomo / "small/a__blob.mrc")
    assert found.dtype == np.int8 and np.abs(found / 100 - exact.astype(float)).max() < 0.0056


@pytest.mark.parametrize("kind", ["int8", "int16", "uint16", "float16", "float32"])
def test_every_kind_of_tomogram_gives_the_same_scores(tomo, kind):
    whole = np.rint(noise(SHAPE) * 20 + 60).clip(0, 127)
    write_mrc(tomo / "tomo/a.mrc", whole.astype(np.float32), 10.0)
    write_mrc(tomo / "tomo/b.rec", whole.astype(kind), 10.0)
    assert segment(tomo) == 0
    assert np.array_equal(read(tomo / "out/a__blob.mrc")[0], read(tomo / "out/b__blob.mrc")[0])


def test_bad_tomograms_are_left_out_and_counted(tomo):
    (tomo / "tomo/short.mrc").write_bytes((tomo / "tomo/a.mrc").read_bytes()[:5000])
    write_mrc(tomo / "tomo/empty.mrc", np.zeros(SHAPE, np.float32), 10.0)
    holes = noise(SHAPE)
    holes[9, 3, 3] = np.nan
    write_mrc(tomo / "tomo/holes.mrc", holes, 10.0)
    write_mrc(tomo / "tomo/huge.mrc", noise(SHAPE), 200.0)
    (tomo / "tomo/meta.zarr").mkdir()  # metadata of an array without its sizes
    (tomo / "tomo/meta.zarr/.zarray").write_text('{"zarr_format": 2, "shape": 7}', encoding="utf-8")
    assert segment(tomo) == 0
    result = Result.read(tomo / "result.json")
    assert {s.item: s.reason.split(" ")[0] for s in result.skipped}.keys() == {
        "short",
        "empty",
        "holes",
        "huge",
        "meta",
    }
    assert list(result.outputs["files"]) == ["a", "b"] and "5 tomograms were skipped" in " ".join(result.warnings)
    assert "was trained at 10 Å/px" in next(s.reason for s in result.skipped if s.item == "huge")
    assert sorted(p.name for p in (tomo / "out").iterdir()) == ["a__blob.mrc", "b__blob.mrc", "segment.json"]

    assert segment(tomo, "--output", tomo / "none", tomograms=[str(tomo / "tomo/empty.mrc")]) == 2
    failure = Failure.read(tomo / "failure.json")
    assert failure.kind == "all skipped" and "same value" in failure.message


def test_pixel_sizes_that_differ_are_resampled_and_said(tomo):
    write_mrc(tomo / "tomo/b.rec", noise(SHAPE), 24.0)
    write_mrc(tomo / "tomo/c.mrc", noise(SHAPE), 0.0)  # says nothing: whose pixel size it has nobody knows
    assert segment(tomo) == 0
    result = Result.read(tomo / "result.json")
    words = " ".join(result.warnings)
    assert [s.item for s in result.skipped] == ["c"] and "no pixel size (it says 0" in result.skipped[0].reason
    assert "resampled to 10 Å/px" in " ".join(result.summary)
    assert "was trained on tomograms of 10 Å/px, but some have 24" in words
    assert result.outputs["pixel_sizes"] == {"a": 10, "b": 24}
    values, pixel_size = read(tomo / "out/b__blob.mrc")
    assert values.shape == SHAPE and pixel_size == 24


def test_a_folder_of_other_models_or_tomograms_is_refused(tomo):
    assert segment(tomo) == 0
    write_segmenter(tomo / "other", seed=1)
    cases = [
        ((), ("other",), "made with other models, or the same in another order (see"),
        (("--scores", "int8"), ("model",), "made with another kind of scores (--scores) (see"),
        (("--pixel-size", "12"), ("model",), "another tomogram with the name a:"),
        ((), ("model", "model"), "are the same"),
    ]
    for more, models, words in cases:
        assert segment(tomo, *more, models=models) == 2
        assert words in Failure.read(tomo / "failure.json").message
    (tomo / "out/segment.json").unlink()
    assert segment(tomo) == 2 and "does not name it" in Failure.read(tomo / "failure.json").message
    (tomo / "more").mkdir()
    write_mrc(tomo / "more/a.mrc", noise(SHAPE), 10.0)
    assert segment(tomo, "--output", tomo / "new", tomograms=[str(tomo / "tomo/a.mrc"), str(tomo / "more/a.mrc")]) == 2
    assert "Two tomograms are called a" in Failure.read(tomo / "failure.json").message and not (tomo / "new").exists()


def test_tomograms_of_an_earlier_version_keep_no_thresholds_of_their_own_beside_new_ones(tomo):
    """It found the thresholds in blocks at middle height alone; the record told only the rule."""
    card = json.loads((tomo / "model/card.json").read_text())
    (tomo / "model/card.json").write_text(json.dumps(dict(card, boundary_rule=[2.6, -3.5, 0.0])))
    assert segment(tomo, tomograms=[str(tomo / "tomo/a.mrc")]) == 0
    record = json.loads((tomo / "out/segment.json").read_text())
    record["settings"]["boundaries"] = [[2.6, -3.5, 0.0]]
    (tomo / "out/segment.json").write_text(json.dumps(record))
    assert segment(tomo) == 2
    assert "made with another way to choose the thresholds" in Failure.read(tomo / "failure.json").message


def test_a_stopped_run_continues_in_the_middle_of_a_tomogram(tomo, monkeypatch):
    from cryodl.tomograms.segmenters import predict, slabs

    assert segment(tomo, "--output", tomo / "whole") == 0
    monkeypatch.setattr(slabs, "THICKNESSES", (4,))
    write, writes = predict.TomogramScores._slice, []

    def stopping(self, z):
        writes.append(z)
        if len(writes) == 7:
            raise KeyboardInterrupt
        return write(self, z)

    monkeypatch.setattr(predict.TomogramScores, "_slice", stopping)
    assert segment(tomo) == 130
    assert not (tomo / "out/a__blob.mrc").exists() and not (tomo / "out/segment.json").exists()
    assert segment(tomo) == 0
    assert writes == [0, 1, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8, 9] + list(range(10))
    for name in "ab":
        file = f"{name}__blob.mrc"
        with mrcfile.open(tomo / "whole" / file) as whole, mrcfile.open(tomo / "out" / file) as mrc:
            assert np.array_equal(whole.data, mrc.data)
            assert mrc.header.dmax == whole.header.dmax and mrc.header.rms == pytest.approx(whole.header.rms)


def test_work_on_a_tomogram_that_was_made_anew_is_not_continued(tomo, monkeypatch):
    from cryodl.tomograms.segmenters import predict, slabs

    monkeypatch.setattr(slabs, "THICKNESSES", (4,))
    original = predict.TomogramScores._slice

    def stopping(self, z):
        if z == 5:
            raise KeyboardInterrupt
        return original(self, z)

    monkeypatch.setattr(predict.TomogramScores, "_slice", stopping)
    assert segment(tomo) == 130
    monkeypatch.setattr(predict.TomogramScores, "_slice", original)
    write_mrc(tomo / "tomo/a.mrc", noise(SHAPE, 50), 10.0)
    assert segment(tomo) == 0
    assert segment(tomo, "--output", tomo / "fresh") == 0
    assert np.array_equal(read(tomo / "out/a__blob.mrc")[0], read(tomo / "fresh/a__blob.mrc")[0])


def test_slices_whose_threshold_was_found_by_other_blocks_are_not_continued(tomo, monkeypatch):
    """The slices of an earlier version would have one threshold, and those that follow another one."""
    from cryodl.tomograms.segmenters import predict, slabs

    monkeypatch.setattr(slabs, "THICKNESSES", (4,))
    original, slices = predict.TomogramScores._slice, []

    def stopping(self, z):
        slices.append(z)
        if len(slices) == 7:
            raise KeyboardInterrupt
        return original(self, z)

    monkeypatch.setattr(predict.TomogramScores, "_slice", stopping)
    assert segment(tomo) == 130
    progress = json.loads((tomo / "out/a.partial/progress.json").read_text())
    progress["key"].pop("places", None)
    (tomo / "out/a.partial/progress.json").write_text(json.dumps(progress))
    assert segment(tomo) == 0 and slices[7] == 0


def test_a_finished_tomogram_that_was_made_anew_is_segmented_again_and_another_one_refused(tomo):
    assert segment(tomo) == 0
    old, other = read(tomo / "out/a__blob.mrc")[0], read(tomo / "out/b__blob.mrc")[0]
    write_mrc(tomo / "tomo/a.mrc", noise(SHAPE, 50), 10.0)
    assert segment(tomo) == 0 and segment(tomo, "--output", tomo / "fresh") == 0
    new = read(tomo / "out/a__blob.mrc")[0]
    assert np.array_equal(new, read(tomo / "fresh/a__blob.mrc")[0]) and not np.array_equal(new, old)
    assert np.array_equal(other, read(tomo / "out/b__blob.mrc")[0])
    (tomo / "more").mkdir()
    write_mrc(tomo / "more/a.mrc", noise(SHAPE, 60), 10.0)
    assert segment(tomo, tomograms=[str(tomo / "more/a.mrc")]) == 2
    assert "another tomogram with the name a:" in Failure.read(tomo / "failure.json").message
    assert np.array_equal(new, read(tomo / "out/a__blob.mrc")[0])


def test_scores_of_a_tomogram_that_broke_since_do_not_stay(tomo):
    assert segment(tomo) == 0
    write_mrc(tomo / "tomo/a.mrc", np.zeros(SHAPE, np.float32), 10.0)  # can be opened
    (tomo / "tomo/b.rec").write_bytes((tomo / "tomo/b.rec").read_bytes()[:5000])  # cannot
    write_mrc(tomo / "tomo/c.mrc", noise(SHAPE, 7), 10.0)
    assert segment(tomo) == 0
    assert [s.item for s in Result.read(tomo / "result.json").skipped] == ["b", "a"]
    assert list(json.loads((tomo / "out/segment.json").read_text())["tomograms"]) == ["c"]
    assert sorted(p.name for p in (tomo / "out").iterdir()) == ["c__blob.mrc", "segment.json"]


def test_a_record_that_names_a_file_elsewhere_has_nothing_removed(tomo):
    assert segment(tomo) == 0
    record = json.loads((tomo / "out/segment.json").read_text())
    record["tomograms"]["a"]["files"]["blob"] = "../tomo/b.rec"
    (tomo / "out/segment.json").write_text(json.dumps(record))
    write_mrc(tomo / "tomo/a.mrc", noise(SHAPE, 50), 10.0)
    segment(tomo)
    assert (tomo / "tomo/b.rec").exists()


def test_what_the_user_keeps_under_the_name_of_unfinished_work_stays(tomo):
    (tomo / "out/a.partial").mkdir(parents=True)
    (tomo / "out/a.partial/thesis.txt").write_text("years")
    assert segment(tomo) == 2 and "contains other files" in Failure.read(tomo / "failure.json").message
    assert (tomo / "out/a.partial/thesis.txt").read_text() == "years"


def test_several_annotators_are_combined_by_their_log_odds_and_compared(tomo):
    write_segmenter(tomo / "hers", seed=3, annotator="her")
    write_segmenter(tomo / "wall", seed=4, feature="membrane")
    models = ("model", "wall", "hers")
    assert segment(tomo, "--annotators", "each", "--output", tomo / "each", models=models) == 0
    each = Result.read(tomo / "result.json").outputs
    assert each["features"] == ["blob@me", "membrane", "blob@her"]
    assert segment(tomo, models=models) == 0
    outputs = Result.read(tomo / "result.json").outputs
    assert outputs["features"] == ["blob", "membrane"] and outputs["agreement"] == each["agreement"]
    mine, hers = (read(tomo / f"each/a__blob@{who}.mrc")[0].astype(float) for who in ("me", "her"))
    odds = lambda p: np.log(p / (1 - p))
    combined = 1 / (1 + np.exp(-(odds(mine) + odds(hers)) / 2))
    assert np.abs(read(tomo / "out/a__blob.mrc")[0].astype(float) - combined).max() < 2e-3

    both = [
        np.concatenate([read(tomo / f"each/{n}__blob@{who}.mrc")[0].astype(float).ravel() for n in "ab"])
        for who in ("me", "her")
    ]
    metrics = outputs["agreement"]["blob"]
    assert metrics["annotators"] == ["me", "her"]
    above = [b >= 0.5 for b in both]
    assert metrics["dice"][0][1] == pytest.approx(
        2 * (above[0] & above[1]).sum() / (above[0].sum() + above[1].sum()), abs=1e-5
    )


def test_two_volumes_of_one_name_are_refused(tomo):
    write_segmenter(tomo / "again", seed=3)
    assert segment(tomo, "--annotators", "each", models=("model", "again")) == 2
    assert "both of blob by me" in Failure.read(tomo / "failure.json").message
    write_segmenter(tomo / "odd", seed=4, feature="a/b")
    assert segment(tomo, models=("odd",)) == 2 and "'a/b'" in Failure.read(tomo / "failure.json").message
    assert not (tomo / "out").exists()


def test_the_combined_threshold_belongs_to_the_combined_score():
    from cryodl.tomograms.segmenters.combine import CombinedFeature, combined_scores

    thresholds = (0.3, 0.6)
    scores = torch.tensor(thresholds)[:, None, None]
    both = CombinedFeature("blob", (0, 1), ("me", "her"), thresholds)
    assert both.threshold == pytest.approx(float(combined_scores(scores)), abs=1e-6)
    assert CombinedFeature("blob", (0,), ("me",), (0.3,)).threshold == 0.3


def test_models_that_find_nothing_agree_about_nothing():
    from cryodl.tomograms.segmenters.combine import Agreement

    agreement = Agreement.none(2)
    agreement.add(torch.zeros(2, 4, 4), (0.5, 0.5))
    assert agreement.metrics(("a", "b"))["dice"] == [[None, None], [None, None]]
    assert not Agreement.from_dict(json.loads(json.dumps(agreement.to_dict()))).both.any()


@pytest.mark.parametrize("seed", range(3))
def test_a_tomogram_with_turned_contrast_is_named_and_a_normal_one_is_not(tmp_path, seed):
    write_mrc(tmp_path / "map.mrc", lopsided_density(), 5.0)
    cell = "--size 96 --thickness 48 --pixel-size 12 --copies 10 --vesicles 1 --membranes 1 --device cpu --threads 1"
    words = ["--structures", str(tmp_path / "map.mrc"), "--seed", str(seed), "--output", str(tmp_path / "cells")]
    assert main(["simulate-tomograms", *words, *cell.split()]) == 0
    (tmp_path / "tomo").mkdir()
    image, pixel_size = read(next((tmp_path / "cells/tomograms").glob("*.mrc")))
    write_mrc(tmp_path / "tomo/normal.mrc", image, pixel_size)
    write_mrc(tmp_path / "tomo/turned.mrc", -image, pixel_size)
    write_segmenter(tmp_path / "model", pixel_size=12.0, trained_pixel_size=12.0)
    assert segment(tmp_path) == 0
    said = [one for one in Result.read(tmp_path / "result.json").warnings if "protein seems to be bright" in one]
    assert len(said) == 1 and "turned.mrc" in said[0] and "by -1: the shipped models find clearly less" in said[0]


def test_a_model_that_learnt_from_bright_protein_names_the_dark_one(tmp_path):
    (tmp_path / "tomo").mkdir()
    image = noise((32, 64, 64))
    image[8:24, 20:32, 20:32] -= 8
    write_mrc(tmp_path / "tomo/dark.mrc", image, 10.0)
    write_segmenter(tmp_path / "model", skew=0.4)
    assert segment(tmp_path) == 0
    assert "dark.mrc seems to be opposite" in " ".join(Result.read(tmp_path / "result.json").warnings)
