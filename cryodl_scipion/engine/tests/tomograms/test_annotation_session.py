# SPDX-License-Identifier: GPL-3.0-or-later
"""What the annotation window does, without the window."""

import numpy as np
import pytest
from annotated import PIXEL, SHAPE, SIZE, numbered_tomogram, square, store_with_tomogram, write_volume

from cryodl.io.tomograms import Tomogram
from cryodl.tomograms.annotations.session import Session
from cryodl.tomograms.annotations.store import open_annotations, read_annotations


@pytest.fixture
def session(tmp_path):
    return new_session(tmp_path)


def new_session(folder, names=("tomo", "other"), **changes):
    tomograms = []
    for name in names:
        numbered_tomogram(folder / f"{name}.mrc")
        tomograms.append((name, Tomogram(folder / f"{name}.mrc"), PIXEL))
    options = dict(feature="membrane", annotator="anna", size=SIZE, **changes)
    return Session(open_annotations(folder / "annotations"), tomograms, **options)


def session_of(folder, data):
    """A session with a tomogram of these values."""
    tomogram = Tomogram(write_volume(folder / "t.mrc", data))
    return Session(open_annotations(folder / "a"), [("t", tomogram, PIXEL)], "membrane", "anna", SIZE)


def stroke(session, *positions, erase=False):
    session.begin(*positions[0], erase=erase)
    for position in positions[1:]:
        session.move(*position)
    session.release()


def saved(session):
    return read_annotations(session.store.folder)


def kinds(session):
    return [t.kind for t in saved(session).entries]


def test_a_tile_is_kept_once_something_is_drawn_on_it(session):
    session.click(30, 40)
    assert session.active.centre_zyx == (4, 30, 40) and session.store.entries == []
    session.brush = 1
    stroke(session, (30, 36), (30, 44))
    store = saved(session)
    assert store.entries[0].centre_zyx == (4, 30, 40) and store.entries[0].kind == "positive"
    expected = np.zeros((SIZE, SIZE))
    expected[8, 4:13] = 1
    assert (store.drawing(store.entries[0]) == expected).all()


def test_a_fast_stroke_leaves_no_gap_and_the_brush_is_round(session):
    session.click(30, 40)
    session.brush = 4
    stroke(session, (24, 34), (36, 46))
    drawing = session.active.drawing
    assert all(drawing[2 + i, 2 + i] == 1 for i in range(13))
    session.undo()
    stroke(session, (30, 40))
    assert session.active.drawing.sum() == 13  # the pixels nearer than 2 px to the centre


def test_uncertain_strokes_and_the_eraser_write_their_values(session):
    session.click(30, 40)
    session.brush = 8
    stroke(session, (30, 40))
    session.uncertain, session.brush = True, 3
    stroke(session, (30, 40))
    session.uncertain = False
    stroke(session, (30, 38), erase=True)
    drawing = saved(session).drawing(saved(session).entries[0])
    assert drawing[8, 9] == 255 and drawing[8, 6] == 0 and drawing[5, 8] == 1


def test_each_click_marks_a_tile_without_the_feature(session):
    session.marking = True
    for position in ((10, 10), (10, 40), (50, 60)):
        session.click(*position)
    assert kinds(session) == ["negative"] * 3 and session.counts() == {"membrane": (0, 3)}
    session.click(12, 12)  # on the first one
    assert len(saved(session).entries) == 3 and session.active.centre_zyx == (4, 10, 10)


def test_a_tile_without_the_feature_that_is_drawn_on_becomes_one_with_it(session):
    session.marking = True
    session.click(30, 40)
    session.uncertain = True
    stroke(session, (30, 40))
    assert kinds(session) == ["negative"] and (saved(session).drawing(session.active.tile) == 255).any()
    session.uncertain = False
    stroke(session, (32, 40))
    assert kinds(session) == ["positive"]


def test_tiles_near_the_border_are_moved_into_the_tomogram(session):
    session.click(0, SHAPE[2] - 1)
    assert session.active.centre_zyx == (4, 8, 82) and session.active.corner_yx == (0, 74)
    before = session.active
    session.click(-5, 3)
    assert session.active is before


def test_erasing_all_takes_the_tile_out_and_undoing_brings_it_back(session):
    session.click(30, 40)
    stroke(session, (30, 40))
    session.brush = 40
    stroke(session, (30, 40), erase=True)
    assert kinds(session) == [] and session.active.state == "empty"
    session.undo()
    assert kinds(session) == ["positive"] and saved(session).drawing(session.active.tile).sum() == 13


def test_undoing_goes_back_step_by_step_over_features_and_tomograms(session):
    session.click(30, 40)
    stroke(session, (30, 40))
    session.choose_feature("actin")
    session.marking = True
    session.click(30, 40)
    session.choose_tomogram(1)
    session.click(20, 20)
    assert len(kinds(session)) == 3
    session.undo()
    assert session.name == "other" and [t.tomogram for t in saved(session).entries] == ["tomo", "tomo"]
    session.undo()
    assert session.name == "tomo" and session.feature == "actin" and kinds(session) == ["positive"]
    session.undo()
    session.undo()
    assert kinds(session) == [] and session.message == "There is nothing to undo."


def test_a_deleted_tile_comes_back_with_its_drawing(session):
    session.click(30, 40)
    stroke(session, (30, 40))
    session.delete()
    assert kinds(session) == [] and session.sheets() == [] and session.active is None
    session.undo()
    assert kinds(session) == ["positive"] and session.active.drawing.sum() == 13


def test_a_drawing_is_copied_to_the_next_slice_and_not_beyond_the_last(session):
    session.choose_slice(7)
    session.click(30, 40)
    stroke(session, (30, 40))
    session.copy(1)
    assert session.z == 8 and [t.centre_zyx for t in saved(session).entries] == [(7, 30, 40), (8, 30, 40)]
    stroke(session, (35, 40))
    first, second = saved(session).entries
    assert saved(session).drawing(first).sum() == 13 and saved(session).drawing(second).sum() == 26
    session.copy(1)
    assert session.z == 8 and session.message == "There is no further slice."
    session.undo()
    session.undo()
    assert [t.centre_zyx for t in saved(session).entries] == [(7, 30, 40)]


def test_a_copy_leaves_what_is_drawn_in_the_other_slice(session):
    session.choose_slice(4)
    session.click(30, 40)
    stroke(session, (30, 40))
    session.copy(1)
    stroke(session, (35, 40))
    session.copy(-1)
    assert session.z == 4 and "There is a tile already" in session.message
    assert [int(saved(session).drawing(t).sum()) for t in saved(session).entries] == [13, 26]
    session.undo()
    session.undo()
    assert [t.centre_zyx for t in saved(session).entries] == [(4, 30, 40)]


def test_an_outline_is_filled_and_uncertain_voxels_in_it_stay(session):
    session.click(30, 40)
    session.brush = 1
    stroke(session, (25, 35), (25, 45), (35, 45), (35, 35), (25, 35))
    session.uncertain = True
    stroke(session, (30, 40))
    session.fill()
    drawing = saved(session).drawing(session.active.tile)
    assert (drawing == 1).sum() == 11 * 11 - (drawing == 255).sum() and drawing[8, 8] == 255 and drawing[0, 0] == 0


def test_drawings_are_there_again_when_the_window_is_opened_again(tmp_path):
    session = new_session(tmp_path)
    session.click(30, 40)
    stroke(session, (30, 40))
    again = new_session(tmp_path)
    assert again.z == 4 and again.active.drawing.sum() == 13 and again.counts() == {"membrane": (1, 0)}
    stroke(again, (35, 40))
    assert saved(again).drawing(saved(again).entries[0]).sum() == 26


def test_tiles_of_another_annotator_are_neither_shown_nor_changed(tmp_path):
    store = store_with_tomogram(tmp_path)
    tile = store.add("tomo", PIXEL, (4, 30, 40), SIZE, "membrane", "berta", square())
    store.save()
    session = new_session(tmp_path)
    assert session.sheets() == [] and session.counts() == {"membrane": (0, 0)}
    session.click(30, 40)
    stroke(session, (30, 40))
    assert (saved(session).drawing(tile) == square()).all() and len(saved(session).entries) == 2


def test_a_place_without_a_tile_cannot_be_drawn_on(session):
    assert not session.begin(30, 40)
    session.release()
    assert "click on the slice" in session.message and not session.store.entries


def test_stepping_goes_through_the_tiles_in_the_order_of_the_slices(session):
    session.marking = True
    for z in (6, 2, 4):
        session.choose_slice(z)
        session.click(30, 40)
    seen = []
    for _ in range(4):
        session.step_tile(1)
        seen.append(session.z)
    session.step_tile(-1)
    assert seen == [6, 2, 4, 6] and session.z == 4


def test_what_hinders_saving_is_said_and_the_next_stroke_saves_all(session, monkeypatch):
    session.click(30, 40)
    with monkeypatch.context() as broken:
        broken.setattr(session.store, "save", lambda: (_ for _ in ()).throw(OSError("No space left on device")))
        stroke(session, (30, 40))
        assert session.failed and "No space left" in session.message
    stroke(session, (35, 40))
    assert not session.failed and saved(session).drawing(session.active.tile).sum() == 26


def test_the_grey_values_are_those_of_the_tomogram_and_averaging_takes_neighbours(tmp_path):
    data = np.random.default_rng(0).normal(10, 2, SHAPE).astype(np.float32)
    data[0, 0, 0] = 1e9
    session = session_of(tmp_path, data)
    assert np.allclose(session.limits(), np.percentile(data, (1, 99)), atol=0.1)
    session.change_averaging()
    session.choose_slice(8)
    assert np.allclose(session.image(), data[7:9].mean(axis=0))
    session.change_contrast(1)
    assert np.ptp(session.limits()) < 0.85 * np.ptp(np.percentile(data, (1, 99)))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float16])
def test_tomograms_of_all_types_are_shown(tmp_path, dtype):
    data = np.random.default_rng(0).integers(-20, 20, SHAPE).astype(dtype)
    session = session_of(tmp_path, data)
    assert (session.image() == data[4]).all() and session.limits()[0] < -15


def test_a_tile_larger_than_the_tomogram_is_uncertain_outside(tmp_path):
    session = new_session(tmp_path)
    session.size = 80
    session.click(5, 5)
    assert session.active.centre_zyx == (4, 35, 40)
    stroke(session, (35, 40))
    store = saved(session)
    assert (store.labels(store.entries[0])[:5] == 255).all() and (store.labels(store.entries[0])[5:75] != 255).any()
