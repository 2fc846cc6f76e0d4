# SPDX-License-Identifier: GPL-3.0-or-later
"""Coordinates in files: x is the column, y the row, and a box is given by its centre."""

import numpy as np
import pytest

from cryodl.io.coordinates import align_keys, read_coordinates, write_coordinates

STAR = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n"


def test_x_is_the_column_and_y_the_row(tmp_path):
    (tmp_path / "a.star").write_text(STAR + "30.5 7\n")
    yx, scores = read_coordinates(tmp_path)["a"]
    assert yx.tolist() == [[7.0, 30.5]] and scores.tolist() == [0.0]


def test_a_table_of_one_row_without_a_loop_is_a_pick_and_a_second_table_is_refused(tmp_path):
    """As starfile of before version 0.5 writes one row: it was read as no pick."""
    path = tmp_path / "a.star"
    path.write_text("data_\n\n_rlnCoordinateX 30.5\n_rlnCoordinateY '7'\n_rlnAutopickFigureOfMerit 0.5\n")
    yx, scores = read_coordinates(path)["a"]
    assert yx.tolist() == [[7.0, 30.5]] and scores.tolist() == [0.5]
    path.write_text(STAR + "30.5 7\n\n" + STAR.replace("data_", "data_b") + "1 2\n")
    with pytest.raises(ValueError, match="2 tables of coordinates"):
        read_coordinates(path)


def test_what_is_written_is_read_back(tmp_path):
    yx, scores = np.array([[1.25, 200.5], [4000.125, 3.0]]), np.array([0.75, 0.125])
    write_coordinates(tmp_path / "a.star", yx, scores, "a comment with data_ and loop_ in it")
    ((found, found_scores),) = read_coordinates(tmp_path).values()
    assert np.allclose(found, yx, atol=5e-4) and np.allclose(found_scores, scores, atol=1e-6)


def test_a_file_cut_short_is_no_smaller_list_of_picks(tmp_path):
    path = tmp_path / "a.star"
    write_coordinates(path, [[10.5, 20], [30, 40.25], [5, 6]], [0.9, 0.1, 0.5], "a comment")
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="a.star"):
            read_coordinates(path)
    path.write_bytes(whole.replace(b"\n", b"\r\n"))  # as some editors save it
    assert len(read_coordinates(path)["a"][0]) == 3
    head = [line for line in whole.decode().splitlines() if not line.startswith("#")]  # of a program that keeps none
    path.write_text("\n".join(head[:-2]))
    assert len(read_coordinates(path)["a"][0]) == 2


def test_relion_would_read_the_labels(tmp_path):
    write_coordinates(tmp_path / "a.star", [[1, 2]], [0.5])
    lines = (tmp_path / "a.star").read_text().splitlines()
    assert [line for line in lines if line.startswith("_")] == [
        "_rlnCoordinateX #1",
        "_rlnCoordinateY #2",
        "_rlnAutopickFigureOfMerit #3",
    ]
    assert "data_" in lines and "loop_" in lines and lines[-2].split() == ["2.000", "1.000", "0.500000"]
    assert lines[-1] == ""


def test_a_file_without_particles_keeps_its_key(tmp_path):
    write_coordinates(tmp_path / "none.star", np.zeros((0, 2)), np.zeros(0), "comment")
    (tmp_path / "empty.box").write_text("")
    found = read_coordinates(tmp_path)
    assert set(found) == {"none", "empty"} and all(len(yx) == 0 for yx, _ in found.values())


def test_one_star_with_micrograph_names_and_an_optics_block(tmp_path):
    (tmp_path / "particles.star").write_text(
        "# version 30001\n\ndata_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnVoltage #2\n1 300.0\n\n"
        "data_particles\n\nloop_\n_rlnMicrographName #1\n_rlnCoordinateY #2\n_rlnAutopickFigureOfMerit #3\n"
        "_rlnCoordinateX #4\nmics/a.mrc 1 0.5 2\nmics/b.mrc 3 0.25 4\nmics/a.mrc 5 0.125 6\n"
    )
    found = read_coordinates(tmp_path / "particles.star")
    assert found["a"][0].tolist() == [[1, 2], [5, 6]] and found["a"][1].tolist() == [0.5, 0.125]
    assert found["b"][0].tolist() == [[3, 4]]


def test_a_box_is_given_by_its_corner_in_the_file_and_by_its_centre_here(tmp_path):
    (tmp_path / "a.box").write_text("100 200 40 60\n\n-10 0 20 20 0.9\n")
    yx, scores = read_coordinates(tmp_path)["a"]
    assert yx.tolist() == [[230, 120], [10, 0]] and scores.tolist() == [0, 0.9]


def test_topaz_text_in_any_order_of_columns(tmp_path):
    (tmp_path / "picks.txt").write_text("image_name\tscore\ty_coord\tx_coord\na\t1.5\t7\t30\nb\t-2\t8\t40\n")
    found = read_coordinates(tmp_path / "picks.txt")
    assert found["a"][0].tolist() == [[7, 30]] and found["b"][1].tolist() == [-2]


@pytest.mark.parametrize(
    "name, text",
    [
        ("particles.star", STAR + "_rlnMicrographName #3\n1 2 day1/x.mrc\n3 4 day2/x.mrc\n"),
        ("picks.txt", "image_name x_coord y_coord\nday1/x.mrc 1 2\nday2/x.mrc 3 4\n"),
    ],
)
def test_two_micrographs_of_one_name_in_different_folders_are_not_mixed(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    words = f"{name}: .*two micrographs with the name x: day1/x.mrc and day2/x.mrc. .*rename"
    with pytest.raises(ValueError, match=words):
        read_coordinates(tmp_path)


def test_a_micrograph_may_be_named_as_file_and_as_image_of_a_stack(tmp_path):
    (tmp_path / "a.star").write_text(STAR + "_rlnMicrographName #3\n1 2 mics/x.mrc\n3 4 000001@mics//x.mrc\n")
    assert len(read_coordinates(tmp_path)["x"][0]) == 2


def test_folders_with_an_at_sign_are_told_apart(tmp_path):
    (tmp_path / "a.star").write_text(STAR + "_rlnMicrographName #3\n1 2 me@lab/x.mrc\n3 4 you@lab/x.mrc\n")
    with pytest.raises(ValueError, match="two micrographs with the name x: me@lab/x.mrc and you@lab/x.mrc"):
        read_coordinates(tmp_path)


def test_no_list_of_two_for_one_micrograph_is_lost(tmp_path):
    for name in ("first", "second"):
        (tmp_path / f"{name}.star").write_text(STAR + "1 2\n")
    head = "data_coordinate_files\nloop_\n_rlnMicrographName\n_rlnMicrographCoordinates\n"
    row = "mics/x.mrc {}.star\n".format
    (tmp_path / "autopick.star").write_text(head + row("first") + row("first"))
    assert read_coordinates(tmp_path / "autopick.star")["x"][0].tolist() == [[2, 1]]
    (tmp_path / "autopick.star").write_text(head + row("first") + row("second"))
    with pytest.raises(ValueError, match="autopick.star: it names two files of coordinates of the micrograph x"):
        read_coordinates(tmp_path / "autopick.star")


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("a.star", STAR + "1 two\n", "two"),
        ("a.star", STAR + "1 2 3\n", "a.star"),
        ("a.star", "hello\n", "a.star"),
        ("a.star", "data_\nloop_\n_rlnVoltage\n300\n", "_rlnCoordinateX"),
        ("a.star", "", "_rlnCoordinateX"),
        ("a.star", STAR + "nan 2\n", "not a finite number"),
        ("a.box", "1 2 3\n", "line 1 has 3 columns"),
        ("a.box", "1 2 3 x\n", "x"),
        ("a.txt", "", "Topaz header"),
        ("a.txt", "1 2 3\n", "Topaz header"),
        ("a.txt", "image_name x_coord y_coord score\na 1 2\n", "line 2"),
        ("a.star", "\x00\xff", "a.star"),
    ],
)
def test_what_cannot_be_understood_is_named(tmp_path, name, text, words):
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError) as error:
        read_coordinates(tmp_path)
    assert name in str(error.value) and words in str(error.value)


def test_missing_folders_and_folders_without_coordinates_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone do not exist"):
        read_coordinates(tmp_path / "gone")
    (tmp_path / "a.dat").touch()
    with pytest.raises(ValueError, match=r"no .star, .box, .cbox, .txt or _info.json"):
        read_coordinates(tmp_path)
    with pytest.raises(ValueError, match="a.dat: it is not a file of coordinates"):
        read_coordinates(tmp_path / "a.dat")


def test_tables_with_commas_are_the_picks_of_a_folder_that_has_no_others(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("x,y\n3,4\n")
    assert {name: yx.tolist() for name, (yx, _) in read_coordinates(tmp_path).items()} == dict.fromkeys("ab", [[4, 3]])
    (tmp_path / "a.star").write_text(STAR + "1 2\n")
    assert {name: yx.tolist() for name, (yx, _) in read_coordinates(tmp_path).items()} == {"a": [[2, 1]]}


def test_two_files_for_one_micrograph_are_an_error_that_names_both(tmp_path):
    (tmp_path / "a.star").write_text(STAR + "1 2\n")
    (tmp_path / "a.box").write_text("1 2 3 4\n")
    with pytest.raises(ValueError, match="micrograph a: .*a.box and .*a.star"):
        read_coordinates(tmp_path)


def test_keys_with_the_ending_of_a_picker_find_their_micrograph():
    coordinates = {"a_autopick": 1, "b": 2, "c_pick": 3, "stranger": 4}
    assert align_keys(coordinates, {"a", "b", "c_pick"}) == {"a": 1, "b": 2, "c_pick": 3, "stranger": 4}
    assert align_keys({"a": 1}, {"a_autopick"}) == {"a_autopick": 1}


def test_two_lists_for_one_micrograph_are_not_mixed_up():
    with pytest.raises(ValueError, match="a.*a_autopick"):
        align_keys({"a": 1, "a_autopick": 2}, {"a"})


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    (tmp_path / "a.star").write_text(STAR + "1 2\n")
    (tmp_path / ".a.star.123.tmp.star").write_text("half")
    (tmp_path / "candidates").mkdir()
    (tmp_path / "candidates" / "a.star").write_text(STAR + "3 4\n")
    assert list(read_coordinates(tmp_path)) == ["a"]


def test_placeholders_of_cryolo_and_relion_are_no_scores(tmp_path):
    for name, placeholder in (("cryolo", "-9999.0"), ("relion", "-999.000000")):
        text = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnAutopickFigureOfMerit #3\n"
        (tmp_path / f"{name}.star").write_text(text + f"1 2 {placeholder}\n3 4 {placeholder}\n")
        assert read_coordinates(tmp_path / f"{name}.star")[name][1].tolist() == [0, 0]
