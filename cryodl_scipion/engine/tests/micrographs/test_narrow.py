# SPDX-License-Identifier: GPL-3.0-or-later
"""Candidates narrower than the particles of their set get lower scores."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from cryodl.contract import PickConfig, read_card
from cryodl.core.calibration import logit
from cryodl.io.model import find_model
from cryodl.micrographs.pickers.pick_record import agree_with_folder, settle
from cryodl.micrographs.pickers.thresholds import Narrow, fit_narrow, lower_narrow

RAW = np.array([0.2, 0.5, 0.9])


def _settings(tmp_path):
    model = find_model("general", "picker")
    config = PickConfig(micrographs=("m.mrc",), pixel_size=2.0, model="general", output=str(tmp_path), avoid="nothing")
    return settle(config, read_card(model, "picker"), model)


def test_narrow_candidates_lose_log_odds_and_the_others_keep_their_scores():
    np.testing.assert_allclose(lower_narrow(RAW, np.array([1.0, 1.2, 2.0]), Narrow(3.0)), RAW, rtol=1e-9)
    lost = logit(RAW) - logit(lower_narrow(RAW, np.full(3, np.exp(-0.5)), Narrow(3.0)))
    np.testing.assert_allclose(lost, 1.5, rtol=1e-4)


def test_the_slope_by_which_candidates_were_drawn_is_found():
    rng = np.random.default_rng(3)
    odds, sizes = rng.normal(0, 2, 20000), np.exp(rng.normal(-0.1, 0.2, 20000))
    hit = rng.random(20000) < 1 / (1 + np.exp(-2 * (odds + 4 * np.minimum(np.log(sizes), 0))))
    rule = fit_narrow(hit, 1 / (1 + np.exp(-odds)), sizes, (1.0, 0.5))
    assert rule == pytest.approx((4, 2, -0.5), rel=0.1, abs=0.1), (
        "with it, the calibration (1, 0.5) is the one they were drawn by"
    )


def test_few_candidates_change_nothing():
    rng = np.random.default_rng(4)
    hit, raw, sizes = rng.random(2000) < 0.5, rng.random(2000), np.exp(rng.normal(0, 0.2, 2000))
    none = fit_narrow(hit[:15], raw[:15], sizes[:15], (1.0, 0.0))
    assert none == Narrow()
    np.testing.assert_allclose(lower_narrow(RAW, np.full(3, 0.2), none), RAW, rtol=1e-4)


def test_a_folder_of_picks_keeps_the_scores_that_it_was_begun_with(tmp_path):
    mine = _settings(tmp_path)
    assert mine.narrow and mine.typical_size is None
    (tmp_path / "pick.json").write_text(json.dumps({"weights_sha256": mine.weights_sha256, **_kept(mine)}))
    assert agree_with_folder(Path(tmp_path), mine, False).narrow is None
    record = {"weights_sha256": mine.weights_sha256, **_kept(mine), "narrow": [2.5, 1.0, -0.5]}
    (tmp_path / "pick.json").write_text(json.dumps(record))
    assert agree_with_folder(Path(tmp_path), mine, False).narrow == [2.5, 1.0, -0.5]


def test_a_folder_that_was_begun_before_areas_were_avoided_says_so(tmp_path):
    mine = _settings(tmp_path)
    (tmp_path / "pick.json").write_text(json.dumps({"weights_sha256": mine.weights_sha256, **_kept(mine)}))
    (tmp_path / "candidates").mkdir()
    (tmp_path / "candidates" / "m.star").touch()
    assert agree_with_folder(Path(tmp_path), mine, False).contrast == "dark"
    with pytest.raises(ValueError, match=r"avoid nothing \(now contamination\). Choose another --output"):
        agree_with_folder(Path(tmp_path), dataclasses.replace(mine, avoid="contamination"), False)
    known = {key: value for key, value in _kept(mine).items() if key != "contrast"}  # then all was dark
    (tmp_path / "pick.json").write_text(json.dumps({"weights_sha256": mine.weights_sha256, **known}))
    with pytest.raises(ValueError, match=r"parameters: contrast dark \(now bright\)\. "):
        agree_with_folder(Path(tmp_path), dataclasses.replace(mine, contrast="bright"), False)


def _kept(mine):
    """What a record of an earlier version holds."""
    return dict(
        pixel_size=mine.pixel_size,
        particle_diameter=None,
        minimum_distance=None,
        border=mine.border,
        contrast="dark",
        size=dict(diameter=150.0, spread=0.1, particles=50, micrographs=3),
    )
