# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped general model on simulated micrographs of an assembly that it did not learn from, with nothing given."""

import numpy as np
import pytest
import torch
from synthetic import write_mrc

from cryodl.contract import Result
from cryodl.core.matching import match_picks, score_matched
from cryodl.core.optics import Optics
from cryodl.io.coordinates import read_coordinates
from cryodl.micrographs.byhand.asking import AskSession
from cryodl.micrographs.byhand.questions import NO, YES, read_questions
from cryodl.micrographs.byhand.store import HandPicks
from cryodl.running.cli import main
from cryodl.simulate.micrographs import Surroundings, particle_diameter, simulate_micrograph
from cryodl.simulate.pool import random_assembly

PIXEL_SIZE, EXTENT_PX, FAINT = 4.0, 44, 0.012


def _scene(folder, snr):
    """A micrograph of particles about 176 Å wide, their centres, and their diameter in Å."""
    rng = np.random.default_rng(20261)
    density = random_assembly(EXTENT_PX, rng)[1]
    diameter = particle_diameter(density, PIXEL_SIZE)
    made = simulate_micrograph(
        density,
        PIXEL_SIZE,
        (640, 700),
        70,
        snr,
        Optics(16000, 15800, 30.0, 300.0, 2.7, 0.1),
        rng,
        diameter / PIXEL_SIZE,
        Surroundings(minimum_distance=0.9, ice=1.0),
    )
    write_mrc(folder / "m.mrc", made.image.numpy(), PIXEL_SIZE)
    return folder, made.centres_yx, diameter


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    return _scene(tmp_path_factory.mktemp("crowd"), 0.2)


@pytest.fixture(scope="module")
def faint(tmp_path_factory):
    return _scene(tmp_path_factory.mktemp("faint"), FAINT)


def _pick(folder, *more, out="out"):
    code = main(
        [
            "pick",
            "--micrographs",
            str(folder / "*.mrc"),
            "--pixel-size",
            str(PIXEL_SIZE),
            "--model",
            "general",
            "--output",
            str(folder / out),
            *"--device cpu --threads 1 --result".split(),
            str(folder / "result.json"),
            *more,
        ]
    )
    assert code == 0
    return Result.read(folder / "result.json")


def _scores(folder, centres, diameter, out):
    ((yx, scores),) = read_coordinates(folder / out / "m.star").values()
    return score_matched(match_picks(yx, centres, diameter / PIXEL_SIZE / 4), scores, len(centres))


def _f1(*given):
    return _scores(*given).f1


def test_particles_are_found_with_nothing_given(crowd, capsys):
    folder, centres, diameter = crowd
    outputs = _pick(folder).outputs
    assert outputs["picked_diameter"] == pytest.approx(diameter, rel=0.15)
    assert outputs["state"] == "clear" and outputs["questions"] is None
    f1 = _f1(folder, centres, diameter, "out")
    assert f1 > 0.8
    assert outputs["expected"] is None or abs(outputs["expected"]["f1"] - f1) < 0.1
    _pick(folder)  # again: the size is known
    assert f"already picked; particle diameter {outputs['picked_diameter']:.4g} Å." in capsys.readouterr().out


@pytest.mark.parametrize("factor", [0.6, 1.6])
def test_a_diameter_stated_wrong_is_said_and_costs_little(crowd, factor):
    folder, centres, diameter = crowd
    result = _pick(folder, "--particle-diameter", str(round(factor * diameter)), out=f"out{factor}")
    assert any("contradict the particle diameter" in warning for warning in result.warnings)
    assert result.outputs["particle_diameter"] == round(factor * diameter), "boxes keep what was stated"
    _pick(folder)
    assert _f1(folder, centres, diameter, f"out{factor}") > _f1(folder, centres, diameter, "out") - 0.03


def test_faint_particles_are_asked_about_and_answers_choose_their_picks(faint):
    folder, centres, diameter = faint
    outputs = _pick(folder).outputs
    reach = diameter / PIXEL_SIZE / 4
    assert outputs["state"] == "unsure" and outputs["expected"] is None
    store = HandPicks(str(folder / "answers"), ["m"], str(folder / "out"))
    session = AskSession(
        [("m", str(folder / "m.mrc"))], store, PIXEL_SIZE, diameter, read_questions(outputs["questions"])
    )
    for q in session.questions.places:
        session.answer(YES if np.hypot(*(centres - (q.y, q.x)).T).min() < reach else NO)
    result = _pick(folder, "--answers", str(folder / "answers"))
    assert result.outputs["state"] == "answered" and "By 24 answers" in str(result.summary)
    best = _scores(folder, centres, diameter, "out/candidates").best_f1
    assert _f1(folder, centres, diameter, "out") > 0.9 * best, "as good as these scores allow, nearly"


def test_a_wrong_diameter_does_not_mislead_faint_particles(faint):
    folder, centres, diameter = faint
    for factor in (1, 0.6):
        _pick(folder, *(["--particle-diameter", str(round(factor * diameter))] * (factor < 1)), out=f"{factor}")
    best = [_scores(folder, centres, diameter, f"{factor}/candidates").best_f1 for factor in (1, 0.6)]
    assert best[1] > best[0] - 0.03


def test_a_diameter_that_shall_be_kept_is_picked_at(crowd):
    folder, _, diameter = crowd
    stated = round(1.6 * diameter)
    result = _pick(folder, "--particle-diameter", str(stated), "--keep-diameter", out="kept")
    assert result.outputs["picked_diameter"] == stated
    assert not any("contradict the particle diameter" in warning for warning in result.warnings)


def test_a_contrast_stated_wrong_is_said_and_the_right_one_is_not(crowd):
    for stated in ("dark", "bright"):
        result = _pick(crowd[0], "--contrast", stated, out=f"out-{stated}")
        said = [w for w in result.warnings if "contradict the contrast bright (--contrast). Protein is dark" in w]
        assert len(said) == (stated == "bright") and result.outputs["contrast"] == stated
        assert not any("No clear particles of any size" in w for w in result.warnings)  # the contrast is the reason


@pytest.mark.parametrize("contrast", ["auto", "dark"])
def test_pure_noise_gets_no_picks_and_a_sentence(tmp_path, contrast):
    noise = torch.randn((700, 640), generator=torch.Generator().manual_seed(1))
    write_mrc(tmp_path / "m.mrc", noise.numpy(), PIXEL_SIZE)
    result = _pick(tmp_path, "--contrast", contrast)
    assert result.outputs["picks"] == 0 and result.outputs["picked_diameter"] is None
    assert any("No particles were found" in said and "pick-by-hand" in said for said in result.warnings)


def test_a_constant_micrograph_is_skipped_beside_one_without_particles(tmp_path):
    noise = torch.randn((400, 400), generator=torch.Generator().manual_seed(1))
    for name, image in (("a", torch.zeros(400, 400)), ("b", noise)):
        write_mrc(tmp_path / f"{name}.mrc", image.numpy(), PIXEL_SIZE)
    result = _pick(tmp_path)
    assert [one.item for one in result.skipped] == ["a"] and list(result.outputs["counts"]) == ["b"]
