# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking by hand: the session and the window, moved by events on a canvas without screen."""

import gc
import json
import re
import shlex
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backend_bases import KeyEvent, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from synthetic import write_mrc

from cryodl.io.coordinates import read_coordinates, write_coordinates
from cryodl.io.micrographs import micrograph_shape, read_micrograph
from cryodl.micrographs.byhand import window as windows
from cryodl.micrographs.byhand.session import HandSession
from cryodl.micrographs.byhand.store import HandPicks, Pick
from cryodl.micrographs.byhand.window import HandWindow
from cryodl.micrographs.pickers.uncertain import check_mask, read_uncertain
from cryodl.running.cli import build_parser, main

MACHINE = np.array([[50.0, 60.0], [120.0, 200.0]])  # yx of picks to begin with


@pytest.fixture
def session(tmp_path):
    """Two micrographs of 200 x 300 px, 2 Å/px, with picks of a machine on the first; particles of 40 Å."""
    (tmp_path / "machine").mkdir()
    for number, name in enumerate("ab"):
        image = np.random.default_rng(number).normal(0, 1, (200, 300)).astype(np.float32)
        write_mrc(tmp_path / f"{name}.mrc", image, 2.0)
    write_coordinates(tmp_path / "machine/a.star", MACHINE, [0.9, 0.4])
    return opened(tmp_path)


def opened(folder):
    named = [(name, str(folder / f"{name}.mrc")) for name in "ab"]
    return HandSession(named, HandPicks(str(folder / "hand"), ["a", "b"], str(folder / "machine")), 2.0, 40.0)


def click(session, *positions, erase=False):
    session.press(*positions[0], erase=erase)
    for position in positions[1:]:
        session.drag(*position)
    session.release()


def kept(tmp_path, name="a", part="hand"):
    """Sorted (y, x) of a file, None if it does not exist."""
    path = tmp_path / part / f"{name}.star"
    return sorted(tuple(p) for p in read_coordinates(path)[name][0]) if path.exists() else None


def test_added_moved_and_removed_picks_are_on_the_disk_at_once(session, tmp_path):
    assert kept(tmp_path) is None, "what was only looked at is not written"
    click(session, (150, 30))
    assert kept(tmp_path) == [(50, 60), (120, 200), (150, 30)]
    click(session, (52, 61), (70, 80), (80, 90))
    assert kept(tmp_path) == [(78, 89), (120, 200), (150, 30)], "as far as the hand, not to where it is"
    click(session, (121, 203), erase=True)
    assert kept(tmp_path) == [(78, 89), (150, 30)] and kept(tmp_path, part="hand/removed") == [(120, 200)]
    assert kept(tmp_path, part="machine") == [(50, 60), (120, 200)], "the picks to begin with are not changed"


def test_the_shown_window_lives_and_obeys_until_it_is_closed(session, monkeypatch):
    def person(window):
        gc.collect()  # what nothing holds is gone, and its keys are dead
        canvas = window.figure.canvas
        canvas.callbacks.process("key_press_event", KeyEvent("key_press_event", canvas, "n"))

    monkeypatch.setattr(windows, "open_figure", lambda *_: FigureCanvasAgg(Figure(figsize=(14, 9))).figure)
    monkeypatch.setattr(windows, "show_until_closed", person)
    windows.show_pick_window(session, "picks")
    assert session.number == 1


def test_what_a_human_touched_is_certain_and_the_rest_is_not(session, tmp_path):
    click(session, (50, 60))
    again = opened(tmp_path)
    assert [(p.y, p.certain, p.score) for p in again.picks] == [(50, True, 0.9), (120, False, 0.4)]
    again.confirm()
    assert all(p.certain for p in opened(tmp_path).picks)


def test_a_slip_of_the_hand_is_no_example_of_a_wrong_pick(session, tmp_path):
    click(session, (150, 30))
    click(session, (150, 30), erase=True)
    assert kept(tmp_path) == [(50, 60), (120, 200)] and kept(tmp_path, part="hand/removed") is None


def test_everything_can_be_taken_back_also_on_another_micrograph(session, tmp_path):
    click(session, (121, 203), erase=True)
    session.toggle_painting()
    click(session, (30, 30), (60, 60))
    session.toggle_painting()
    session.choose(1)
    click(session, (20, 20))
    for _ in range(3):
        session.undo()
    assert session.name == "a" and kept(tmp_path) == [(50, 60), (120, 200)] and kept(tmp_path, "b") == []
    assert kept(tmp_path, part="hand/removed") is None and not list((tmp_path / "hand/ignored").iterdir())
    session.undo()
    assert session.message == "There is nothing to undo."


def test_the_painted_area_is_a_mask_that_training_takes(session, tmp_path):
    session.toggle_painting()
    click(session, (100, 50), (100, 60))
    click(session, (100, 60), erase=True)
    mask = read_uncertain(tmp_path / "hand/ignored")["a"].mask
    check_mask(mask, "a", micrograph_shape(tmp_path / "a.mrc"))
    area = read_micrograph(mask)
    assert area[100, 45] and not area[100, 62] and not area[20, 20] and area.sum() > 50
    assert (opened(tmp_path).ignored == session.ignored).all()


def test_a_large_micrograph_keeps_places_and_masks_in_its_own_pixels(tmp_path):
    """4096 px, drawn four times smaller."""
    image = np.zeros((2050, 4096), np.float32)
    image[1000:1008, 3000:3008] = 9
    write_mrc(tmp_path / "big.mrc", image, 1.0)
    session = HandSession([("big", str(tmp_path / "big.mrc"))], HandPicks(str(tmp_path / "hand"), ["big"]), 1.0, 200.0)
    part, (left, right, bottom, top) = session.picture((-0.5, 2049.5), (-0.5, 4095.5))
    y, x = np.unravel_index(part.argmax(), part.shape)
    scale = (right - left) / part.shape[1], (bottom - top) / part.shape[0]
    assert abs(left + (x + 0.5) * scale[0] - 3003.5) < 5 and abs(top + (y + 0.5) * scale[1] - 1003.5) < 5
    session.change_low_pass(-3)
    zoomed, extent = session.picture((990, 1020), (2990, 3020))
    assert zoomed.shape == (31, 31) and extent[0] == 2989.5
    assert (np.argwhere(zoomed > 8) == np.argwhere(image[990:1021, 2990:3021])).all()
    session.toggle_painting()
    session.press(1000, 3000)
    session.release()
    mask = read_micrograph(tmp_path / "hand/ignored/big.mrc")
    assert mask.shape == image.shape
    assert np.abs(np.argwhere(mask).mean(axis=0) - (1000, 3000)).max() < 4


def test_it_opens_flattened_and_low_passed_at_a_sixth_of_the_diameter(tmp_path):
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:400, :400]
    image = rng.normal(0, 1, (400, 400)) + 0.05 * x - 2.0 * (np.hypot(x - 300, y - 200) < 20)
    write_mrc(tmp_path / "slope.mrc", image.astype(np.float32), 3.0)
    session = HandSession([("s", str(tmp_path / "slope.mrc"))], HandPicks(str(tmp_path / "hand"), ["s"]), 3.0, 120.0)
    assert session.low_pass == 20
    seen, _ = session.picture((-0.5, 399.5), (-0.5, 399.5))
    assert abs(seen[:, 60:120].mean() - seen[:, 140:200].mean()) < 0.1  # 4 in the file
    assert seen[20:120, 150:250].std() < 0.25  # noise of 1 in the file
    assert seen[200, 300] < -0.8 and abs(seen[200, 100]) < 0.6
    session.change_low_pass(1)
    assert session.low_pass == 40
    part, _ = session.picture((150, 250), (250, 350))
    assert part[50, 50] < part[5, 5] - 0.5  # zoomed in, too


def test_a_micrograph_that_cannot_be_read_is_said_and_left_alone(session, tmp_path):
    (tmp_path / "b.mrc").write_bytes(b"")
    session.choose(1)
    click(session, (5, 5))
    assert "0 bytes" in session.message or "empty" in session.message
    assert kept(tmp_path, "b") is None
    session.choose(2)
    assert session.name == "a" and session.readable


@pytest.mark.parametrize("file", ("a.box", "a_manualpick.star"))
def test_picks_under_other_names_are_not_passed_over(session, tmp_path, file):
    """Else they were not shown, and two lists of the micrograph would lie in the folder."""
    (tmp_path / "other").mkdir()
    write_coordinates(tmp_path / "other/b.star", MACHINE, [0.9, 0.4])
    HandPicks(str(tmp_path / "other"), ["a", "b"])
    (tmp_path / "other" / file).write_text("10 20 30 30\n")
    HandPicks(str(tmp_path / "other"), ["b"])
    with pytest.raises(ValueError, match=f"{file} has picks under another name.*--start-from"):
        HandPicks(str(tmp_path / "other"), ["a", "b"])


def test_an_ignored_area_of_a_larger_micrograph_is_not_cut_to_size(session):
    session.store.write_ignored("a", np.ones((220, 300), bool), 1, (220, 300), 2.0)
    with pytest.raises(ValueError, match="300 x 220 px, which is not its micrograph's size"):
        session.store.read_ignored("a", 1, (200, 300))


def test_what_hinders_saving_is_said(session, monkeypatch):
    monkeypatch.setattr(session.store, "write", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    click(session, (150, 30))
    assert session.failed and session.message == "NOT SAVED: disk full"


def test_picks_that_could_not_be_saved_are_saved_before_another_micrograph_is_shown(session, tmp_path, monkeypatch):
    click(session, (30, 30))
    session.choose(1)
    with monkeypatch.context() as full:
        full.setattr(session.store, "write", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
        click(session, (150, 30))
        for leave in (lambda: session.choose(0), session.undo, session.undo):
            leave()
            assert session.name == "b" and session.failed and "disk full" in session.message
        click(session, (150, 30))
    session.choose(0)
    assert kept(tmp_path, "b") == [(150, 30)] and kept(tmp_path) == [(30, 30), (50, 60), (120, 200)]


# ----- the window
class Canvas(FigureCanvasAgg):
    """Draws when it is told to, as canvases on screens do, and not at each change."""

    def draw_idle(self):
        pass


class Hand:
    """Mouse and keyboard of a window. Positions are (x, y) px of the micrograph."""

    def __init__(self, session):
        figure = Figure(figsize=(8, 5.5), dpi=60)
        self.canvas = Canvas(figure)
        self.window = HandWindow(figure, session)
        self.axes = self.window.view.axes
        self.canvas.draw()

    def mouse(self, kind, x, y, **more):
        event = MouseEvent(kind, self.canvas, *self.axes.transData.transform((x, y)), **more)
        self.canvas.callbacks.process(kind, event)

    def drag(self, *positions, button=1):
        self.mouse("button_press_event", *positions[0], button=button)
        for position in positions[1:]:
            self.mouse("motion_notify_event", *position)
        self.mouse("button_release_event", *positions[-1], button=button)

    def press(self, key, x=150, y=100):
        position = self.axes.transData.transform((x, y))
        self.canvas.callbacks.process("key_press_event", KeyEvent("key_press_event", self.canvas, key, *position))


def test_mouse_and_keys_do_what_the_help_says(session, tmp_path):
    hand = Hand(session)
    hand.drag((30, 150))
    hand.drag((200, 120), (220, 130))
    hand.drag((60, 50), button=3)
    assert np.allclose(kept(tmp_path), [(130, 220), (150, 30)], atol=1)
    hand.press("x", 30, 150)
    assert np.allclose(kept(tmp_path), [(130, 220)], atol=1)
    hand.press("ctrl+z")
    assert len(kept(tmp_path)) == 2
    hand.press("n")
    assert session.name == "b"
    hand.press("k")
    assert kept(tmp_path, "b") == []
    hand.press("left")
    hand.press("i")
    hand.drag((100, 100), (120, 100))
    assert session.painting and session.ignored.any() and (tmp_path / "hand/ignored/a.mrc").exists()


def test_a_click_whose_hand_trembles_confirms_a_pick_where_it_is(session, tmp_path):
    hand = Hand(session)
    hand.drag((204, 122), (204.5, 122))
    assert np.allclose(kept(tmp_path)[1], (120, 200), atol=0.6)


def test_zoom_keeps_the_place_under_the_pointer_and_clicks_mean_what_is_seen(session, tmp_path):
    hand = Hand(session)
    hand.mouse("scroll_event", 200, 120, step=4)
    assert hand.axes.get_xlim()[1] - hand.axes.get_xlim()[0] < 150 and hand.axes.get_ylim()[0] > hand.axes.get_ylim()[1]
    hand.drag((190, 100))
    assert np.allclose(kept(tmp_path)[1], (100, 190), atol=0.6)
    hand.press("0")
    assert hand.axes.get_xlim() == (-0.5, 299.5) and hand.axes.get_ylim() == (199.5, -0.5)


def test_hidden_picks_and_contrast_change_the_picture_alone(session, tmp_path):
    hand = Hand(session)
    circles = [artist for artist in hand.window.view.moving() if isinstance(artist, EllipseCollection)]
    assert sorted(tuple(o) for c in circles for o in c.get_offsets()) == [(60, 50), (200, 120)]
    picture = lambda: np.asarray(hand.canvas.buffer_rgba())[40:-60, :390, :3].astype(int)
    coloured = lambda: int((np.ptp(picture(), axis=2) > 60).sum())
    hand.canvas.draw()
    seen = coloured()
    for key in ("h", "c", "l"):
        hand.press(key)
    hand.canvas.draw()
    assert seen > 30 and coloured() == 0 and session.contrast > 1 and session.low_pass > 0
    assert kept(tmp_path) is None


def test_an_action_takes_no_longer_on_a_4k_micrograph_than_on_a_small_one(tmp_path):
    """Processor time of an action with its drawing; benchmarks/run.py windows measures milliseconds."""
    spent = {}
    for side in (512, 4096):
        folder = tmp_path / str(side)
        folder.mkdir()
        image = np.random.default_rng(0).normal(0, 1, (side, side)).astype(np.float32)
        write_mrc(folder / "a.mrc", image, 1.0)
        session = HandSession(
            [("a", str(folder / "a.mrc"))], HandPicks(str(folder / "hand"), ["a"]), 1.0, 180.0 * side / 4096
        )
        for position in np.random.default_rng(1).uniform(0, side - 1, (300, 2)):
            session.picks.append(Pick(*position, 0.5, False))
        figure = Figure(figsize=windows.SIZE, dpi=100)
        canvas = Canvas(figure)
        window = HandWindow(figure, session)
        canvas.draw()
        times = []
        for position in ((0.25, 0.25), (0.5, 0.75), (0.12, 0.6), (0.8, 0.3), (0.6, 0.9)):
            begin = time.process_time()
            click(session, (position[0] * side, position[1] * side))
            window.refresh()
            canvas.draw()
            times.append(time.process_time() - begin)
        spent[side] = min(times)
    assert spent[4096] < 2 * spent[512]


# ----- the command
def test_the_command_says_what_was_picked_and_how_to_train_on_it(session, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def work(session, title):
        click(session, (50, 60), erase=True)
        session.toggle_painting()
        click(session, (100, 50))

    monkeypatch.setattr(windows, "show_pick_window", work)
    arguments = ["pick-by-hand", "--micrographs", "a.mrc", "b.mrc", "--pixel-size", "2", "--particle-diameter", "40"]
    arguments += ["--coordinates", "hand", "--start-from", "machine", "--result", "result.json"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "1 pick in 1 micrograph" in said
    assert "--coordinates hand" in said and "--start-from general" in said and "not confirmed" in said
    outputs = json.loads((tmp_path / "result.json").read_text())["outputs"]
    assert outputs["counts"] == {"a": 1} and outputs["removed"] == {"a": 1} and outputs["changed"] == ["a"]


@pytest.mark.parametrize("freed", (False, True))
def test_picks_that_could_not_be_saved_are_saved_when_the_window_closes_or_that_is_said(
    session, tmp_path, monkeypatch, capsys, freed
):
    monkeypatch.chdir(tmp_path)

    def work(session, title):
        with monkeypatch.context() as full:
            full.setattr(HandPicks, "write", write := lambda *a: (_ for _ in ()).throw(OSError("disk full")))
            click(session, (150, 30))
            click(session, (100, 150), erase=True)  # nothing is there: another message
        if not freed:
            monkeypatch.setattr(HandPicks, "write", write)

    monkeypatch.setattr(windows, "show_pick_window", work)
    arguments = ["pick-by-hand", "--micrographs", "a.mrc", "b.mrc", "--pixel-size", "2", "--particle-diameter", "40"]
    assert main([*arguments, "--coordinates", "hand"]) == (0 if freed else 2)
    assert ("NOT SAVED: disk full" in capsys.readouterr().err) == (not freed)
    assert not freed or kept(tmp_path) == [(150, 30)]


def test_the_command_states_bright_protein_of_the_corrected_picks(session, tmp_path, monkeypatch, capsys):
    """A handful of faint labels does not tell it, and training would take protein for dark."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(windows, "show_pick_window", lambda session, title: click(session, (50, 60), erase=True))
    arguments = ["pick-by-hand", "--micrographs", "a.mrc", "b.mrc", "--pixel-size", "2", "--particle-diameter", "40"]
    arguments += ["--coordinates", "hand", "--start-from", "machine"]
    for contrast, stated in (("dark", False), ("bright", True)):
        (tmp_path / "machine" / "pick.json").write_text(json.dumps({"contrast": contrast}))
        assert main(arguments) == 0
        assert ("--contrast bright" in capsys.readouterr().out) == stated


def test_a_printed_command_can_be_pasted_whatever_the_folders_are_called(session, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(windows, "show_pick_window", lambda session, title: click(session, (50, 60), erase=True))
    (tmp_path / "day 1").mkdir()
    (tmp_path / "a.mrc").rename(tmp_path / "day 1" / "it's.mrc")
    arguments = ["--micrographs", "day 1/*.mrc", "--pixel-size", "2", "--coordinates", "my labels"]
    assert main(["pick-by-hand", *arguments, "--particle-diameter", "40"]) == 0
    printed = next(line for line in capsys.readouterr().out.splitlines() if "train-picker" in line)
    parsed = build_parser().parse_args(shlex.split(printed)[1:])
    assert parsed.micrographs == ["day 1/*.mrc"] and parsed.coordinates == "my labels"


def test_the_commands_of_the_page_are_understood():
    page = Path(__file__).parents[4] / "docs" / "labels.md"
    if not page.exists():
        pytest.skip("needs the checkout's pages")
    commands = re.findall(r"```bash\ncryodl (.*?)\n```", page.read_text(), re.S)
    parsed = [build_parser().parse_args(shlex.split(command)) for command in commands]
    hand = [p.coordinates for p in parsed if p.command == "pick-by-hand"]
    assert hand == ["labels/"] * 2 and len(parsed) > 3


def test_without_a_screen_the_error_says_what_to_do(session, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    arguments = ["pick-by-hand", "--micrographs", "a.mrc", "--pixel-size", "2", "--particle-diameter", "40"]
    assert main([*arguments, "--coordinates", "hand"]) == 2
    assert "no screen" in capsys.readouterr().err and kept(tmp_path) is None
