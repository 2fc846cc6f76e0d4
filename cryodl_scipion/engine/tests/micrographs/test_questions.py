# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about unclear picks: what is asked, what answers tell, the window, and picking with answers."""

import dataclasses
import gc
import json

import numpy as np
import pytest
from matplotlib.backend_bases import KeyEvent, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.spatial.distance import pdist
from synthetic import write_mrc

from cryodl.core.calibration import calibrate
from cryodl.io.coordinates import read_coordinates, write_coordinates
from cryodl.micrographs.byhand import asking
from cryodl.micrographs.byhand.asking import AskSession, AskWindow
from cryodl.micrographs.byhand.questions import (
    ANSWERS,
    NO,
    QUESTIONS,
    YES,
    choose_questions,
    learn_threshold,
    read_questions,
)
from cryodl.micrographs.byhand.store import HandPicks, read_corrections

DIAMETER = 40.0  # px


def faint(seed, particles=300, others=1700):
    """Candidates of six micrographs whose scores are far too low for most particles; and for each whether it is one."""
    rng = np.random.default_rng(seed)
    odds = np.concatenate([rng.normal(-1.5, 1.4, particles), rng.normal(-4.5, 1.3, others)])
    true = np.arange(len(odds)) < particles
    which = rng.integers(0, 6, len(odds))
    yx, scores = rng.uniform(0, 4000, (len(odds), 2)), 1 / (1 + np.exp(-odds))
    parts = {f"m{i}": which == i for i in range(6)}
    return {n: (yx[p], scores[p]) for n, p in parts.items()}, {n: true[p] for n, p in parts.items()}


def answered(questions, found, true, wrong=0.0, seed=0):
    """The questions with a person's answers, of which a part is wrong."""
    rng, places = np.random.default_rng(seed), []
    for q in questions.places:
        index = np.argmin(np.hypot(*(found[q.micrograph][0] - (q.y, q.x)).T))
        yes = true[q.micrograph][index] != (rng.random() < wrong)
        places.append(dataclasses.replace(q, answer=YES if yes else NO))
    return dataclasses.replace(questions, places=tuple(places))


def f1(found, true, threshold):
    kept = {n: scores >= threshold for n, (_, scores) in found.items()}
    hits = sum((kept[n] & true[n]).sum() for n in found)
    return 2 * hits / (sum(k.sum() for k in kept.values()) + sum(t.sum() for t in true.values()))


def test_questions_are_few_apart_and_of_all_scores():
    found, _ = faint(0)
    asked = choose_questions(found, 0.5, DIAMETER, "x")
    assert len(asked.places) == 24 and len(asked.micrographs) == 4
    for name in asked.micrographs:
        yx = np.array([(q.y, q.x) for q in asked.places if q.micrograph == name])
        assert len(yx) < 2 or pdist(yx).min() >= 1.5 * DIAMETER
    assert np.bincount([q.part for q in asked.places]).tolist() == [6, 6, 6, 6]
    scores = np.concatenate([found[name][1] for name in asked.micrographs])
    assert sum(p.candidates for p in asked.parts if p.picked) == (scores >= 0.5).sum()
    assert min(q.score for q in asked.places) < 0.15 < 0.5 < max(q.score for q in asked.places)


def test_all_scores_are_asked_about_also_where_candidates_are_crowded():
    """Else all answers together would be too few for a threshold."""
    rng = np.random.default_rng(0)
    found = {"a": (rng.uniform(60, 160, (240, 2)), np.linspace(0.99, 0.01, 240))}
    asked = choose_questions(found, 0.6, DIAMETER, "x")
    assert set(q.part for q in asked.places) == {n for n, part in enumerate(asked.parts) if part.candidates}
    told = tuple(dataclasses.replace(q, answer=YES if q.part < 2 else NO) for q in asked.places)
    assert 0 < learn_threshold(dataclasses.replace(asked, places=told)).threshold < 1


def test_the_best_candidates_are_asked_about_where_there_are_no_picks():
    found, true = faint(0)
    asked = answered(choose_questions(found, 1.0, DIAMETER, "x"), found, true)
    assert len(asked.places) == 24 and max(q.score for q in asked.places) > 0.5
    assert 0 < learn_threshold(asked).threshold < 1
    assert choose_questions({}, 0.5, DIAMETER, "x") is None


def test_the_intervals_of_90_percent_hold_as_often_as_they_say():
    inside = {"precision": 0, "recall": 0, "particles": 0}
    for seed in range(100):
        found, true = faint(seed)
        asked = answered(choose_questions(found, 0.3, DIAMETER, "x", seed), found, true)
        estimate, names = asked.estimate(), asked.micrographs
        right = sum(true[n][found[n][1] >= 0.3].sum() for n in names)
        among, picks = (sum(part[n].sum() for n in names) for part in (true, {n: found[n][1] >= 0.3 for n in names}))
        for key, truth in dict(precision=right / picks, recall=right / among, particles=among).items():
            inside[key] += getattr(estimate, key)[1] <= truth <= getattr(estimate, key)[2]
    assert all(80 <= count <= 98 for count in inside.values()), inside


def test_answers_choose_a_threshold_near_the_best_also_if_some_are_wrong():
    before, after, best = [], [], []
    for seed in range(20):
        found, true = faint(seed)
        asked = answered(choose_questions(found, 0.5, DIAMETER, "x", seed), found, true, 0.05, seed)
        before.append(f1(found, true, 0.5))
        after.append(f1(found, true, learn_threshold(asked).threshold))
        best.append(max(f1(found, true, t) for t in np.geomspace(0.01, 0.9, 40)))
    assert np.mean(after) > np.mean(before) + 0.15 and np.mean(after) > np.mean(best) - 0.06, (before, after, best)


def test_answers_leave_a_threshold_that_was_right_nearly_where_it_was():
    before, after = [], []
    for seed in range(20):
        low, true = faint(seed)
        found = {n: (yx, calibrate(scores, (1.0, 3.0))) for n, (yx, scores) in low.items()}
        asked = answered(choose_questions(found, 0.4, DIAMETER, "x", seed), found, true, 0.05, seed)
        before.append(f1(found, true, 0.4))
        after.append(f1(found, true, learn_threshold(asked).threshold))
    assert np.mean(after) > np.mean(before) - 0.03, (before, after)


def test_answers_find_the_few_particles_among_much_that_scores_as_high():
    """Dirt scores as particles do: nearly all picks are wrong, and the few best candidates are particles."""
    after, best = [], []
    for seed in range(20):
        rng, found, true = np.random.default_rng(seed), {}, {}
        for name in ("a", "b", "c", "d"):
            odds = np.r_[rng.normal(3.5, 0.7, 9), rng.normal(0, 1.2, 30), rng.normal(-4, 1, 300)]
            found[name] = rng.uniform(0, 3000, (len(odds), 2)), calibrate(1 / (1 + np.exp(-odds)), (1.0, 0.0))
            true[name] = np.arange(len(odds)) < 9
        asked = answered(choose_questions(found, 0.4, DIAMETER, "x", seed), found, true, 0.05, seed)
        after.append(f1(found, true, learn_threshold(asked).threshold))
        best.append(max(f1(found, true, t) for t in np.linspace(0.3, 0.99, 60)))
    assert np.mean(after) > np.mean(best) - 0.15, (after, best)


def test_too_few_answers_are_said():
    asked = choose_questions(faint(0)[0], 0.5, DIAMETER, "x")
    with pytest.raises(ValueError, match="too few questions are answered"):
        learn_threshold(asked)


@pytest.fixture
def session(tmp_path):
    """Opens the questions of a picking folder about two micrographs of 600 px, 2 Å/px; particles of 80 Å."""
    rng, picks = np.random.default_rng(1), tmp_path / "picks"
    (picks / "candidates").mkdir(parents=True)
    found = {}
    for name in "ab":
        write_mrc(tmp_path / f"{name}.mrc", rng.normal(0, 1, (600, 600)).astype(np.float32), 2.0)
        found[name] = rng.uniform(40, 560, (60, 2)), np.linspace(0.95, 0.02, 60)
        write_coordinates(picks / f"{name}.star", *(part[found[name][1] >= 0.5] for part in found[name]))
    choose_questions(found, 0.5, DIAMETER, "sha").write(picks / QUESTIONS)

    def opened(names="ab"):
        named = [(name, str(tmp_path / f"{name}.mrc")) for name in names]
        store = HandPicks(str(tmp_path / "answers"), list(names), str(picks))
        return AskSession(named, store, 2.0, 80.0, read_questions(picks / QUESTIONS))

    return opened


def open_window(session):
    figure = Figure(figsize=(8.4, 9.2))
    canvas = FigureCanvasAgg(figure)
    return AskWindow(figure, session), canvas


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A hand that needs no time to see what is asked."""
    monkeypatch.setattr(asking, "SEEN", 0.0)


def press(canvas, key):
    canvas.callbacks.process("key_press_event", KeyEvent("key_press_event", canvas, key))


def test_the_shown_questions_take_answers_until_the_window_is_closed(session, monkeypatch):
    def person(window):
        gc.collect()  # what nothing holds is gone, and its keys are dead
        press(window.figure.canvas, "y")

    monkeypatch.setattr(asking, "open_figure", lambda *_: FigureCanvasAgg(Figure(figsize=(8.4, 9.2))).figure)
    monkeypatch.setattr(asking, "show_until_closed", person)
    opened = session()
    asking.show_questions(opened, "questions")
    assert opened.answered == 1


def holds(positions, y, x):
    return len(positions) > 0 and np.hypot(*(positions - (y, x)).T).min() < 0.01


def test_keys_and_clicks_answer_and_are_kept(session, tmp_path):
    window, canvas = open_window(session())
    canvas.draw()
    asked = window.session.questions.places
    press(canvas, "y")
    press(canvas, "n")
    place = window.session.place
    x, y = window.axes.transData.transform((place.x + 12, place.y - 7))
    canvas.callbacks.process("button_press_event", MouseEvent("button_press_event", canvas, x, y, 1))
    press(canvas, "u")
    assert window.session.at == 4
    stored = read_questions(tmp_path / "answers" / ANSWERS).places
    assert [q.answer for q in stored[:5]] == ["yes", "no", "yes", "unclear", ""]
    assert stored[2].at == pytest.approx((place.y - 7, place.x + 12), abs=0.6)
    labels = read_corrections(tmp_path / "answers", ["a", "b"])
    assert holds(labels.certain[asked[0].micrograph], asked[0].y, asked[0].x)
    assert holds(labels.removed[asked[1].micrograph], asked[1].y, asked[1].x)
    assert holds(labels.certain[asked[2].micrograph], *stored[2].at)
    for part in (labels.certain, labels.machine, labels.removed):
        unclear = part.get(asked[3].micrograph, np.zeros((0, 2)))
        assert not holds(unclear, asked[3].y, asked[3].x), "what nobody can tell teaches nothing"


def test_a_double_click_and_a_held_key_answer_one_question_and_a_right_click_none(session, monkeypatch):
    monkeypatch.setattr(asking, "SEEN", 60.0)
    window, canvas = open_window(session())
    canvas.draw()
    place = window.session.place
    x, y = window.axes.transData.transform((place.x, place.y))
    for button, double in ((3, False), (1, False), (1, True)):
        event = MouseEvent("button_press_event", canvas, x, y, button, dblclick=double)
        canvas.callbacks.process("button_press_event", event)
    for _ in range(5):
        press(canvas, "y")
    assert window.session.at == window.session.answered == 1


def test_a_click_beside_the_circle_is_no_answer(session, tmp_path):
    window, canvas = open_window(session())
    canvas.draw()
    place = window.session.place
    x, y = window.axes.transData.transform((place.x + 60, place.y + 30))  # one and a half diameters away
    canvas.callbacks.process("button_press_event", MouseEvent("button_press_event", canvas, x, y, 1))
    assert window.session.answered == 0 and "click within the circle" in window._message.get_text()


def test_a_click_within_a_circle_that_an_answer_moved_is_one(session):
    window, canvas = open_window(session())
    canvas.draw()
    place = window.session.place
    for right in (14, 28):  # px; the radius is 20
        at = window.axes.transData.transform((place.x + right, place.y))
        canvas.callbacks.process("button_press_event", MouseEvent("button_press_event", canvas, *at, 1))
        window.session.go(0)
        window.refresh()
        canvas.draw()
        assert window.session.place.at == pytest.approx((place.y, place.x + right))


def test_a_closed_window_goes_on_where_it_was_and_answers_can_be_changed(session, tmp_path):
    _, canvas = open_window(session())
    for key in "yn":
        press(canvas, key)
    window, canvas = open_window(session())
    assert window.session.at == 2
    press(canvas, "b")
    press(canvas, "y")
    asked = read_questions(tmp_path / "answers" / ANSWERS).places
    assert [q.answer for q in asked[:3]] == ["yes", "yes", ""]
    assert not read_corrections(tmp_path / "answers", ["a", "b"]).removed
    for _ in range(30):
        press(canvas, "n")
    assert all(q.answer for q in read_questions(tmp_path / "answers" / ANSWERS).places)
    assert "All questions are answered" in window._state.get_text()
    press(canvas, "y")
    assert read_questions(tmp_path / "answers" / ANSWERS).places[-1].answer == "no", "one key too many"
    assert "Press b to change its answer" in window._message.get_text()
    press(canvas, "b")
    assert "Question 18 of 18" in window._state.get_text() and "Answered here: no" in window._message.get_text()
    press(canvas, "y")
    assert read_questions(tmp_path / "answers" / ANSWERS).places[-1].answer == "yes"


def test_a_micrograph_that_cannot_be_read_is_said_and_not_answered_about(session, tmp_path):
    opened = session()
    (tmp_path / f"{opened.place.micrograph}.mrc").write_bytes(b"nothing")
    window, canvas = open_window(session())
    canvas.draw()
    assert f"{opened.place.micrograph}.mrc" in window._message.get_text()
    press(canvas, "y")
    assert "Not answered" in window._message.get_text() and window.session.touched == set()
    press(canvas, "u")
    assert window.session.at == 1 and read_questions(tmp_path / "answers" / ANSWERS).places[0].answer == "unclear"


@pytest.mark.parametrize(
    "spoil, word",
    [
        (lambda d: d["scores"].clear(), "other numbers of candidates than its list of 0 scores"),
        (lambda d: d["parts"][0].update(candidates=-5), "other numbers of candidates"),
        (lambda d: d["places"][3].update(score=7.0), "scores that are not between 0 and 1"),
        (lambda d: d["places"][3].update(answer="maybe"), "none of yes, no and unclear"),
        (lambda d: d["parts"][0].update(lowest=float("nan")), "positions or scores that are no numbers"),
        (lambda d: d.pop("parts"), "is damaged, or not what its name says"),
    ],
)
def test_questions_that_contradict_themselves_are_refused(tmp_path, spoil, word):
    """Else all picks of a folder would be lost to a threshold of 1."""
    path = tmp_path / QUESTIONS
    choose_questions(faint(0)[0], 0.5, DIAMETER, "sha").write(path)
    spoilt = json.loads(path.read_text())
    spoil(spoilt)
    path.write_text(json.dumps(spoilt))
    with pytest.raises(ValueError, match=word) as error:
        read_questions(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("given, word", [("picks", "is a folder"), ("gone/questions.json", "does not exist")])
def test_a_file_of_questions_that_is_none_is_named(session, tmp_path, capsys, given, word):
    from cryodl.running.cli import main

    mics = ["--micrographs", str(tmp_path / "a.mrc"), "--pixel-size", "2", "--particle-diameter", "80"]
    ask, to = str(tmp_path / given), str(tmp_path / "answers")
    assert main(["pick-by-hand", *mics, "--ask", ask, "--coordinates", to]) == 2
    assert f"{ask} (--ask) {word}" in capsys.readouterr().err


def test_a_file_in_place_of_a_folder_is_refused_before_the_window_opens(session, tmp_path, capsys):
    from cryodl.running.cli import main

    session()
    (tmp_path / "answers").write_text("")
    mics = ["--micrographs", str(tmp_path / "*.mrc"), "--pixel-size", "2", "--particle-diameter", "80"]
    ask, to = str(tmp_path / "picks" / QUESTIONS), str(tmp_path / "answers")
    assert main(["pick-by-hand", *mics, "--ask", ask, "--coordinates", to]) == 2
    assert f"{to} (--coordinates) is a file. Give a folder" in capsys.readouterr().err


def test_a_broken_file_of_questions_says_what_to_do(tmp_path):
    (tmp_path / QUESTIONS).write_text('{"parts": [')
    with pytest.raises(ValueError, match="is damaged.*write it again"):
        read_questions(tmp_path / QUESTIONS)


def test_questions_away_from_their_picks_are_refused(session, tmp_path, capsys):
    from cryodl.running.cli import main

    session()
    (tmp_path / "lone").mkdir()
    (tmp_path / "picks" / QUESTIONS).rename(tmp_path / "lone" / QUESTIONS)
    mics = ["--micrographs", str(tmp_path / "*.mrc"), "--pixel-size", "2", "--particle-diameter", "80"]
    ask, to = str(tmp_path / "lone" / QUESTIONS), str(tmp_path / "answers")
    assert main(["pick-by-hand", *mics, "--ask", ask, "--coordinates", to]) == 2
    assert f"lone has no a.star, the picks that {ask} (--ask) is about" in capsys.readouterr().err


def test_picks_beside_those_that_were_asked_about_were_not_seen_and_teach_nothing(session, tmp_path):
    _, canvas = open_window(session())
    press(canvas, "y")
    assert read_corrections(tmp_path / "answers", ["a", "b"]).unseen


def test_other_questions_in_the_same_folder_and_missing_micrographs_are_refused(session, tmp_path):
    _, canvas = open_window(session())
    press(canvas, "y")
    with pytest.raises(ValueError, match="is not among the given ones"):
        session("a")
    path = tmp_path / "picks" / QUESTIONS
    changed = json.loads(path.read_text())
    changed["places"][0]["y"] += 3
    path.write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="answers other questions"):
        session()
    (tmp_path / "answers" / ANSWERS).unlink()  # then its picks may be corrected ones
    with pytest.raises(ValueError, match="no answers; they would be lost"):
        session()


def test_answered_picks_are_in_the_pixels_of_their_file(session, tmp_path):
    window, canvas = open_window(session())
    for _ in window.session.questions.places:
        press(canvas, "y")
    for q in window.session.questions.places:
        assert holds(read_coordinates(tmp_path / f"answers/{q.micrograph}.star")[q.micrograph][0], q.y, q.x)
