# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl import-annotations`: label volumes and stacks of tiles become annotations."""

import contextlib
from pathlib import Path
from types import SimpleNamespace

import mrcfile
import numpy as np
import pytest
from annotated import PIXEL, write_volume
from synthetic import write_mrc

from cryodl.running.cli import main
from cryodl.tomograms.annotations.label_volumes import open_pairs
from cryodl.tomograms.annotations.store import open_annotations, read_annotations

SHAPE = (30, 64, 96)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def volumes(name="a", dtype=np.int8, unannotated=255):
    """A tomogram of noise; labels: 1 a plane in x, 2 a block elsewhere, the last rows not annotated."""
    rng = np.random.default_rng(1)
    labels = np.zeros(SHAPE, np.int16)
    labels[3:27, :, 20:23] = 1
    labels[:, 10:40, 70:90] = 2
    labels[:, 48:] = unannotated
    write_volume(f"{name}.mrc", rng.standard_normal(SHAPE).astype(np.float32))
    write_volume(f"{name}_labels.mrc", labels.astype(dtype))


def run(*more, expected=0):
    code = main(["import-annotations", "--annotations", "out", "--feature", "membrane", *more])
    assert code == expected
    return None if code else read_annotations("out")


def of_labels(*more, label="1", **options):
    return run("--tomograms", "*a.mrc", "--labels", "*_labels.mrc", "--label", label, "--tile", "16", *more, **options)


@pytest.mark.parametrize("dtype, unannotated", [(np.int8, -1), (np.int16, 255), (np.float32, 255), (np.uint16, 255)])
def test_tiles_of_label_volumes_hold_what_the_volume_says(dtype, unannotated):
    volumes(dtype=dtype, unannotated=unannotated)
    store = of_labels("--positive-tiles", "8", "--negative-tiles", "12")
    assert store.counts() == {"membrane": {"positive": 8, "negative": 12}}
    labels = mrcfile.read("a_labels.mrc").astype(int)
    for tile in store.entries:
        (y, x), z = tile.corner_yx, tile.centre_zyx[0]
        there = labels[z, y : y + 16, x : x + 16]
        drawing = store.drawing(tile)
        assert ((there == 1) == (drawing == 1)).all() and ((there == unannotated) == (drawing == 255)).all()
        assert (drawing == 1).any() == (tile.kind == "positive")
        assert (store.image(tile)[0] == mrcfile.read("a.mrc")[z, y : y + 16, x : x + 16]).all()
        assert tile.pixel_size == PIXEL and tile.tomogram == "a"


def test_tiles_come_from_all_over_the_volume_and_include_other_features():
    volumes()
    store = of_labels("--positive-tiles", "12", "--negative-tiles", "20")
    slices = [t.centre_zyx[0] for t in store.tiles(kind="positive")]
    assert len(set(slices)) == 12 and max(slices) - min(slices) > 12
    labels = mrcfile.read("a_labels.mrc")
    corners = [(t.centre_zyx[0], *t.corner_yx) for t in store.tiles(kind="negative")]
    assert sum((labels[z, y : y + 16, x : x + 16] == 2).any() for z, y, x in corners) >= 10


def test_a_rare_feature_is_found_in_the_one_slice_that_has_it():
    volumes()
    with mrcfile.open("a_labels.mrc", "r+") as mrc:
        mrc.data[17, 20:30, 4:10] = 5
    store = of_labels("--positive-tiles", "3", "--negative-tiles", "3", label="5")
    assert {t.centre_zyx[0] for t in store.tiles(kind="positive")} == {17}


def test_tiles_are_shared_among_several_volumes():
    for name in ("a", "ba"):
        volumes(name)
    store = of_labels("--positive-tiles", "10", "--negative-tiles", "10")
    assert [len(store.tiles(tomogram=name, kind="positive")) for name in ("a", "ba")] == [5, 5]


def test_the_same_import_again_adds_no_tile_twice_and_another_feature_is_added(capsys):
    volumes()
    few = ("--positive-tiles", "4", "--negative-tiles", "4")
    first = of_labels(*few)
    assert of_labels(*few).entries == first.entries
    code = main(
        [
            "import-annotations",
            "--annotations",
            "out",
            "--feature",
            "block",
            "--tomograms",
            "a.mrc",
            "--labels",
            "a_labels.mrc",
            "--label",
            "2",
            "--tile",
            "16",
            *few,
        ]
    )
    assert code == 0 and read_annotations("out").counts()["block"] == {"positive": 4, "negative": 4}
    assert read_annotations("out").counts()["membrane"] == {"positive": 4, "negative": 4}


def test_fewer_tiles_than_asked_for_are_said(capsys):
    volumes()
    store = of_labels("--positive-tiles", "100000")
    found = len(store.tiles(kind="positive"))
    words = f"100000 tiles with the feature were requested, but the label volumes have only {found}."
    assert words in capsys.readouterr().out


def stack(name, values, size=16):
    write_mrc(name, np.stack([np.full((size, size), v, np.float32) for v in values]))


def test_a_stack_with_drawings_keeps_images_and_strokes():
    stack("tiles.mrcs", [1, 2, 3])
    drawings = np.zeros((3, 16, 16), np.float32)
    drawings[0, 2, 5], drawings[0, 3, 5], drawings[2, 0, 0] = 7, 255, 255
    write_mrc("drawn.mrcs", drawings)
    store = run("--tiles", "tiles.mrcs", "--drawings", "drawn.mrcs", "--pixel-size", "6")
    assert [t.kind for t in store.entries] == ["positive", "negative", "negative"]
    assert store.drawing(store.entries[0])[2:4, 5].tolist() == [1, 255] and store.labels(store.entries[2])[0, 0] == 255
    assert [float(store.image(t).mean()) for t in store.entries] == [1, 2, 3]
    assert store.entries[0].pixel_size == 6 and store.entries[0].path is None


def test_a_stack_without_drawings_is_without_the_feature(capsys):
    stack("with.mrcs", [1])
    stack("drawn.mrcs", [1])
    stack("without.mrcs", [0, 5])
    run("--tiles", "with.mrcs", "--drawings", "drawn.mrcs", "--pixel-size", "6")
    assert "no tiles without membrane by annotator" in capsys.readouterr().out
    store = run("--tiles", "without.mrcs", "--pixel-size", "6")
    assert store.counts() == {"membrane": {"positive": 1, "negative": 2}}
    assert [float(store.image(t).mean()) for t in store.entries] == [1, 0, 5]


def pairs_of(config):
    return open_pairs(config, lambda name, path: contextlib.nullcontext())


def test_label_volumes_belong_to_the_tomogram_that_they_are_called_like(capsys):
    for name in ("a", "a_b"):  # sorted, a.mrc is before a_b.mrc, but a_b_labels.mrc before a_labels.mrc
        volumes(name)
    config = SimpleNamespace(tomograms=("*_b.mrc", "a.mrc"), labels=("*_labels.mrc",), names=(), pixel_size=None)
    pairs, warnings = pairs_of(config)
    assert [name for name, *_ in pairs] == ["a", "a_b"] and not warnings
    assert [Path(pair[1].path).name for pair in pairs] == ["a.mrc", "a_b.mrc"]
    assert [Path(pair[2].path).name for pair in pairs] == ["a_labels.mrc", "a_b_labels.mrc"]
    Path("a_labels.mrc").rename("c_labels.mrc")
    with pytest.raises(ValueError, match="Only some names .* Left over: a of the tomograms, c_labels of the label vol"):
        pairs_of(config)
    Path("a_b_labels.mrc").rename("d_labels.mrc")
    with pytest.raises(ValueError, match="No names of the tomograms .--tomograms. and of the label volumes"):
        pairs_of(config)
    assert not pairs_of(SimpleNamespace(tomograms=("a.mrc",), labels=("c_labels.mrc",), names=(), pixel_size=None))[
        -1
    ]  # only one
    pairs, warnings = pairs_of(
        SimpleNamespace(
            tomograms=("a.mrc", "a_b.mrc"), names=("d", "c"), labels=("d_labels.mrc", "c_labels.mrc"), pixel_size=None
        )
    )
    labels = [Path(pair[2].path).name for pair in pairs]
    assert labels == ["d_labels.mrc", "c_labels.mrc"] and not warnings  # as the names are


@pytest.mark.parametrize("origin, said", [((0, 0, 0), False), ((48, 100, 100), False), ((480, 100, 100), True)])
def test_labels_whose_header_says_another_place_are_named(origin, said):
    volumes("a")
    for name, place in (("a", (50, 100, 100)), ("a_labels", origin)):
        with mrcfile.open(f"{name}.mrc", "r+") as mrc:
            mrc.voxel_size, mrc.header.origin = 6, place
    warnings = pairs_of(SimpleNamespace(tomograms=("a.mrc",), labels=("a_labels.mrc",), names=(), pixel_size=None))[-1]
    assert bool(warnings) is said
    if said:
        assert "a_labels.mrc begins at (480.0, 100.0, 100.0) Å, a.mrc at (50.0," in warnings[0]


def test_labels_whose_header_says_another_pixel_size_are_named():
    volumes("a")
    for name, pixel_size in (("a", 6), ("a_labels", 12)):
        with mrcfile.open(f"{name}.mrc", "r+") as mrc:
            mrc.voxel_size = pixel_size
    config = SimpleNamespace(tomograms=("a.mrc",), labels=("a_labels.mrc",), names=(), pixel_size=None)
    assert pairs_of(config)[-1] == ["The header of a_labels.mrc says 12 Å/px; 6 Å/px was used instead."]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--label", "9", "--labels", "a_labels.mrc"), "No voxel .* has the value 9.*found are 0, 1, 2, 255"),
        (("--label", "1", "--labels", "small.mrc"), "small.mrc has 20 x 10 x 5 voxels .*a.mrc 96 x 64 x 30"),
        (("--label", "1", "--labels", "a_labels.mrc", "small.mrc"), "1 tomograms .* and 2 label volumes"),
        (("--label", "1", "--labels", "a_labels.mrc", "--tile", "128"), "96 x 64 px wide, less than Tile"),
        (("--label", "1", "--labels", "a.mrc"), "a.mrc holds values such as .*; label volumes hold whole numbers"),
        (("--label", "1", "--labels", "absent.mrc"), "No file matches 'absent.mrc'"),
    ],
)
def test_label_volumes_that_do_not_fit_are_refused_with_the_reason(capsys, arguments, words):
    volumes()
    write_volume("small.mrc", np.zeros((5, 10, 20), np.int8))
    run("--tomograms", "a.mrc", "--tile", "16", *arguments, expected=2)
    import re

    assert re.search(words, capsys.readouterr().err.replace("\n", " "))
    with pytest.raises(FileNotFoundError):
        read_annotations("out")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--tiles", "tiles.hdf"), "HDF file.*e2proc2d"),
        (("--tiles", "tiles.mrcs", "--drawings", "few.mrcs"), "are 2 of 16 x 16 px, the tiles tiles.mrcs 3"),
        (("--tiles", "tiles.mrcs", "--feature", "mem/brane"), "'mem/brane'"),
    ],
)
def test_stacks_that_do_not_fit_are_refused_with_the_reason(capsys, arguments, words):
    stack("tiles.mrcs", [1, 2, 3])
    stack("few.mrcs", [1, 2])
    Path("tiles.hdf").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(2048))
    run("--pixel-size", "6", *arguments, expected=2)
    import re

    assert re.search(words, capsys.readouterr().err)


def test_the_same_stack_is_not_imported_twice(capsys):
    stack("tiles.mrcs", [1])
    run("--tiles", "tiles.mrcs", "--pixel-size", "6")
    run("--tiles", "tiles.mrcs", "--pixel-size", "6", expected=2)
    assert "already" in capsys.readouterr().err and len(read_annotations("out").entries) == 1


def test_two_tomograms_of_one_name_are_not_taken_for_one_another(folder, capsys):
    for number, day in enumerate(("day1", "day2")):
        Path(day).mkdir()
        write_volume(f"{day}/t.mrc", np.full((8, 40, 40), number, np.float32) + np.eye(40, dtype=np.float32))
        store = open_annotations(f"{day}/drawn")
        store.set_path("t", f"{day}/t.mrc")
        store.add("t", PIXEL, (4, 20, 20 + number), 16, "membrane", "anna")
        store.save()
    join = ["import-annotations", "--folders", "day1/drawn", "day2/drawn", "--annotations", "out"]
    assert main(join) == 2
    assert "day1/t.mrc and day2/t.mrc are two tomograms called t" in capsys.readouterr().err
    assert main([*join, "--tomograms", "day2/t.mrc"]) == 0
    assert [store.image(t).min() for store in [read_annotations("out")] for t in store.entries] == [1, 1]
    Path("day2/t.mrc").unlink()  # annotated on another machine, say
    assert main([*join[:-1], "again"]) == 0
    assert [store.image(t).min() for store in [read_annotations("again")] for t in store.entries] == [0, 0]
