# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl select-classes`: the particles of classes with a score that is high enough."""

import json

import mrcfile
import numpy as np
import pytest
from classes2d_data import write_shapes

from cryodl.cli import main
from cryodl.contract import Failure, Result
from cryodl.io.particle_sets import read_particles
from cryodl.io.star import read_tables, write_tables

SCORES, COUNTS = (0.9, 0.3, 0.8), (20, 25, 13)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A classification of 60 particles: three classes, and two particles in none."""
    monkeypatch.chdir(tmp_path)
    done = tmp_path / "done"
    done.mkdir()
    write_shapes(done)
    tables = read_tables("done/p.star")
    tables["particles"]["rlnClassNumber"] = np.repeat([1, 2, 3, 0], (*COUNTS, 2)).tolist()
    write_tables("done/particles.star", tables)
    with mrcfile.new("done/classes.mrcs") as stack:
        stack.set_data(np.arange(3, dtype="float32")[:, None, None] * np.ones((3, 32, 32), "float32"))
    write_tables(
        "done/classes.star",
        {
            "classes": {
                "rlnReferenceImage": [f"00000{n}@classes.mrcs" for n in (1, 2, 3)],
                "rlnClassNumber": [1, 2, 3],
                "cryodlParticles": COUNTS,
                "rlnClassScore": SCORES,
            }
        },
    )
    return tmp_path


def select(code=0, **options):
    options = dict(dict(classes="done/classes.star", output="out", result="result.json"), **options)
    assert main(["select-classes", *(str(w) for name, value in options.items() for w in (f"--{name}", value))]) == code
    return Result.read("result.json") if code == 0 else Failure.read("failure.json").message


def test_particles_of_good_classes_are_kept_and_the_others_counted(folder):
    result = select()
    found = read_particles("out/particles.star")
    assert result.outputs["kept"] == [1, 3] and sorted(set(found.classes)) == [1, 3]
    assert (result.outputs["count"], result.outputs["dropped"], result.outputs["unclassified"]) == (33, 25, 2)
    assert len(found) == 33 and found.images([0]).shape == (1, 32, 32)
    with mrcfile.open("out/classes.mrcs") as stack:
        assert stack.data[:, 0, 0].tolist() == [0, 2]
    table = read_tables("out/classes.star")["classes"]
    assert table["rlnClassNumber"] == ["1", "3"] and table["rlnReferenceImage"][1] == "000002@classes.mrcs"


def test_every_class_stands_in_selection_json(folder):
    select(fewest=15)
    said = json.loads((folder / "out" / "selection.json").read_text())
    assert [(c["number"], c["kept"], c["particles"]) for c in said["classes"]] == [
        (1, True, 20),
        (2, False, 25),
        (3, False, 13),
    ]


def test_a_score_equal_to_the_threshold_is_kept(folder):
    assert select(threshold=0.8).outputs["kept"] == [1, 3]


def test_no_class_above_the_threshold_is_an_error_that_tells_the_best_score(folder):
    assert "the best score is 0.90" in select(code=2, threshold=0.95)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda t: t["classes"].pop("rlnClassScore"), "it has no rlnClassScore"),
        (lambda t: t["classes"].update(rlnReferenceImage=["1@gone.mrcs"] * 3), "names the stack of averages gone.mrcs"),
        (lambda t: t["classes"].update(rlnReferenceImage=["9@classes.mrcs"] * 3), "names average 9 of classes.mrcs"),
    ],
)
def test_a_broken_table_of_classes_is_said_in_a_sentence(folder, change, words):
    tables = read_tables("done/classes.star")
    change(tables)
    write_tables("done/classes.star", tables)
    assert words in select(code=2)


def test_particles_without_classes_are_said_in_a_sentence(folder):
    (folder / "done" / "p.star").replace(folder / "done" / "particles.star")
    assert "has no classes (rlnClassNumber)" in select(code=2)
