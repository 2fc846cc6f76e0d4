# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl classify-2d --classes-from`: particles that come later, and the classes of those that came first."""

import json
import os
import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from classes2d_data import classify, purity, write_shapes
from scipy.ndimage import gaussian_filter

from cryodl.io.particle_sets import read_particles, write_particles_star
from cryodl.io.star import read_tables, write_tables
from cryodl.particles.classes2d.earlier_classes import particle_keys
from cryodl.running.cli import main

COUNT, FIRST = 160, 60


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with p.star and the first particles classified, and the kinds of the particles."""
    folder = tmp_path_factory.mktemp("assigned")
    before = os.getcwd()
    os.chdir(folder)
    kinds, _, _ = write_shapes(folder, count=COUNT)
    particles = read_particles("p.star")
    for name, rows in dict(a=range(FIRST), later=range(FIRST, COUNT), b=range(FIRST, 110), c=range(110, COUNT)).items():
        write_particles_star(f"{name}.star", particles.subset(list(rows)))
    classify(particles="a.star", output="first")
    os.chdir(before)
    return folder, kinds


@pytest.fixture
def parts(made, tmp_path, monkeypatch):
    """Kinds of the particles, of which the first 60 are classified into first/; the others are in later.star, and
    again in b.star and c.star."""
    folder, kinds = made
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return kinds


def assign(star, before, output, code=0, flags=(), **options):
    options = dict(dict(classes=50, particles=star, output=output, classes_from=before), **options)
    return classify(code, flags, **options)


def averages(folder):
    with mrcfile.open(f"{folder}/classes.mrcs") as stack:
        return stack.data.copy()


def test_later_particles_get_the_class_of_their_shape_and_its_number(parts):
    result = assign("later.star", "first", "all")
    found = np.concatenate([read_particles(f"{f}/particles.star").classes for f in ("first", "all")])
    assert len(found) == COUNT and (found > 0).all()
    assert purity(found, parts) > 0.95
    assert result.outputs["counts"] == np.bincount(found, minlength=5)[1:].tolist()
    assert (result.outputs["count"], result.outputs["assigned"]) == (COUNT, COUNT - FIRST)
    assert read_particles("all/particles.star").names[0] == "000061@p.mrcs"
    assert [int(n) for n in read_tables("all/classes.star")["classes"]["rlnClassNumber"]] == [1, 2, 3, 4]


def test_two_batches_are_one(parts):
    assign("later.star", "first", "all")
    assign("b.star", "first", "one")
    counts = assign("c.star", "one", "two").outputs["counts"]
    at_once = read_particles("all/particles.star")
    found = [read_particles(f"{f}/particles.star") for f in ("one", "two")]
    assert np.concatenate([f.names for f in found]).tolist() == list(at_once.names)
    same = np.concatenate([f.classes for f in found]) == at_once.classes
    assert same.mean() >= 0.95  # the second batch is compared with averages that have the first
    assert sum(counts) == COUNT
    pairs = [(x, y) for x, y in zip(averages("all"), averages("two")) if x.any()]
    assert pairs and min(np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in pairs) > 0.95


def test_one_choice_of_classes_holds_for_all_batches(parts):
    assign("later.star", "first", "all")
    found = [read_particles(f"{f}/particles.star").classes for f in ("first", "all")]
    kept = []
    for name, more in dict(one=[], two=["--particles", "first/particles.star"]).items():
        command = ["select-classes", "--classes", "all/classes.star", "--output", name, "--threshold", "0.5", *more]
        assert main(command) == 0
        kept.append(
            [row["number"] for row in json.loads(Path(name, "selection.json").read_text())["classes"] if row["kept"]]
        )
    assert kept[0] == kept[1] != []
    selected = [read_particles(f"{f}/particles.star").classes.tolist() for f in ("two", "one")]
    assert selected == [f[np.isin(f, kept[0])].tolist() for f in found]


def test_particles_of_other_classes_are_not_chosen_by_their_numbers(parts, capsys):
    own = read_particles("first/particles.star")
    write_particles_star("others.star", own.subset(np.tile(np.arange(len(own)), 2)))  # more of a class than it counts
    assert main(["select-classes", "--classes=first/classes.star", "--output=x", "--particles=others.star"]) == 2
    said = capsys.readouterr().err
    assert "others.star is not of the classes in first/classes.star" in said and not Path("x").exists()


def test_classes_are_chosen_by_number_with_a_table_of_these_alone(parts):
    found, table = read_particles("first/particles.star").classes, read_tables("first/classes.star")["classes"]
    write_tables("first/chosen.star", {"classes": {name: [row[1]] for name, row in table.items()}})
    words = "select-classes --classes first/chosen.star --threshold 0 --minimum-particles 1 --good-lost 0 --output x"
    assert main(words.split()) == 0 and max(found) > 2
    assert read_particles("x/particles.star").classes.tolist() == found[found == 2].tolist()
    assert read_particles("x/rejected.star").classes.tolist() == found[found != 2].tolist()


def test_images_without_noise_are_warned_of_also_where_they_are_added(parts):
    with mrcfile.open("p.mrcs", "r+") as file:
        file.data[:] = gaussian_filter(file.data, (0, 3, 3), mode="wrap")
    assert any("they look denoised" in text for text in assign("later.star", "first", "all").warnings)


def test_an_average_is_that_of_all_its_particles(parts):
    assign("later.star", "first", "all")
    with np.load("first/sums.npz") as before, np.load("all/sums.npz") as after:
        added = after["weights"].sum(1)[:, 0] - before["weights"].sum(1)[:, 0]  # a weight of 1 each, without a CTF
        assert added.tolist() == (after["counts"] - before["counts"]).tolist()
    assert not np.allclose(averages("first"), averages("all"))


def test_all_are_classified_again_from_the_averages(parts):
    result = assign("p.star", "first", "again", flags=["--again"], epochs=6)
    found = read_particles("again/particles.star").classes
    assert purity(found, parts) > 0.95 and result.outputs["assigned"] == 0
    counts = result.outputs["counts"]
    assert sum(counts) == result.outputs["count"] == COUNT and counts == sorted(counts, reverse=True)


def test_a_batch_without_a_usable_image_changes_nothing(parts):
    particles = read_particles("b.star")
    with mrcfile.open("p.mrcs", "r+") as mrc:
        mrc.data[FIRST:110] = np.nan
    result = assign("b.star", "first", "one")
    assert (read_particles("one/particles.star").classes == 0).all()
    assert len(result.skipped) == len(particles) and result.outputs["assigned"] == 0
    assert result.outputs["count"] == FIRST and np.allclose(averages("one"), averages("first"))


def test_a_broken_file_of_sums_is_named(parts, tmp_path):
    (tmp_path / "first" / "sums.npz").write_bytes(b"PK no archive")
    assert "first/sums.npz is damaged, or not what its name says" in assign("b.star", "first", "one", code=2)


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(classes_from="absent"), "absent (--classes-from) is not the folder of a finished `cryodl classify-2d`"),
        (dict(classes=7), "Number of classes (--classes) is 7, but the run in first was made with 4"),
        (dict(max_shift=10), "is 10.0, but the run in first was made with the default. Leave out --max-shift"),
        (dict(classes_from=None, flags=["--again"]), "--again needs the folder of an earlier run"),
    ],
)
def test_wrong_options_are_named(parts, tmp_path, options, words):
    flags = options.pop("flags", ())
    options = {k: v for k, v in dict(dict(classes_from="first", classes=50), **options).items() if v is not None}
    assert words in classify(2, flags, particles="b.star", output="one", **options)
    assert not (tmp_path / "one").exists()


def test_particles_of_another_pixel_size_or_with_a_ctf_are_refused(parts):
    tables = read_tables("b.star")
    tables["optics"]["rlnImagePixelSize"] = ["5.0"]
    write_tables("fine.star", tables)
    words = assign("fine.star", "first", "one", code=2)
    assert "fine.star has images of 32 px and 5 Å/px" in words and "has 32 px and 4 Å/px" in words
    tables = read_tables("b.star")
    tables["optics"].update(rlnVoltage=[300], rlnSphericalAberration=[2.7], rlnAmplitudeContrast=[0.1])
    for name in ("rlnDefocusU", "rlnDefocusV"):
        tables["particles"][name] = [15000.0] * 50
    write_tables("ctf.star", tables)
    assert "ctf.star has a CTF, but the run in first (--classes-from) was made without" in assign(
        "ctf.star", "first", "one", code=2
    )
    classify(particles="ctf.star", output="with_ctf", classes=4, epochs=1)
    assert "b.star has no CTF, but the run in with_ctf" in assign("b.star", "with_ctf", "one", code=2)
    tables["optics"]["rlnCtfDataAreCtfPremultiplied"] = [1]  # their scores would be 1.4 times too high
    write_tables("ctf.star", tables)
    assert "ctf.star are multiplied by their CTF" in assign("ctf.star", "with_ctf", "one", code=2)


def test_multiplied_images_of_unknown_ctf_are_added_to_classes_of_such(parts):
    for star in ("a.star", "b.star"):
        tables = read_tables(star)
        tables["optics"]["rlnCtfDataAreCtfPremultiplied"] = [1]
        write_tables(star, tables)
    classify(particles="a.star", output="own", classes=4, epochs=1)
    assign("b.star", "own", "both")
    assert len(read_particles("both/particles.star")) == 50


def test_classes_of_multiplied_images_that_were_not_divided_are_not_gone_on_with(parts):
    """They have another scale: the noise of 200 such images, multiplied by their CTF, was 2.06 times that of now."""
    with np.load("first/sums.npz") as kept:
        arrays = dict(kept)
    texts = json.loads(str(arrays["texts"]))
    del texts["divided"]
    for multiplied, code in ((False, 0), (True, 2)):  # as versions before this one noted it
        np.savez("first/sums.npz", **{**arrays, "texts": json.dumps({**texts, "multiplied": multiplied})})
        said = assign("b.star", "first", f"out{code}", code=code)
        assert code == 0 or "first/sums.npz" in said and "Classify again" in said


def test_particles_are_not_counted_twice(parts):
    classify(particles="a.star", output="own", classes=4, epochs=1)
    assign("b.star", "own", "one")
    for star, before, count in (("a", "own", 60), ("p", "own", 60), ("b", "one", 50), ("a", "one", 60)):
        words = assign(f"{star}.star", before, "two", code=2)
        assert f"{count} of the " in words and f"are in the classes of {before} (--classes-from) already" in words
        assert not Path("two").exists()


def test_particles_that_are_left_out_when_all_are_classified_again_are_said(parts):
    classify(particles="a.star", output="own", classes=4, epochs=1)
    assign("b.star", "own", "one")
    said = assign("later.star", "one", "some", flags=["--again"], epochs=1).warnings
    assert any("60 of the 110 particles of the run in one are not in later.star" in words for words in said)
    said = assign("p.star", "one", "every", flags=["--again"], epochs=1).warnings
    assert not any("are not in" in words for words in said)


def test_sums_of_before_the_particles_were_noted_can_still_be_added_to(parts):
    with np.load("first/sums.npz") as kept:
        arrays = {name: kept[name] for name in kept.files if name != "members"}
    np.savez("first/sums.npz", **arrays)
    assert assign("b.star", "first", "one").outputs["count"] == FIRST + 50


def test_two_particles_with_one_image_and_ids_of_their_own_are_two(parts):
    """As in a set of Scipion that was joined from two."""
    tables = read_tables("b.star")
    for name, first in (("one", 0), ("two", 100)):
        tables["particles"]["rlnImageId"] = [str(first + row) for row in range(50)]
        write_tables(f"{name}.star", tables)
    keys = [particle_keys(read_particles(f"{name}.star")) for name in ("one", "two", "one", "b", "c")]
    assert len(set(keys[0])) == 50 and not np.isin(keys[0], keys[1]).any() and (keys[0] == keys[2]).all()
    assert not np.isin(keys[3], keys[4]).any()
