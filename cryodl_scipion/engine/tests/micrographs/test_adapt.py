# SPDX-License-Identifier: GPL-3.0-or-later
"""A general model's scores become probabilities on the micrographs at hand, without labels."""

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from picking import outputs, pick
from synthetic import blob_project, write_mrc, write_untrained_model

from cryodl.contract import PickConfig, Result
from cryodl.core.calibration import calibrate, expected_calibration_error
from cryodl.io.coordinates import read_coordinates
from cryodl.micrographs.normalize import Prepared
from cryodl.micrographs.pickers import adaptation
from cryodl.micrographs.pickers.adaptation import APART, MINIMUM, Adapted, adapt, two_components
from cryodl.micrographs.pickers.pick_files import SURE, Picks
from cryodl.micrographs.pickers.pick_record import PickSettings
from cryodl.micrographs.pickers.size import Size

UNSURE = (1.0, -0.5)  # a calibration that believes in half of the particles only


def heaps(particles, rest, apart=4.0, seed=0):
    """Which are particles, and raw scores whose log odds are two normal distributions."""
    rng = np.random.default_rng(seed)
    hit = np.arange(particles + rest) < particles
    odds = np.where(hit, 0.5, 0.5 - apart) + 0.7 * rng.standard_normal(len(hit))
    return hit, 1 / (1 + np.exp(-odds))


@pytest.mark.parametrize("particles, rest", [(300, 300), (300, 40), (40, 300)])
def test_two_components_of_scores_become_probabilities(particles, rest):
    hit, raw = heaps(particles, rest)
    found = adapt([raw], UNSURE)
    before, after = (expected_calibration_error(hit, calibrate(raw, c)) for c in (UNSURE, found.calibration))
    assert after < 0.05 and after < 0.5 * before
    picked = calibrate(raw, found.calibration) >= found.threshold
    assert (picked == hit).mean() > 0.95
    assert found.candidates == len(raw) and 0 <= found.uncertainty < 0.3


def test_scores_in_one_heap_keep_the_models_own_calibration():
    _, raw = heaps(60, 300, apart=1.5)
    found = adapt([raw], UNSURE)
    assert found.own and found.calibration == UNSURE
    assert not adapt([heaps(300, 300)[1]], UNSURE).own


@pytest.mark.parametrize("particles", [150, 300])
def test_a_heap_above_broad_others_begins_at_the_gap_below_it(particles):
    """As of clear particles on a grainy background: the others' scores reach far up."""
    rng = np.random.default_rng(1)
    odds = np.concatenate([rng.normal(4.5, 0.8, particles), rng.uniform(-7, 1, 1200), rng.normal(0, 1.2, 300)])
    hit = np.arange(len(odds)) < particles
    found = adapt([1 / (1 + np.exp(-odds))], (1.0, 0.0))
    assert found.separation < APART and not found.own
    scores = calibrate(1 / (1 + np.exp(-odds)), found.calibration)
    kept = scores >= found.threshold
    assert 2 * (kept & hit).sum() / (kept.sum() + particles) > 0.95
    assert abs(scores.sum() / particles - 1) < 0.1  # the expected number of particles
    assert 100 < found.below < 500  # of the others the model itself would pick
    alone = adapt([1 / (1 + np.exp(-odds[~hit]))], (1.0, 0.0))
    assert alone.own and alone.calibration == (1.0, 0.0)


def test_micrographs_with_higher_scores_do_not_take_the_particles_from_the_others():
    """As at a large defocus: a gap between micrographs is none between particles and the rest."""
    rng = np.random.default_rng(2)
    odds = [np.concatenate([rng.normal(m, 0.8, 150), rng.uniform(-7, 0, 400)]) for m in (6, 1.5, 1.5)]
    raw = [1 / (1 + np.exp(-one)) for one in odds]
    found = adapt(raw, (1.0, 0.0))
    assert found.below == 0
    kept = lambda found, one: (calibrate(one, found.calibration)[:150] >= found.threshold).mean()
    assert all(kept(found, one) > 0.8 for one in raw)
    assert kept(adapt([np.concatenate(raw)], (1.0, 0.0)), raw[1]) < 0.1  # were it one micrograph


@pytest.mark.parametrize("agreement, sure", [(0.98, True), (0.5, False)])
def test_only_where_picks_are_trusted_are_doubtful_ones_left_out(general, monkeypatch, agreement, sure):
    from cryodl.micrographs.pickers.predict import Picker

    _, raw = heaps(100, 400, apart=2.5)
    places = np.random.default_rng(0).uniform(60, 160, (len(raw), 2))
    monkeypatch.setattr(Picker, "candidates", lambda self, *a: (places, calibrate(raw, self.calibration)))
    monkeypatch.setattr(adaptation, "_agreement", lambda *a: agreement)
    assert run(general) == 0
    made = outputs(general)
    assert (made["threshold"] >= SURE) == sure == (made["state"] == "clear")


@pytest.mark.parametrize("clear, threshold", [(True, 0.6), (False, 0.3), (None, 0.3)])
def test_what_learnt_from_trusted_picks_leaves_doubtful_ones_out_too(tmp_path, clear, threshold):
    known = PickSettings("x", 2.0, None, None, 0.0, "dark")
    card = dict(threshold=0.3, **({} if clear is None else dict(clear=clear)))
    config = PickConfig(micrographs=("a.mrc",), pixel_size=2.0, output=str(tmp_path))
    assert Picks(config, Path("model"), card, known).model_threshold == threshold


@pytest.mark.parametrize("labels, least, most", [("boxes", 0.4, 0.5), ("complete", 0.0, 0.05)])
def test_a_few_boxes_do_not_tell_the_number_of_particles(tmp_path, labels, least, most):
    known = PickSettings("x", 2.0, None, None, 0.0, "dark")
    config = PickConfig(micrographs=("a.mrc",), pixel_size=2.0, output=str(tmp_path))
    picks = Picks(config, Path("model"), dict(threshold=0.3, labels=labels), known)
    picks.write("a", np.zeros((900, 2)), np.full(900, 0.98))
    number, deviation = picks.outputs(["a"], known, {}).expected_particles.values()
    assert number == pytest.approx(882) and least < deviation / number < most


def test_no_figures_are_promised_where_the_scores_tell_little(general, monkeypatch, capsys):
    from cryodl.micrographs.pickers.predict import Picker

    _, raw = heaps(6, 74, apart=1.5)
    monkeypatch.setattr(
        Picker,
        "candidates",
        lambda self, *a: (np.random.default_rng(0).uniform(60, 160, (80, 2)), calibrate(raw, self.calibration)),
    )
    assert run(general) == 0
    assert outputs(general)["expected"] is None
    said = capsys.readouterr().out
    assert "are not stated" in said and "F1" not in said
    assert outputs(general)["state"] == "unsure" and "pick-by-hand --ask" in said


@pytest.mark.parametrize(
    "seen, trusted, told",
    [
        (dict(uneven=0.5), True, False),
        (dict(uneven=0.8), False, False),  # of an older version's record
        (dict(uneven=0.8, spread=0.3), False, False),
        (dict(uneven=0.2, spread=0.15), True, True),
        (dict(uneven=0.3, spread=0.15), True, False),  # fragments of half the mass among particles
        (dict(uneven=0.8, spread=0.15), True, False),  # antibodies, whose views stand out differently
        (dict(uneven=0.6, spread=0.35), True, False),  # long particles, or look-alike lumps among particles
        (dict(uneven=0.6, spread=0.43), False, False),  # lumps of all sizes
    ],
)
def test_picks_that_may_be_dirt_are_unsure_and_others_have_intervals(tmp_path, seen, trusted, told):
    adapted = dataclasses.asdict(Adapted((1.0, 0.0), 0.5, 0.01, 300, expected_f1=0.9, agreement=0.98))
    size = dict(diameter=150.0, particles=80.0, micrographs=3, others=(), **seen)
    known = PickSettings("x", 2.0, None, None, 0.0, "dark", general=True, adapted=adapted, size=size)
    config = PickConfig(micrographs=("a.mrc",), pixel_size=2.0, output=str(tmp_path))
    picks = Picks(config, Path("general"), {}, known)
    picks.write("a", np.zeros((90, 2)), np.linspace(0, 1, 90))
    made = picks.outputs(["a"], known, {})
    assert made.state == ("clear" if trusted else "unsure") and (made.expected is not None) == told
    if told:
        assert made.expected["recall_low"] < made.expected["recall"] < made.expected["recall_high"] <= 1
        below = made.expected["recall"] - made.expected["recall_low"]
        assert below > 0.15, "particles that overlap are missed, and no score tells of them"
    stated = r"precision 0\.\d\d \(0\.\d\d to \d\.\d\d\), recall .*; 90 % intervals"
    assert bool(re.search(stated, picks.in_words(made))) == told


def stated(folder, expected_f1, scores, threshold=None):
    """PickOutputs of picks with such scores, whose agreement is perfect."""
    adapted = dataclasses.asdict(Adapted((1.0, 0.0), 0.5, 0.01, 300, expected_f1=expected_f1, agreement=1.0))
    size = dataclasses.asdict(Size(150.0, 80.0, 3, spread=0.15))
    known = PickSettings("x", 2.0, None, None, 0.0, "dark", general=True, adapted=adapted, size=size)
    picks = Picks(PickConfig(("a.mrc",), 2.0, str(folder), threshold=threshold), Path("general"), {}, known)
    picks.write("a", np.zeros((len(scores), 2)), scores)
    return picks.outputs(["a"], known, {})


def test_picks_that_stay_are_not_said_to_lack_what_low_scores_add_up_to(tmp_path):
    """As of 28 sparse particles among many faint spots."""
    made = stated(tmp_path, 0.72, np.r_[np.full(28, 0.97), np.full(230, 0.1)])
    assert made.expected["recall"] > 0.8 and made.expected["f1"] == pytest.approx(0.91, abs=0.02)
    number, deviation = made.expected_particles.values()
    assert number < 36 and abs(number - 28) < 1.645 * deviation


def test_what_lies_between_the_own_threshold_and_the_one_of_trusted_picks_is_not_said_to_be_missed(tmp_path):
    """As of 27 sparse particles, of which 41 were expected, and a recall of 0.67 where it is 1."""
    made = stated(tmp_path, 0.72, np.r_[np.full(28, 0.97), np.full(14, 0.55), np.full(150, 0.1)])
    assert made.threshold == SURE and made.picks == 28
    assert made.expected["f1"] > 0.85 and made.expected_particles["number"] < 37


@pytest.mark.parametrize(
    "agreement, expected_f1, true",
    [(0.936, 0.963, 0.955), (0.959, 0.983, 0.985), (1.0, 1.0, 1.0), (0.946, 0.769, 0.828), (0.951, 0.906, 0.795)],
)
def test_f1_is_stated_by_turned_picks_and_by_scores(agreement, expected_f1, true):
    """Of simulated sets, and EMPIAR-10017, whose marks leave particles out."""
    found = Adapted((1.0, 0.0), 0.5, 0.01, 300, expected_f1=expected_f1, agreement=agreement)
    assert abs(found.f1 - true) < 0.08


def test_nothing_is_promised_of_a_general_models_few_candidates(tmp_path):
    """As of eight particles among lumps, of which F1 0.99 was stated by the model's scores alone."""
    known = PickSettings("x", 2.0, None, None, 0.0, "dark", general=True)
    picks = Picks(PickConfig(("a.mrc",), 2.0, str(tmp_path)), Path("general"), dict(threshold=0.3), known)
    picks.write("a", np.zeros((12, 2)), np.full(12, 0.98))
    made = picks.outputs(["a"], known, {})
    assert made.picks == 12 and made.state == "unsure" and made.expected is None


@pytest.mark.parametrize("threshold, precision, recall", [(0.05, 0.12, 1.0), (0.98, 1.0, 0.36)])
def test_other_thresholds_are_not_said_to_pick_as_well_as_the_own(tmp_path, threshold, precision, recall):
    """28 particles, of which ten have the highest scores, among many faint spots."""
    made = stated(tmp_path, 0.72, np.r_[np.full(10, 0.99), np.full(18, 0.97), np.full(230, 0.1)], threshold)
    assert made.expected_particles["number"] < 36
    found = made.expected["precision"], made.expected["recall"]
    assert found == pytest.approx((precision, recall), abs=0.07)


def test_the_number_of_particles_is_the_less_certain_the_more_is_avoided(tmp_path):
    scores = np.full(200, 0.99)
    clean = stated(tmp_path, 0.98, scores).expected_particles
    (tmp_path / "avoided").mkdir()
    (tmp_path / "avoided/a.json").write_text(json.dumps(dict(areas=["0001", "0002", "0000", "0000"])))
    dirty = stated(tmp_path, 0.98, scores).expected_particles
    assert dirty["number"] == clean["number"]
    assert np.hypot(clean["deviation"], 0.125 * clean["number"]) == pytest.approx(dirty["deviation"])


@pytest.mark.parametrize(
    "micrographs, diameter, spread, found",
    [(9, None, 0.35, True), (9, None, 0.4, False), (9, 120.0, 0.2, False), (3, None, 0.2, False)],
)
def test_more_micrographs_are_looked_at_where_some_show_no_size(monkeypatch, micrographs, diameter, spread, found):
    """Sparse particles are alike in width, the spots of dirt in so many micrographs are not."""
    at_last = lambda *a, number=3: Size(120.0, 30.0, 8, uneven=0.6, spread=spread) if number == 8 else None
    monkeypatch.setattr(adaptation, "find_size", at_last)
    settings = PickSettings("x", 2.0, diameter, None, 0.0, "dark", general=True, tells_size=True)
    size = adaptation._size(settings, ["a.mrc"] * micrographs, SimpleNamespace(spares_outliers=True), "dark")
    assert (size is not None) == found


@pytest.mark.parametrize("agreement, micrographs", [(0.5, 8), (0.98, 8), (0.5, 3)])
def test_a_size_counts_however_many_micrographs_it_took(general, monkeypatch, agreement, micrographs):
    size = dataclasses.asdict(Size(120.0, 30.0, micrographs))
    monkeypatch.setattr(PickSettings, "size_open", property(lambda self: True))
    monkeypatch.setattr(adaptation, "_sized", lambda settings, *a: dataclasses.replace(settings, size=size))
    monkeypatch.setattr(adaptation, "_agreement", lambda *a: agreement)
    assert run(general) == 0
    assert outputs(general)["size"] is not None
    assert outputs(general)["state"] == ("clear" if agreement > 0.9 else "unsure")
    assert outputs(general)["expected"] is None and outputs(general)["questions"], "widths of long particles, or lumps"


@pytest.mark.parametrize("micrographs, asked", [(2, 2), (3, 3), (1, 1)])
def test_scores_are_told_by_as_many_micrographs_as_the_size(general, monkeypatch, micrographs, asked):
    """Those five that were asked showed noise alone, where eight had shown a size: 160 false picks, and unsure."""
    size = dataclasses.asdict(Size(120.0, 30.0, micrographs))
    monkeypatch.setattr(adaptation, "ASKED_OF", 1)
    monkeypatch.setattr(adaptation, "_sized", lambda settings, *a: dataclasses.replace(settings, size=size))
    assert run(general) == 0
    assert len(json.loads((general / "out/pick.json").read_text())["asked"]) == asked


@pytest.mark.parametrize("found, agreement, kept", [(65.0, 0.7, True), (65.0, 0.98, False), (400.0, 0.7, False)])
def test_only_clear_particles_are_far_narrower_than_stated(general, monkeypatch, capsys, found, agreement, kept):
    """As spots of noise did: 5,056 picks of 65 Å where 28 particles of 195 Å are."""
    size = dataclasses.asdict(Size(found, 30.0, 3))
    sized = lambda settings, *a: settings if settings.keep_diameter else dataclasses.replace(settings, size=size)
    monkeypatch.setattr(PickSettings, "size_open", property(lambda self: not self.keep_diameter))
    monkeypatch.setattr(adaptation, "_sized", sized)
    monkeypatch.setattr(adaptation, "_agreement", lambda *a: agreement)
    assert run(general, "--particle-diameter", "195") == 0
    made = outputs(general)
    assert made["picked_diameter"] == (195.0 if kept else found)
    assert any("at the given diameter" in w for w in Result.read(general / "result.json").warnings) == kept
    assert not json.loads((general / "out/pick.json").read_text())["keep_diameter"]
    assert capsys.readouterr().out.count("Protein is dark") == 1


def test_answers_to_the_questions_choose_the_threshold_of_the_same_run(general, monkeypatch, capsys):
    from cryodl.micrographs.byhand.questions import read_questions
    from cryodl.micrographs.pickers.predict import Picker

    _, raw = heaps(40, 200, apart=1.5)
    places = np.random.default_rng(0).uniform(60, 160, (240, 2))
    monkeypatch.setattr(Picker, "candidates", lambda self, *a: (places, calibrate(raw, self.calibration)))
    assert run(general) == 0
    asked = read_questions(outputs(general)["questions"])
    told = tuple(dataclasses.replace(q, answer="yes" if q.part < 3 else "no") for q in asked.places)
    (general / "answers").mkdir()
    dataclasses.replace(asked, places=told).write(general / "answers/answers.json")
    before, count = outputs(general)["threshold"], len(asked.places)
    assert count >= 15
    capsys.readouterr()
    assert run(general, "--answers", str(general / "answers")) == 0
    made = outputs(general)
    assert made["state"] == "answered" and made["threshold"] < before
    assert made["expected"] is None, "answers are of some micrographs alone, and said of these"
    said = capsys.readouterr().out
    assert re.search(rf"By {count} answers \d\d % of the picks .* \(between \d\d and \d+ %\), and they are", said), said
    asked.write(general / "answers/answers.json")
    assert run(general, "--answers", str(general / "answers")) == 2
    assert f"too few questions are answered: 0 of {count}" in capsys.readouterr().err
    dataclasses.replace(asked, places=tuple(dataclasses.replace(q, answer="no") for q in asked.places)).write(
        general / "answers/answers.json"
    )
    assert run(general, "--answers", str(general / "answers")) == 2
    assert f"none of the {count} answers is yes" in capsys.readouterr().err


@pytest.fixture
def unsure(general, monkeypatch):
    """Picks mic0 alone, of which the scores do not tell particles from the rest."""
    from cryodl.micrographs.pickers.predict import Picker

    monkeypatch.setattr("cryodl.micrographs.pickers.pick_record.ASKED_OF", 1)
    _, raw = heaps(40, 200, apart=1.5)
    places = np.random.default_rng(0).uniform(60, 160, (240, 2))
    monkeypatch.setattr(Picker, "candidates", lambda self, *a: (places, calibrate(raw, self.calibration)))
    assert run(general, micrographs=[str(general / "mics/mic0.mrc")]) == 0
    return general


def answer_all(folder):
    from cryodl.micrographs.byhand.questions import read_questions

    asked = read_questions(outputs(folder)["questions"])
    told = tuple(dataclasses.replace(q, answer="yes" if q.part < 3 else "no") for q in asked.places)
    (folder / "answers").mkdir()
    dataclasses.replace(asked, places=told).write(folder / "answers/answers.json")
    return "--answers", str(folder / "answers")


def test_questions_that_someone_may_be_answering_stay_when_more_micrographs_come(unsure, capsys):
    """Batches into one folder, then all of them; another threshold or lost candidates ask anew."""
    questions, others = unsure / "out/questions.json", [str(unsure / f"mics/mic{i}.mrc") for i in (1, 2)]
    first = questions.read_bytes()
    capsys.readouterr()
    assert run(unsure, micrographs=others) == 0
    assert questions.read_bytes() == first and outputs(unsure)["questions"] == str(questions)
    assert "--micrographs MICROGRAPHS (with mic0)" in capsys.readouterr().out
    assert run(unsure) == 0
    assert questions.read_bytes() == first
    assert run(unsure, "--threshold", "0.35") == 0
    asked_anew = questions.read_bytes()
    assert asked_anew != first and "and --answers ANSWERS, without its threshold or rule" in capsys.readouterr().out
    questions.write_bytes(first[:-40])
    assert run(unsure, "--threshold", "0.35") == 0
    assert questions.read_bytes() == asked_anew, "a damaged file is written anew"


def test_micrographs_that_cannot_be_read_any_more_are_named_and_not_asked_about(unsure, monkeypatch):
    def gone(path):
        raise FileNotFoundError(f"{path} does not exist.")

    (unsure / "out/questions.json").unlink()
    monkeypatch.setattr("cryodl.micrographs.pickers.pick_questions.micrograph_shape", gone)
    assert run(unsure, micrographs=[str(unsure / "mics/mic0.mrc")]) == 0
    (said,) = (w for w in Result.read(unsure / "result.json").warnings if "No questions" in w)
    assert "about mic0, which cannot be read any more" in said and outputs(unsure)["questions"] is None


def test_micrographs_that_come_after_the_answers_are_scored_as_those_that_were_asked_about(unsure, monkeypatch):
    monkeypatch.setattr("cryodl.micrographs.pickers.pick_record.ASKED_OF", 5)
    given, record = answer_all(unsure), (unsure / "out/pick.json").read_text()
    assert run(unsure, *given) == 0  # two more
    stars = [(unsure / f"out/candidates/mic{number}.star").read_text().splitlines()[-200:] for number in range(3)]
    assert outputs(unsure)["state"] == "answered" and stars[0] == stars[1] == stars[2]
    assert (unsure / "out/pick.json").read_text() == record


def test_answers_about_other_micrographs_or_scores_are_said(unsure, monkeypatch):
    from cryodl.micrographs.pickers.predict import Picker

    given, others = answer_all(unsure), [str(unsure / "mics/mic1.mrc")]

    def warned(**named):
        assert run(unsure, *given, **named) == 0
        return [w for w in Result.read(unsure / "result.json").warnings if "--answers" in w]

    assert warned() == []
    (said,) = warned(micrographs=others, output="elsewhere")
    assert "are about mic0, and none of these micrographs was picked" in said
    candidates = Picker.candidates
    monkeypatch.setattr(Picker, "candidates", lambda self, *a: (candidates(self, *a)[0] + 20, candidates(self, *a)[1]))
    (said,) = warned(output="otherwise")
    assert re.search(r"\d+ of the \d+ places .* are no candidates in .*otherwise", said)


def test_a_guessed_number_is_picked_where_the_scores_do_not_tell(unsure, capsys):
    """And the candidates stay, so that another guess takes seconds."""
    mine, before = [str(unsure / "mics/mic0.mrc")], (unsure / "out/candidates/mic0.star").read_bytes()
    for guess, picks in (("60", 60), ("90", 90), ("1000", 240)):
        capsys.readouterr()
        assert run(unsure, "--expected-particles", guess, micrographs=mine) == 0
        assert outputs(unsure)["picks"] == picks and outputs(unsure)["state"] == "unsure"
        assert outputs(unsure)["threshold_uncertainty"] is None
        shown = capsys.readouterr().out
        assert "questions about" in shown and "tells as much" not in shown  # it is given
        told = Result.read(unsure / "result.json")
        assert f"that of {guess} expected particles" in " ".join(told.methods)
        assert any("there are 240 candidates in one" in w for w in told.warnings) == (guess == "1000")
    assert (unsure / "out/candidates/mic0.star").read_bytes() == before


def test_a_guess_beside_answers_is_refused():
    both = dict(answers="answers", expected_particles=5.0)
    (problem,) = PickConfig(("a.mrc",), 1.0, "out", **both).check_together()
    assert "Answers (--answers) and Expected particles (--expected-particles) are both given" in problem


@pytest.mark.parametrize(
    "given, word",
    [
        (dict(method="templates", particle_diameter=100.0), "Choose --method network"),
        (dict(threshold=0.4), "Threshold (--threshold) and Answers (--answers) are both given"),
        (dict(threshold_rule="f1"), "Threshold rule (--threshold-rule) and Answers"),
    ],
)
def test_answers_that_would_not_be_used_are_refused(given, word):
    (problem,) = PickConfig(("a.mrc",), 1.0, "out", answers="answers", **given).check_together()
    assert word in problem


def test_better_scores_stay_better():
    _, raw = heaps(100, 100)
    scores = calibrate(raw, adapt([raw], UNSURE).calibration)
    assert (np.argsort(scores) == np.argsort(raw)).all()


def test_probabilities_never_fall_as_scores_rise():
    """Even where the rest's distribution is the wider one, which beats the particles' at both ends."""
    rng = np.random.default_rng(1)
    odds = np.sort(np.concatenate([rng.normal(1, 0.2, 200), rng.normal(-2, 1.5, 200)]))
    upper = two_components(odds, 1 / (1 + np.exp(-odds)))
    assert (np.diff(upper) >= -1e-9).all() and upper[-1] > 0.9


def test_too_few_candidates_leave_the_models_own_calibration():
    assert adapt([np.full(MINIMUM - 1, 0.5)], UNSURE) is None
    assert adapt([], UNSURE) is None


def test_equal_scores_make_no_nonsense():
    found = adapt([np.full(100, 0.3)], UNSURE)
    assert np.isfinite(found.calibration).all() and found.calibration[0] > 0


@pytest.fixture
def general(tmp_path, monkeypatch):
    """Micrographs of which a general model has 80 candidates each, in two heaps."""
    from cryodl.micrographs.pickers.predict import Picker

    blob_project(tmp_path, count=3)
    write_untrained_model(tmp_path / "model", general=True)
    _, raw = heaps(40, 40)
    positions = np.stack(np.meshgrid(np.arange(60.0, 160.0, 10), np.arange(60.0, 140.0, 10)), -1).reshape(-1, 2)
    monkeypatch.setattr(
        Picker,
        "candidates",
        lambda self, *a: (positions, calibrate(raw if self.contrast == "dark" else raw / 10, self.calibration)),
    )
    return tmp_path


def run(folder, *more, **named):
    return pick(folder, "--particle-diameter", "120", *more, **named)


def test_a_general_model_adapts_and_its_folder_remembers(general, monkeypatch):
    first = [str(general / "mics/mic0.mrc")]
    monkeypatch.setattr("cryodl.micrographs.pickers.pick_record.ASKED_OF", 1)
    assert run(general, micrographs=first) == 0
    assert abs(outputs(general)["picks"] - 40) <= 2
    record = json.loads((general / "out/pick.json").read_text())
    assert outputs(general)["threshold"] == record["adapted"]["threshold"]
    monkeypatch.setattr("cryodl.micrographs.pickers.adaptation.adapt", lambda *a: pytest.fail("it was asked for again"))
    assert run(general) == 0  # the other micrographs: same calibration, whatever they show
    assert json.loads((general / "out/pick.json").read_text()) == record
    scores = [s for _, s in read_coordinates(general / "out/candidates").values()]
    assert all((s == scores[0]).all() for s in scores)


@pytest.mark.parametrize("batch", [False, True], ids=["the folder grew", "a batch of those that came"])
def test_what_one_micrograph_told_does_not_bind_those_that_come(general, monkeypatch, batch):
    every = [str(general / f"mics/mic{number}.mrc") for number in range(3)]
    record = lambda: json.loads((general / "out/pick.json").read_text())
    assert run(general, micrographs=every[:1]) == 0 and record()["adapted"]["candidates"] == 80
    before = (general / "out/candidates/mic0.star").stat().st_mtime_ns
    assert run(general, micrographs=every[1:] if batch else every) == 0
    assert record()["adapted"]["candidates"] == 240 and sorted(record()["asked"]) == every
    assert ((general / "out/candidates/mic0.star").stat().st_mtime_ns == before) == batch
    (said,) = [w for w in Result.read(general / "result.json").warnings if "were those of 1 micrograph;" in w]
    assert ("Others keep their picks" in said) == batch
    monkeypatch.setattr("cryodl.micrographs.pickers.adaptation.adapt", lambda *a: pytest.fail("it was asked for again"))
    assert run(general, "--threshold", "0.3") == 0


def test_where_later_micrographs_may_be_scored_otherwise_it_is_told(general, monkeypatch):
    from cryodl.micrographs.pickers.predict import Picker

    inner = Picker.candidates
    monkeypatch.setattr(Picker, "candidates", lambda self, *a: [x[::10] for x in inner(self, *a)])
    assert run(general) == 0  # 24 candidates
    assert any("fewer than 40 candidates" in said for said in Result.read(general / "result.json").warnings)


def test_what_is_found_again_in_the_turned_micrograph_agrees(general, monkeypatch):
    """Spots of a micrograph that is no square, each with its score: turned, they lie elsewhere, and are the same."""
    from cryodl.micrographs.pickers.predict import Picker

    def spots(self, image, *_):
        image = image.image.numpy() if isinstance(image, Prepared) else image
        yx = np.argwhere(image > 1)
        return yx.astype(float), calibrate(image[tuple(yx.T)] - 1.0, self.calibration)

    _, raw = heaps(40, 200)
    for number, path in enumerate(sorted((general / "mics").glob("*.mrc"))):
        image = np.zeros((200, 280), np.float32)
        image.flat[np.random.default_rng(number).choice(image.size, len(raw), replace=False)] = 1 + raw
        write_mrc(path, image, 4.0)
    ready = lambda self, image, *_: Prepared(torch.from_numpy(image), torch.ones(image.shape, dtype=bool), image.shape)
    monkeypatch.setattr(Picker, "prepared", ready)
    monkeypatch.setattr(Picker, "candidates", spots)
    assert run(general) == 0
    assert json.loads((general / "out/pick.json").read_text())["adapted"]["agreement"] == pytest.approx(1, abs=0.02)


def test_micrographs_that_were_asked_are_not_looked_at_again(general, monkeypatch):
    """Once as they are, once for the other contrast, once turned; their picks are those of micrographs picked later."""
    from cryodl.micrographs.pickers.predict import Picker

    inner, looks = Picker.candidates, []
    monkeypatch.setattr(Picker, "candidates", lambda self, *a: looks.append(self.contrast) or inner(self, *a))
    assert run(general) == 0
    assert sorted(looks) == ["bright"] * 3 + ["dark"] * 6
    scores = [s for _, s in read_coordinates(general / "out/candidates").values()]
    assert pick(general, "--particle-diameter", "120", "--overwrite", micrographs=[str(general / "mics/mic2.mrc")]) == 0
    assert sorted(looks[9:]) == ["dark"], "it is picked at what the folder knows"
    again = read_coordinates(general / "out/candidates")["mic2"][1]
    assert all((s == again).all() for s in scores)


@pytest.mark.parametrize("left", [0, 2, 3])
def test_a_run_that_was_stopped_asks_nothing_again_and_repeats_its_warnings(general, monkeypatch, left):
    """Its candidates were written, its result was not. left: micrographs that were done."""
    from cryodl.micrographs.pickers.predict import Picker

    as_clear_in_both = Picker.candidates
    monkeypatch.setattr(
        Picker, "candidates", lambda self, *a: as_clear_in_both(dataclasses.replace(self, contrast="dark"), *a)
    )
    assert run(general) == 0
    before = Result.read(general / "result.json").warnings
    assert any("Contrast is not clear" in said for said in before)
    (general / "result.json").unlink()
    for path in sorted((general / "out/candidates").glob("*.star"))[left:]:
        path.unlink()
    monkeypatch.setattr(
        "cryodl.micrographs.pickers.adaptation.ask_micrographs", lambda *a: pytest.fail("it asked again")
    )
    assert run(general) == 0
    assert Result.read(general / "result.json").warnings == before


def test_a_model_trained_on_labels_keeps_its_calibration(general):
    (general / "model").rename(general / "other")
    write_untrained_model(general / "model")
    assert run(general, output="own-picks") == 0
    assert json.loads((general / "own-picks/pick.json").read_text())["adapted"] is None
