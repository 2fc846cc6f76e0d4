# SPDX-License-Identifier: GPL-3.0-or-later
"""The annotation window, moved by events on a canvas without screen, and the command around it."""

import json

import numpy as np
import pytest
from annotated import PIXEL, SIZE, numbered_tomogram, write_volume
from matplotlib.backend_bases import KeyEvent, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cryodl.io.tomograms import Tomogram
from cryodl.running.cli import main
from cryodl.tomograms.annotations.display import AnnotationWindow
from cryodl.tomograms.annotations.session import Session
from cryodl.tomograms.annotations.store import open_annotations, read_annotations
from cryodl.tomograms.commands import annotate as annotate_command


class Canvas(FigureCanvasAgg):
    """Draws when it is told to, as canvases on screens do, and not at each change."""

    def draw_idle(self):
        pass


class Hand:
    """Mouse and keyboard of a window. Positions are px of the tomogram."""

    def __init__(self, window):
        self.window, self.canvas = window, window.figure.canvas
        self.slice, self.tile = window.slice_view.axes, window.tile_view.axes

    def mouse(self, kind, axes, x, y, **more):
        event = MouseEvent(kind, self.canvas, *axes.transData.transform((x, y)), **more)
        self.canvas.callbacks.process(kind, event)

    def click(self, axes, x, y, button=1):
        self.drag(axes, (x, y), button=button)

    def drag(self, axes, *positions, button=1):
        self.mouse("motion_notify_event", axes, *positions[0])
        self.mouse("button_press_event", axes, *positions[0], button=button)
        for position in positions[1:]:
            self.mouse("motion_notify_event", axes, *position)
        self.mouse("button_release_event", axes, *positions[-1], button=button)

    def press(self, *keys):
        for key in keys:
            self.canvas.callbacks.process("key_press_event", KeyEvent("key_press_event", self.canvas, key))

    def push(self, key):
        axes = self.window.buttons[key].ax
        self.click(axes, 0.5, 0.5)


@pytest.fixture
def hand(tmp_path):
    return opened(tmp_path)


def opened(tmp_path):
    """The window on a folder of annotations."""
    tomograms = [(name, Tomogram(numbered_tomogram(tmp_path / f"{name}.mrc")), PIXEL) for name in ("tomo", "other")]
    session = Session(open_annotations(tmp_path / "annotations"), tomograms, "membrane", "anna", SIZE)
    figure = Figure(figsize=(7, 4.4), dpi=50)
    Canvas(figure)
    window = AnnotationWindow(figure, session)
    figure.canvas.draw()
    return Hand(window)


def kept(hand):
    return read_annotations(hand.window.session.store.folder)


def texts(hand):
    return [text.get_text() for axes in hand.window.figure.axes for text in axes.texts] + [
        text.get_text() for text in hand.window.figure.texts
    ]


def test_a_click_places_a_tile_and_a_drag_on_its_picture_draws(hand):
    hand.click(hand.slice, 40, 30)
    hand.press("-", "-", "-")
    hand.drag(hand.tile, (36, 30), (44, 30))
    expected = np.zeros((SIZE, SIZE))
    expected[8, 4:13] = 1
    store = kept(hand)
    assert store.entries[0].centre_zyx == (4, 30, 40) and (store.drawing(store.entries[0]) == expected).all()
    hand.drag(hand.tile, (44, 30), (41, 30), button=3)
    assert kept(hand).drawing(kept(hand).entries[0]).sum() == 5


def test_a_window_that_is_opened_again_shows_the_whole_slice_and_the_tile(hand, tmp_path):
    hand.click(hand.slice, 40, 30)
    hand.drag(hand.tile, (36, 30), (44, 30))
    again = opened(tmp_path)
    assert again.slice.get_xlim() == (-0.5, 89.5) and again.slice.get_ylim() == (-0.5, 69.5)
    assert again.window.tile_view._tint.get_visible() and again.tile.get_xlim()[0] > 20


def test_the_first_row_is_at_the_bottom_in_both_pictures(hand):
    """As in 3dmod and in all other pictures of tomograms (contract/frames.py): the window's own pixels are asked."""
    hand.click(hand.slice, 40, 20)
    hand.drag(hand.tile, (34, 14), (34, 15))  # the tile's lower left
    hand.canvas.draw()
    pixels = np.asarray(hand.canvas.buffer_rgba())[..., :3].astype(int)
    for axes in (hand.slice, hand.tile):
        left, bottom, width, height = (int(v) for v in axes.get_window_extent().bounds)
        picture = pixels[-bottom - height : -bottom, left : left + width]
        coloured = np.argwhere((picture.max(axis=2) - picture.min(axis=2) > 40) & (picture[..., 0] > picture[..., 2]))
        middle = coloured.mean(axis=0) / picture.shape[:2]
        assert middle[0] > 0.5, "drawn at small y, seen in the upper half"
    assert hand.slice.get_ylim()[0] < hand.slice.get_ylim()[1] and hand.tile.get_ylim()[0] < hand.tile.get_ylim()[1]


def test_drawing_moves_only_the_picture_of_the_tile(hand, monkeypatch):
    hand.click(hand.slice, 40, 30)
    hand.canvas.draw()
    drawn = []
    monkeypatch.setattr(hand.canvas, "draw", lambda: drawn.append("all"))
    monkeypatch.setattr(hand.canvas, "blit", lambda bbox: drawn.append("tile"))
    hand.mouse("button_press_event", hand.tile, 36, 30, button=1)
    before = np.array(hand.canvas.buffer_rgba())
    hand.mouse("motion_notify_event", hand.tile, 44, 30)
    changed = np.argwhere((np.array(hand.canvas.buffer_rgba()) != before).any(axis=2))
    box = hand.tile.bbox
    assert drawn == ["tile", "tile"] and len(changed) > 20
    assert changed[:, 1].min() >= box.x0 - 1 and changed[:, 1].max() <= box.x1 + 1


def test_strokes_are_on_the_disk_when_the_button_is_released(hand):
    hand.click(hand.slice, 40, 30)
    hand.mouse("button_press_event", hand.tile, 36, 30, button=1)
    assert hand.window.session.store.entries == []
    hand.mouse("button_release_event", hand.tile, 36, 30, button=1)
    assert len(kept(hand).entries) == 1


def test_keys_and_buttons_do_the_same(hand):
    hand.push("w")
    hand.click(hand.slice, 20, 20)
    hand.press("w")
    hand.click(hand.slice, 60, 40)
    hand.push("u")
    hand.click(hand.tile, 60, 40)
    hand.push("u")
    hand.click(hand.tile, 62, 46)
    store = kept(hand)
    assert [t.kind for t in store.entries] == ["negative", "positive"]
    assert 255 in store.drawing(store.entries[1])
    assert any("membrane: 1 with, 1 without" in text for text in texts(hand))
    hand.push("z")
    assert [t.kind for t in kept(hand).entries] == ["negative"]
    hand.press("t", "delete")
    assert kept(hand).entries == []


def test_wheel_keys_slider_and_list_change_what_is_shown(hand):
    session = hand.window.session
    hand.mouse("scroll_event", hand.slice, 40, 30, step=1)
    hand.press("up")
    assert session.z == 6 and hand.window.slider.val == 7
    hand.window.slider.set_val(3)
    assert session.z == 2 and any("slice 3 of 9" in text for text in texts(hand))
    assert (np.asarray(hand.window.slice_view._image.get_array()) == session.image()).all()
    hand.press("w")
    hand.click(hand.slice, 20, 20)
    hand.press("]")
    assert session.name == "other" and any("other (2 of 2)" in text for text in texts(hand))
    hand.press("[", "pageup")
    assert session.name == "tomo" and session.z == 8
    hand.click(hand.window.tiles.axes, 0.1, 3.5)  # features, membrane, tiles, the tile
    assert session.z == 2 and session.active is not None


def test_a_long_list_of_tiles_says_how_many_more_there_are_and_goes_there(hand):
    session = hand.window.session
    hand.press("w")
    for number in range(30):
        hand.click(hand.slice, 12 + 16 * (number % 5), 12 + 8 * (number // 5))
    listed = lambda: [text.get_text() for text in hand.window.tiles._texts]
    assert len(session.sheets()) == 30 and session.active is not None
    assert any(text.startswith("> ") and "slice" in text for text in listed()), "the chosen tile is in sight"
    hand.mouse("scroll_event", hand.window.tiles.axes, 0.1, 3.5, step=1)
    for _ in range(20):
        hand.mouse("scroll_event", hand.window.tiles.axes, 0.1, 3.5, step=1)
    assert listed()[0] == "Features" and listed()[-1] == "  ... and 19 more below"  # 33 lines, 14 of them seen
    hand.click(hand.window.tiles.axes, 0.1, 14.5)
    assert listed()[0] == "  ... 14 more above" and listed()[-1] == "  ... and 6 more below"
    hand.click(hand.window.tiles.axes, 0.1, 14.5)
    assert listed()[0] == "  ... 19 more above" and listed()[-1].startswith(("  slice", "> slice"))
    hand.click(hand.window.tiles.axes, 0.1, 0.5)
    hand.mouse("scroll_event", hand.slice, 40, 30, step=1)
    assert listed()[0] == "  ... 6 more above", "another slice is looked at, and the list stays"


def test_a_feature_that_is_typed_is_drawn_from_then_on_and_a_wrong_name_is_said(hand):
    hand.window.box.set_val("actin")
    hand.window.name_feature("actin")
    hand.press("w")
    hand.click(hand.slice, 20, 20)
    assert kept(hand).features == ["actin"]
    hand.window.name_feature("a/b")
    assert "'a/b'" in hand.window.session.message and hand.window.session.feature == "actin"
    assert hand.window.box.text == "actin"
    hand.click(hand.window.tiles.axes, 0.1, 2.5)
    assert hand.window.session.feature == "membrane" and hand.window.box.text == "membrane"


def typed(hand, name):
    hand.click(hand.window.box.ax, 0.5, 0.5)
    hand.press("end", *["backspace"] * len(hand.window.box.text), *name)


def test_keys_are_letters_while_a_name_is_typed_and_keys_again_after_it(hand):
    typed(hand, "wall")
    assert not hand.window.session.marking
    hand.press("enter", "w")
    assert hand.window.session.feature == hand.window.box.text == "wall" and hand.window.session.marking


def test_a_click_after_a_typed_name_takes_the_name_and_marks_nothing_of_the_feature_before(hand):
    session = hand.window.session
    hand.click(hand.slice, 40, 30)
    hand.drag(hand.tile, (36, 30), (44, 30))
    drawn = session.store.drawing(session.store.entries[0])
    typed(hand, "actin")
    hand.mouse("scroll_event", hand.slice, 40, 30, step=1)
    hand.mouse("scroll_event", hand.slice, 40, 30, step=-1)
    hand.drag(hand.tile, (38, 33), (42, 33))
    assert session.feature == "actin" and not session.busy
    hand.press("w")
    typed(hand, "wall")
    for _ in range(2):
        hand.click(hand.slice, 20, 20)
    assert [(t.feature, t.kind) for t in kept(hand).entries] == [("membrane", "positive"), ("wall", "negative")]
    assert (kept(hand).drawing(kept(hand).entries[0]) == drawn).all()


def test_zooming_stays_in_the_slice_and_keeps_the_place_under_the_pointer(hand):
    def looked_at():
        return (*hand.slice.get_xlim(), *hand.slice.get_ylim())

    whole = looked_at()
    hand.mouse("scroll_event", hand.slice, 20, 10, step=3, key="control")
    part = looked_at()
    assert abs((20 - part[0]) / (part[1] - part[0]) - (20 + 0.5) / 90) < 1e-6 and part[1] - part[0] < 50
    assert part[2] < part[3]
    hand.mouse("scroll_event", hand.slice, 20, 10, step=1)
    hand.click(hand.slice, 20, 12)
    assert looked_at() == pytest.approx(part) and hand.window.session.active.centre_zyx == (5, 12, 20)
    hand.press("0")
    assert looked_at() == pytest.approx(whole)


def test_dragging_with_the_middle_button_moves_the_part_that_is_looked_at(hand):
    hand.mouse("scroll_event", hand.slice, 45, 35, step=3, key="control")
    left, right = hand.slice.get_xlim()
    hand.drag(hand.slice, (45, 35), (40, 35), button=2)
    assert hand.slice.get_xlim() == pytest.approx((left + 5, right + 5))
    hand.drag(hand.slice, (60, 35), (38, 35), button=2)
    hand.drag(hand.slice, (80, 35), (58, 35), button=2)
    assert hand.slice.get_xlim()[1] == pytest.approx(89.5)


def test_what_hinders_saving_is_shown_in_red(hand, monkeypatch):
    monkeypatch.setattr(hand.window.session.store, "save", lambda: (_ for _ in ()).throw(OSError("disk full")))
    hand.press("w")
    hand.click(hand.slice, 20, 20)
    message = hand.window._message
    assert message.get_text() == "NOT SAVED: disk full" and message.get_color() == "#c00000"


def test_a_slice_that_cannot_be_shown_is_said_and_the_others_are_shown(tmp_path):
    data = np.zeros((6, 40, 40), np.float32)
    data[:, ::2] = 2
    data[3, 5, 5] = np.nan
    tomogram = Tomogram(write_volume(tmp_path / "t.mrc", data))
    session = Session(open_annotations(tmp_path / "a"), [("t", tomogram, PIXEL)], "membrane", "anna", SIZE)
    figure = Figure(figsize=(7, 4.4), dpi=50)
    Canvas(figure)
    hand = Hand(AnnotationWindow(figure, session))
    assert "not finite numbers" in session.message
    hand.press("up")
    assert hand.window.slice_view._image.get_clim() == (0, 2) and session.z == 4


# ----- the command
@pytest.fixture
def annotate(tmp_path, monkeypatch):
    """annotate(drawing, *more): the command with a window that `drawing` works on instead of a user."""
    monkeypatch.chdir(tmp_path)
    numbered_tomogram("tomo.mrc")

    def run(work, *more):
        monkeypatch.setattr(annotate_command, "show_annotation_window", lambda session, title: work(session))
        return main(
            [
                "annotate",
                "--tomograms",
                "tomo.mrc",
                "--annotations",
                "drawn",
                "--feature",
                "membrane",
                "--annotator",
                "anna",
                "--tile",
                "16",
                *more,
            ]
        )

    return run


def mark(session):
    session.marking = True
    session.click(20, 20)


def test_the_command_says_what_was_annotated_when_the_window_is_closed(annotate, tmp_path, capsys):
    from cryodl import contract

    contract.Request("annotate", contract.AnnotateConfig(("tomo.mrc",), "drawn", tile=16)).write("request.json")
    assert annotate(mark) == 0
    assert "0 tiles with membrane and 1 without it." in capsys.readouterr().out
    assert main(["annotate", "--request", "request.json", "--result", "result.json"]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["outputs"] == {
        "annotations": "drawn",
        "counts": {"membrane": {"positive": 0, "negative": 1}, "feature": {"positive": 0, "negative": 1}},
    }


def test_tomograms_that_were_moved_are_found_where_they_are_given(annotate, tmp_path):
    annotate(mark)
    (tmp_path / "tomo.mrc").rename(tmp_path / "moved.mrc")
    assert main(["annotate", "--tomograms", "moved.mrc", "--names", "tomo", "--annotations", "drawn"]) == 0
    assert read_annotations(tmp_path / "drawn").entries[0].path == str(tmp_path / "moved.mrc")


def test_another_tomogram_under_an_annotated_name_is_refused(annotate, capsys):
    annotate(mark)
    numbered_tomogram("tomo.mrc", (9, 70, 80))
    assert annotate(mark) == 2 and "when tomo was annotated it had 90 x 70 x 9" in capsys.readouterr().err


def test_a_window_that_is_closed_at_once_leaves_a_folder_and_a_warning(annotate, tmp_path, capsys):
    assert annotate(lambda session: None) == 0
    assert "Nothing was annotated" in capsys.readouterr().out and read_annotations(tmp_path / "drawn").entries == []


def test_without_a_screen_the_error_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    numbered_tomogram("tomo.mrc")
    assert main(["annotate", "--tomograms", "tomo.mrc", "--annotations", "drawn"]) == 2
    assert "no screen" in capsys.readouterr().err and not (tmp_path / "drawn").exists()
    monkeypatch.setenv("DISPLAY", ":987")
    assert main(["annotate", "--tomograms", "tomo.mrc", "--annotations", "drawn"]) == 2
    assert "cannot be opened (TkAgg: " in capsys.readouterr().err
