# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks in the files of other programs, with the layouts that their own code writes."""

import json

import numpy as np
import pytest

from cryodl.io.coordinates import read_coordinates, write_coordinates

# crYOLO 1.9 (cryoloBM's CoordsIO.write_cbox_file): corners of boxes, <NA> where nothing is known
CBOX = """
data_global

_cbox_format_version 1.0

data_cryolo

loop_
_CoordinateX #1
_CoordinateY #2
_CoordinateZ #3
_Width #4
_Height #5
_Depth #6
_EstWidth #7
_EstHeight #8
_Confidence #9
_NumBoxes #10
_Angle #11
100.0 200.0 <NA> 40.0 60.0 1.0 38.0 61.0 0.85 <NA> <NA>
10.5 20.5 <NA> 40.0 40.0 1.0 38.0 39.0 0.12 <NA> <NA>


data_cryolo_include

loop_
_slice_index #1

"""
TOMOGRAM = (
    "data_particles\n\nloop_\n_rlnTomoName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n_rlnCoordinateZ #4\n"
    "TS_1 12.5 30.0 7.25\n"
)


def only(path):
    ((key, (yx, scores)),) = read_coordinates(path).items()
    return key, yx.tolist(), scores.tolist()


def test_cryolo_s_boxes_have_their_centres_and_confidence(tmp_path, capsys):
    (tmp_path / "mic_1.cbox").write_text(CBOX)
    assert only(tmp_path / "mic_1.cbox") == ("mic_1", [[230, 120], [40.5, 30.5]], [0.85, 0.12])
    assert capsys.readouterr().out.count("boxes of the .cbox files have a confidence below 0.3") == 1
    (tmp_path / "old.cbox").write_text("100\t200\t40\t60\t0.85\t38\t61\n")  # before 1.8
    assert only(tmp_path / "old.cbox") == ("old", [[230, 120]], [0.85])
    (tmp_path / "old.cbox").unlink()
    assert list(read_coordinates(tmp_path)) == ["mic_1"]  # in a folder, too


def test_eman2_s_boxes_are_centres(tmp_path):
    # what e2boxer.py keeps beside others in info/<micrograph>_info.json
    found = dict(boxes=[[120, 230, "manual"], [30.5, 40.5, "auto_convnet"]], ctf_frame=[1024])
    (tmp_path / "mic_1_info.json").write_text(json.dumps(found))
    assert only(tmp_path / "mic_1_info.json") == ("mic_1", [[230, 120], [40.5, 30.5]], [0, 0])
    assert only(tmp_path)[0] == "mic_1"


def test_tables_with_a_head_are_read_by_the_names_in_it(tmp_path):
    (tmp_path / "a.csv").write_text("X,Y,Confidence,Micrograph\n120,230,0.5,mics/m1.mrc\n30.5,40.5,0.25,mics/m2.mrc\n")
    found = read_coordinates(tmp_path / "a.csv")
    assert found["m1"][0].tolist() == [[230, 120]] and found["m2"][1].tolist() == [0.25]
    (tmp_path / "mic_1.csv").write_text("index,axis-0,axis-1\n0.0,230.0,120.0\n")  # napari's points
    assert only(tmp_path / "mic_1.csv") == ("mic_1", [[230, 120]], [0])
    for z in ("0", "nan", ""):
        # a spreadsheet's, where commas are decimal
        (tmp_path / "mic_1.csv").write_text(f"x;y;z;score\n120;230;{z};0.5\n")
        assert only(tmp_path / "mic_1.csv") == ("mic_1", [[230, 120]], [0.5])
    (tmp_path / "none.csv").write_text("x,y\n")  # a micrograph without picks
    assert {key: len(yx) for key, (yx, _) in read_coordinates(tmp_path / "none.csv").items()} == {"none": 0}
    (tmp_path / "none.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="none.csv: its first line must name the columns x and y"):
        read_coordinates(tmp_path / "none.csv")


def test_relion_s_list_of_files_is_followed_from_the_project_s_folder(tmp_path):
    (tmp_path / "AutoPick" / "job004" / "mics").mkdir(parents=True)
    write_coordinates(tmp_path / "AutoPick" / "job004" / "mics" / "m1_autopick.star", [[230, 120]], [0.5])
    (tmp_path / "AutoPick" / "job004" / "mics" / "m2.box").write_text("100 200 40 60\n")
    (tmp_path / "AutoPick" / "job004" / "autopick.star").write_text(
        "\n# version 30001\n\ndata_coordinate_files\n\nloop_\n_rlnMicrographName #1\n_rlnMicrographCoordinates #2\n"
        "mics/m1.mrc AutoPick/job004/mics/m1_autopick.star\nmics/m2.mrc AutoPick/job004/mics/m2.box\n"
    )
    found = read_coordinates(tmp_path / "AutoPick" / "job004" / "autopick.star")
    assert {key: yx.tolist() for key, (yx, _) in found.items()} == {"m1": [[230, 120]], "m2": [[230, 120]]}
    (tmp_path / "AutoPick" / "job004" / "mics" / "m2.box").unlink()
    with pytest.raises(FileNotFoundError, match=r"autopick.star names the file of coordinates .*m2.box"):
        read_coordinates(tmp_path / "AutoPick" / "job004" / "autopick.star")


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("a.cbox", CBOX.replace("_Width", "_Breadth"), "no block data_cryolo with _Width"),
        ("a.cbox", CBOX.replace("data_cryolo\n", "data_other\n"), "no block data_cryolo with _CoordinateX"),
        ("a.cbox", CBOX.replace("0.85", "good"), "could not convert"),
        ("a.cbox", CBOX.replace("0.85", "nan"), "is not a finite number"),
        ("a.cbox", "1 2 3 4\n", "line 1 has 4 columns; a .cbox line has at least 5"),
        ("a.json", "{", "not a JSON file: line 1, column 2 is not as JSON is written"),
        ("a.json", "[" * 100_000, "not a JSON file: it is nested too deeply"),
        ("a.json", "{}", "no boxes of EMAN2"),
        ("a.json", '{"boxes": [{"x": 1}]}', "a box is no row x, y, method: 0 is missing"),
        ("a.json", '{"boxes": [[1]]}', "a box is no row x, y, method: a row has too few values"),
        ("a.json", '{"boxes": [["a", 2]]}', "a box is no row x, y, method: 'a' is no number"),
        ("a.csv", "a,b\n1,2\n", "must name the columns x and y.* it names a, b"),
        ("a.csv", "index,axis-0,axis-1,axis-2\n0,7,230,120\n", "in three dimensions .axis-2., of a tomogram"),
        ("a.csv", "x,y,z,micrograph\n1,2,0,m\n3,4,7,m\n", "in three dimensions .z., of a tomogram"),
        ("a.star", TOMOGRAM, "in three dimensions ._rlnCoordinateZ., of a tomogram"),
        ("a.cbox", CBOX.replace("<NA>", "7", 1), "in three dimensions ._CoordinateZ., of a tomogram"),
        ("a.csv", "x,y\n1,2\n3\n", "line 3 has values of x, y that are no numbers"),
        ("a.csv", "x,y\n1,inf\n", "is not a finite number"),
        ("a.csv", "x,y,micrograph\n1,2\n", "line 2 has no micrograph"),
        ("a.csv", "x,y,micrograph\n1,2,a/m.mrc\n3,4,b/m.mrc\n", "two micrographs with the name m"),
        ("a.csv", "x,y\n1,\x00\n", "no numbers"),
        ("a.dat", "1 2\n", "it is not a file of coordinates; .star, .box, .cbox"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(name, text, words, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"(?s){name}.*({words})"):
        read_coordinates(tmp_path / name)


def test_the_folders_in_a_folder_without_picks_are_named(tmp_path):
    """As crYOLO's output, which has its boxes in CBOX, EMAN and STAR."""
    for name in ("STAR", "CBOX"):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="has no coordinates.* Give the one of the folders in it .*: CBOX, STAR[.]"):
        read_coordinates(tmp_path)


@pytest.mark.parametrize("name", ["a.cbox", "a_info.json", "a.csv"])
def test_damaged_files_give_a_sentence_or_picks(name, tmp_path):
    texts = {
        "a.cbox": CBOX,
        "a_info.json": json.dumps(dict(boxes=[[1, 2, "x"]] * 3)),
        "a.csv": "x,y,score\n1,2,3\n4,5,6\n",
    }
    whole, rng = texts[name].encode(), np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / name).write_bytes(bytes(damaged[: rng.integers(1, len(whole) + 1)]))
        try:
            read_coordinates(tmp_path / name)
        except ValueError as error:
            assert name in str(error)
