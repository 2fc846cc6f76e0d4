# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of annotations: it can be opened again, moved, shared, and no crash loses earlier drawings."""

import ast
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from annotated import PIXEL, SHAPE, SIZE, numbered_tomogram, square, store_with_tomogram

from cryodl.running.cli import main
from cryodl.tomograms.annotations import store as files
from cryodl.tomograms.annotations import store as stores
from cryodl.tomograms.annotations.label_volumes import add_annotations
from cryodl.tomograms.annotations.store import open_annotations, read_annotations


def add(store, centre=(4, 30, 40), drawing=None, feature="membrane", annotator="anna", size=SIZE):
    return store.add("tomo", PIXEL, centre, size, feature, annotator, drawing)


def test_a_folder_that_is_opened_again_holds_what_was_saved(tmp_path):
    store = store_with_tomogram(tmp_path)
    drawing = square()
    drawing[0, 1:3] = 255
    tiles = [
        add(store, drawing=drawing),
        add(store, (1, 20, 20)),
        add(store, (2, 20, 20), square(24), "actin", size=24),
    ]
    store.save()
    again = read_annotations(tmp_path / "annotations")
    assert again.entries == tiles
    assert (again.drawing(tiles[0]) == drawing).all() and not again.drawing(tiles[1]).any()
    assert (again.drawing(tiles[2]) == square(24)).all()
    assert again.counts() == {"membrane": {"positive": 1, "negative": 1}, "actin": {"positive": 1, "negative": 0}}
    assert again.features == ["membrane", "actin"] and again.annotators == ["anna"]


def test_the_image_of_a_tile_is_cut_where_the_tile_lies(tmp_path):
    store = store_with_tomogram(tmp_path)
    tile = add(store)
    image = store.image(tile, context=1)
    assert image.shape == (3, SIZE, SIZE) and image[1, 0, 0] == 42232 and image[0, 8, 8] == 33040


def test_a_tile_on_the_border_is_reflected_and_what_lies_beyond_is_uncertain(tmp_path):
    store = store_with_tomogram(tmp_path)
    tile = add(store, (0, 2, 89), square())
    image = store.image(tile, context=1)
    assert image[0, 8, 8] == 10000 + 200 + 89  # slice -1 is slice 1
    assert image[1, 5, 8] == 100 + 89 and image[1, 8, 9] == 200 + 88  # row -1, column 90
    labels = store.labels(tile)
    assert (labels[:6] == 255).all() and (labels[:, 9:] == 255).all() and labels[6, 5] == 1 and labels[9, 0] == 0


def test_voxels_that_overlapping_tiles_draw_differently_are_uncertain(tmp_path):
    store = store_with_tomogram(tmp_path)
    first, second = add(store, drawing=square()), add(store, (4, 30, 44), square(start=4, stop=8))
    add(store, (5, 30, 40)), add(store, (4, 30, 40), feature="actin"), add(store, annotator="berta")
    labels = store.labels(first)
    # the first tile's columns 4 to 7 are 0 to 3 of the second one, which drew its columns 4 to 7
    assert (labels[4:8, 4:8] == 255).all() and (labels[4:8, 8:12] == 255).all()
    assert (labels == 255).sum() == 32 and not labels[:4].any()
    assert (store.labels(second)[4:8, :8] == 255).all() and (store.drawing(first) == square()).all()


def test_tiles_that_agree_where_they_overlap_stay_as_they_are(tmp_path):
    store = store_with_tomogram(tmp_path)
    first = add(store, drawing=square(start=4, stop=8))
    add(store, (4, 32, 42), square(start=2, stop=6))
    assert (store.labels(first) == square()).all()


def test_annotations_that_are_moved_with_their_tomogram_find_it(tmp_path):
    (tmp_path / "here").mkdir()
    store = store_with_tomogram(tmp_path / "here")
    tile = add(store)
    store.save()
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = read_annotations(tmp_path / "there" / "annotations")
    assert moved.entries[0].path == str(tmp_path / "there" / "tomo.mrc") and moved.image(tile).shape == (1, SIZE, SIZE)


def test_annotations_that_are_moved_alone_find_the_tomogram_where_it_was(tmp_path):
    store = store_with_tomogram(tmp_path)
    add(store)
    store.save()
    (tmp_path / "far" / "away").mkdir(parents=True)
    shutil.move(tmp_path / "annotations", tmp_path / "far" / "away" / "annotations")
    assert read_annotations(tmp_path / "far" / "away" / "annotations").entries[0].path == str(tmp_path / "tomo.mrc")


def test_a_tomogram_that_is_gone_is_named_and_can_be_given_a_new_place(tmp_path):
    store = store_with_tomogram(tmp_path)
    tile = add(store)
    store.save()
    shutil.move(tmp_path / "tomo.mrc", tmp_path / "other.mrc")
    with pytest.raises(FileNotFoundError, match="tomo of the annotations .* is not at .*tomo.mrc.*--tomograms"):
        read_annotations(tmp_path / "annotations").image(tile)
    found = read_annotations(tmp_path / "annotations", {"tomo": str(tmp_path / "other.mrc"), "unknown": "x.mrc"})
    assert found.image(found.entries[0])[0, 8, 8] == 43040


def test_tiles_of_an_ome_zarr_are_shown_and_found_after_a_move(tmp_path):
    numbered_tomogram(tmp_path / "tomo.mrc", (9, 70, 90))
    export = ["export-tomograms", "--tomograms", str(tmp_path / "tomo.mrc"), "--output", str(tmp_path / "exported")]
    assert main(export) == 0
    shutil.move(tmp_path / "exported/tomo.zarr", tmp_path / "tomo.zarr")
    images = []
    for path in ("tomo.mrc", "tomo.zarr"):
        store = open_annotations(str(tmp_path / f"of_{path}"))
        store.set_path("tomo", str(tmp_path / path), (9, 70, 90))
        images.append(store.image(add(store)))
        store.save()
    assert (images[0] == images[1]).all()
    (tmp_path / "far").mkdir()
    shutil.move(tmp_path / "of_tomo.zarr", tmp_path / "far/of_tomo.zarr")
    moved = read_annotations(tmp_path / "far/of_tomo.zarr")
    assert (moved.image(moved.entries[0]) == images[0]).all()


def test_another_tomogram_under_the_same_name_is_noticed(tmp_path):
    store = store_with_tomogram(tmp_path)
    tile = add(store)
    numbered_tomogram(tmp_path / "tomo.mrc", (9, 70, 91))
    with pytest.raises(ValueError, match="91 x 70 x 9 voxels; when tomo was annotated it had 90 x 70 x 9"):
        store.image(tile)


@pytest.mark.parametrize("stage", ["write_tile_stack", "write_json"])
def test_a_crash_while_saving_loses_no_earlier_drawing(tmp_path, monkeypatch, stage):
    store = store_with_tomogram(tmp_path)
    first, second = add(store, drawing=square()), add(store, drawing=square(start=1, stop=3))
    store.save()
    store.remove(first)
    add(store, drawing=square(start=10, stop=12))
    monkeypatch.setattr(stores, stage, lambda *a, **k: (_ for _ in ()).throw(OSError("the disk is full")))
    with pytest.raises(OSError, match="full"):
        store.save()
    again = read_annotations(tmp_path / "annotations")
    assert again.entries == [first, second]
    assert (again.drawing(first) == square()).all() and (again.drawing(second) == square(start=1, stop=3)).all()


def test_places_of_removed_drawings_are_used_again(tmp_path):
    store = store_with_tomogram(tmp_path)
    for _ in range(4):
        for tile in store.entries[:]:
            store.remove(tile)
        add(store, drawing=square()), add(store, drawing=square())
        store.save()
    assert len(files.read_stack(tmp_path / "annotations", "drawings.mrc", ())) <= 4
    assert (read_annotations(tmp_path / "annotations").drawing(store.entries[1]) == square()).all()


def test_what_another_window_saved_meanwhile_is_not_overwritten(tmp_path):
    store = store_with_tomogram(tmp_path)
    add(store)
    store.save()
    other = read_annotations(tmp_path / "annotations")
    other.remove(other.entries[0])
    other.save()
    with pytest.raises(ValueError, match="changed by another program"):
        store.save()
    other.save()
    assert read_annotations(tmp_path / "annotations").entries == []


def test_a_drawing_that_is_erased_makes_the_tile_one_without_the_feature(tmp_path):
    store = store_with_tomogram(tmp_path)
    tile = add(store, drawing=square())
    assert tile.kind == "positive" and store.redraw(tile, square(value=0)).kind == "negative"


def test_tiles_with_an_image_of_their_own_need_no_tomogram(tmp_path):
    store = open_annotations(tmp_path / "a")
    for value, size in ((1, 16), (2, 24)):
        store.add("stack", PIXEL, (0, 8, 8), size, "membrane", "anna", square(size), np.full((size, size), value))
        store.save()
    again = read_annotations(tmp_path / "a")
    assert [again.image(t).tolist() for t in again.entries] == [
        np.full((1, 16, 16), 1).tolist(),
        np.full((1, 24, 24), 2).tolist(),
    ]
    with pytest.raises(ValueError, match="single image without its tomogram.*unet2d"):
        again.image(again.entries[0], context=1)


@pytest.mark.parametrize(
    "wrong, words",
    [
        (dict(feature="a b"), "'a b'"),
        (dict(feature="a__b"), "single '_'"),
        (dict(annotator="../me"), "annotator is"),
        (dict(drawing=square(8)), r"\(8, 8\)"),
        (dict(drawing=square(value=3)), "value 3"),
    ],
)
def test_names_and_drawings_that_cannot_be_kept_are_refused(tmp_path, wrong, words):
    with pytest.raises(ValueError, match=words):
        add(store_with_tomogram(tmp_path), **wrong)


def test_folders_that_are_none_of_annotations_or_damaged_are_refused(tmp_path):
    store = store_with_tomogram(tmp_path)
    tile = add(store, drawing=square())
    store.save()
    folder = tmp_path / "annotations"
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_annotations(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="not a folder of annotations"):
        open_annotations(tmp_path)
    table = json.loads((folder / "annotations.json").read_text())
    for wrong, words in (
        (dict(table, version=99), "version 99"),
        ({"x": 1}, "damaged"),
        (dict(table, tiles=[dict(dataclasses.asdict(tile), drawing=7)]), "damaged"),
        (dict(table, tiles=[dict(table["tiles"][0], drawing=7)]), "does not hold all"),
        (dict(table, revision=float("inf")), "damaged|not valid JSON"),
        *(
            (dict(table, tiles=[dict(table["tiles"][0], **{name: value})]), f"damaged.*{name}")
            for name, value in (
                ("drawing", "1"),
                ("image", {}),
                ("size", "64"),
                ("size", 0),
                ("number", 1.5),
                ("centre_zyx", [1, 2]),
                ("centre_zyx", [1, 2, "3"]),
                ("pixel_size", -1),
                ("feature", None),
            )
        ),
    ):
        (folder / "annotations.json").write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=words):
            read_annotations(folder)
    (folder / "annotations.json").write_text(json.dumps(table))
    (folder / "drawings.mrc").unlink()
    with pytest.raises(ValueError, match="drawings.mrc is missing.*whole folder"):
        read_annotations(folder)


def test_annotations_are_joined_and_tiles_that_are_there_are_not_added_again(tmp_path):
    mine, theirs = store_with_tomogram(tmp_path), open_annotations(tmp_path / "elsewhere" / "theirs")
    add(mine, drawing=square())
    theirs.set_path("tomo", tmp_path / "tomo.mrc", SHAPE)
    add(theirs, (2, 20, 20), square(), annotator="berta")
    theirs.add("stack", PIXEL, (0, 8, 8), SIZE, "membrane", "berta", image=np.full((SIZE, SIZE), 3))
    theirs.save()
    assert add_annotations(mine, read_annotations(theirs.folder)) == 2
    assert add_annotations(mine, read_annotations(theirs.folder)) == 0
    mine.save()
    joined = read_annotations(mine.folder)
    assert joined.counts() == {"membrane": {"positive": 2, "negative": 1}} and joined.annotators == ["anna", "berta"]
    assert joined.image(joined.entries[1]).shape == (1, SIZE, SIZE) and joined.image(joined.entries[2])[0, 0, 0] == 3
    assert (joined.drawing(joined.entries[1]) == square()).all()


def test_the_shape_in_use_is_that_of_the_tomogram(tmp_path):
    assert store_with_tomogram(tmp_path).tomograms.open("tomo").shape == SHAPE


def test_the_folder_can_be_read_by_scipions_python():
    for name in ("__init__", "label_volumes", "store", "tiles"):
        text = (Path(stores.__file__).parent / f"{name}.py").read_text(encoding="utf-8")
        tree = ast.parse(text, feature_version=(3, 8))
        imported = {n.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names}
        assert imported <= {"dataclasses", "json", "mrcfile", "numpy", "os", "re", "typing", "warnings"}, name
