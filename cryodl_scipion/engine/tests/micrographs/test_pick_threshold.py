# SPDX-License-Identifier: GPL-3.0-or-later
"""pick's thresholds: given, the model's, or one for each micrograph; and what the scores let expect."""

import numpy as np
import pytest
from picking import outputs, pick
from synthetic import blob_project, write_untrained_model

from cryodl.contract import Result
from cryodl.io.coordinates import read_coordinates


def test_accepted_picks_are_the_candidates_that_reach_the_threshold(project):
    pick(project, "--threshold", "0.6")
    for name, path in outputs(project)["coordinates"].items():
        yx, scores = read_coordinates(outputs(project)["candidates"][name])[name]
        accepted, _ = read_coordinates(path)[name]
        assert np.array_equal(accepted, yx[scores >= 0.6])


def test_threshold_0_keeps_every_candidate_and_1_nearly_none(project):
    pick(project, "--threshold", "0")
    for name, path in outputs(project)["coordinates"].items():
        assert np.array_equal(
            read_coordinates(path)[name][0], read_coordinates(outputs(project)["candidates"][name])[name][0]
        )
    every = outputs(project)["picks"]
    assert every > 0 and outputs(project)["threshold"] == 0
    assert pick(project, "--threshold", "1") == 0
    assert outputs(project)["picks"] < every
    assert any("no picks" in w for w in Result.read(project / "result.json").warnings)


def test_without_a_threshold_the_models_is_taken(project):
    pick(project)
    assert outputs(project)["threshold"] == 0.5


def test_the_expected_number_of_particles_is_that_of_the_candidates_and_printed(project, capsys):
    pick(project, "--threshold", "0.6")
    out = outputs(project)
    scores = np.concatenate([read_coordinates(path)[name][1] for name, path in out["candidates"].items()])
    expected = out["expected_particles"]
    assert abs(expected["number"] - scores.sum()) < 0.01 * len(scores)
    assert abs(expected["deviation"] - np.sqrt((scores * (1 - scores)).sum())) < 0.1
    kept = scores[scores >= 0.6]
    assert abs(out["expected"]["precision"] - kept.mean()) < 1e-3
    assert abs(out["expected"]["recall"] - kept.sum() / scores.sum()) < 1e-3
    assert f"Expected particles: {expected['number']:.0f} ± {expected['deviation']:.0f}" in capsys.readouterr().out


def test_rules_choose_a_threshold_for_each_micrograph_alone(project):
    """So that batches of a stream get what one run gets."""
    for rule in ("count", "f1"):
        pick(project, "--threshold-rule", rule, output=rule)
        both = outputs(project)
        pick(project, "--threshold-rule", rule, output=rule + "1", micrographs=[str(project / "mics/mic1.mrc")])
        alone = outputs(project)
        assert alone["thresholds"]["mic1"] == both["thresholds"]["mic1"] == alone["threshold"]
        assert both["thresholds"]["mic0"] != both["thresholds"]["mic1"]
        if rule == "count":
            assert both["picks"] == pytest.approx(both["expected_particles"]["number"], abs=2)
        else:
            assert both["picks"] > both["expected_particles"]["number"]  # F1's best threshold is under the middle


def test_a_given_threshold_goes_before_the_rule(project):
    pick(project, "--threshold-rule", "count", "--threshold", "0.6")
    assert outputs(project)["thresholds"] == {"mic0": 0.6, "mic1": 0.6}


def test_a_guessed_number_that_is_not_needed_is_said(project):
    pick(project)
    before = outputs(project)["picks"]
    assert pick(project, "--expected-particles", "5") == 0
    assert outputs(project)["picks"] == before
    assert any(
        "5 expected particles per micrograph (--expected-particles) were not needed" in w
        for w in Result.read(project / "result.json").warnings
    )


def test_the_models_uncertainty_of_its_threshold_is_said(tmp_path, capsys):
    blob_project(tmp_path, count=1)
    write_untrained_model(tmp_path / "model", threshold_uncertainty=0.043)
    pick(tmp_path)
    assert "threshold 0.5 ± 0.043 (the model's)" in capsys.readouterr().out
    assert outputs(tmp_path)["threshold_uncertainty"] == 0.043


@pytest.mark.parametrize("other", [("--threshold", "0.6"), ("--threshold-rule", "f1")])
def test_the_models_uncertainty_is_not_that_of_another_threshold(tmp_path, capsys, other):
    blob_project(tmp_path, count=1)
    write_untrained_model(tmp_path / "model", threshold_uncertainty=0.043)
    pick(tmp_path, *other)
    assert outputs(tmp_path)["threshold_uncertainty"] is None and "± 0.043" not in capsys.readouterr().out
