# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of picks with names: 'name=folder', folders that end alike, micrographs that one set lacks."""

import pytest
from synthetic import write_star

from cryodl.io.pick_sets import lacking_in_words, name_sets, read_pick_sets


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/picks", "b/picks", "c", "x=y"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def test_a_set_is_called_as_it_is_told_or_as_its_folder(folder):
    assert name_sets(["topaz=a/picks", "c/"]) == {"topaz": "a/picks", "c": "c/"}


def test_folders_that_end_alike_are_told_apart(folder):
    assert name_sets(["a/picks", "b/picks", "c"]) == {"a/picks": "a/picks", "b/picks": "b/picks", "c": "c"}


def test_a_named_folder_does_not_lengthen_the_names_of_others(folder):
    assert list(name_sets(["one=a/picks", "b/picks"])) == ["one", "picks"]


def test_a_folder_with_an_equals_sign_in_its_name_is_a_folder(folder):
    assert name_sets(["x=y", "z=x=y/../c"]) == {"x=y": "x=y", "z": "x=y/../c"}


@pytest.mark.parametrize(
    "texts, words",
    [
        (["c", "./c"], ("./c", "given twice")),
        (["n=a/picks", "n=b/picks"], ("have the name n:", "a/picks", "b/picks")),
        (["one=nowhere", "c"], ("nowhere does not exist", "name=folder")),
        (["c=a/picks", "c"], ("have the name c:",)),
    ],
)
def test_sets_that_cannot_be_told_apart_or_found_are_named(folder, texts, words):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        name_sets(texts)
    for word in words:
        assert word in str(error.value)


def test_micrographs_have_one_name_in_all_sets(folder):
    write_star(folder / "a/picks/m1_autopick.star", [[1, 2]])
    write_star(folder / "a/picks/m2_autopick.star", [[1, 2]])
    write_star(folder / "c/m1.star", [[3, 4]])
    sets = read_pick_sets(["one=a/picks", "c"], 1.0, 20.0)
    assert {name: sorted(picks) for name, picks in sets.items()} == {"one": ["m1", "m2_autopick"], "c": ["m1"]}
    assert sets["one"]["m1"][0].tolist() == [[1, 2]]


def test_two_lists_of_one_micrograph_in_a_set_are_refused(folder):
    write_star(folder / "a/picks/m1_autopick.star", [[1, 2]])
    write_star(folder / "a/picks/m1.star", [[1, 2]])
    write_star(folder / "c/m1.star", [[3, 4]])
    with pytest.raises(ValueError, match="m1 and m1_autopick"):
        read_pick_sets(["a/picks", "c"], 1.0, 20.0)


def test_a_set_that_lacks_a_micrograph_is_named_an_empty_list_is_a_list(folder):
    write_star(folder / "a/picks/m1.star", [[1, 2]])
    write_star(folder / "a/picks/m2.star", [])
    write_star(folder / "c/m1.star", [[3, 4]])
    sets = read_pick_sets(["one=a/picks", "c"], 1.0, 20.0)
    (sentence,) = lacking_in_words(sets, ["m1", "m2"])
    assert sentence.startswith("c has no list of picks for 1 of the 2 micrographs (m2)")
