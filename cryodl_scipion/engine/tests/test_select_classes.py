# SPDX-License-Identifier: GPL-3.0-or-later
"""`cryodl select-classes`: the particles of classes with a score that is high enough."""

import itertools
import json

import mrcfile
import numpy as np
import pytest
from classes2d_data import write_shapes

from cryodl.contract import Failure, Result, chosen_classes, particle_cut
from cryodl.io.particle_sets import read_particles
from cryodl.io.star import read_tables, write_tables
from cryodl.running.cli import main

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
    tables = read_tables("done/classes.star")
    empty = dict(zip(tables["classes"], ("000003@classes.mrcs", 4, 0, 0.9)))  # is not counted
    write_tables("done/classes.star", {"classes": {k: [*v, empty[k]] for k, v in tables["classes"].items()}})
    result = select()
    found = read_particles("out/particles.star")
    assert result.outputs["kept"] == sorted(set(found.classes)) == [1, 3]
    assert (result.outputs["count"], result.outputs["dropped"], result.outputs["unclassified"]) == (33, 25, 2)
    assert "kept 2 classes of 3 with" in result.summary[0] and "The 33 particles of 2 2-D classes" in result.methods[0]
    assert len(found) == 33 and found.images([0]).shape == (1, 32, 32)
    with mrcfile.open("out/classes.mrcs") as stack:
        assert stack.data[:, 0, 0].tolist() == [0, 2]
    table = read_tables("out/classes.star")["classes"]
    assert table["rlnClassNumber"] == ["1", "3"] and table["rlnReferenceImage"][1] == "000002@classes.mrcs"


def test_every_class_stands_in_selection_json(folder):
    select(**{"minimum-particles": 15})
    said = json.loads((folder / "out" / "selection.json").read_text())
    assert [(c["number"], c["kept"], c["particles"]) for c in said["classes"]] == [
        (1, True, 20),
        (2, False, 25),
        (3, False, 13),
    ]


def test_a_score_equal_to_the_threshold_is_kept(folder):
    assert select(threshold=0.8).outputs["kept"] == [1, 3]


def test_no_class_above_the_threshold_is_an_error_that_tells_the_best_score(folder):
    assert "the best score is 0.90" in select(code=2, threshold=0.95) and not (folder / "out").exists()


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda t: t["classes"].pop("rlnClassScore"), "it has no rlnClassScore"),
        (lambda t: t["classes"].update(rlnReferenceImage=["1@gone.mrcs"] * 3), "names the stack of averages gone.mrcs"),
        (lambda t: t["classes"].update(rlnReferenceImage=["9@classes.mrcs"] * 3), "has only 3"),
    ],
)
def test_a_broken_table_of_classes_is_said_in_a_sentence(folder, change, words):
    tables = read_tables("done/classes.star")
    change(tables)
    write_tables("done/classes.star", tables)
    assert words in select(code=2)


def test_relions_table_of_classes_is_answered_with_what_to_do(folder, capsys):
    columns = {"rlnReferenceImage": ["000001@run_it025_classes.mrcs"], "rlnClassDistribution": [1.0]}
    write_tables("run_it025_model.star", {"model_classes": columns})
    assert main(["select-classes", "--classes", "run_it025_model.star", "--output", "selected"]) == 2
    assert "Classes of other programs are selected there: RELION's model.star" in capsys.readouterr().err


def test_particles_without_classes_are_said_in_a_sentence(folder):
    (folder / "done" / "p.star").replace(folder / "done" / "particles.star")
    assert "has no classes (rlnClassNumber)" in select(code=2)


def test_without_a_threshold_a_class_is_kept_unless_it_takes_more_from_a_map_than_it_gives(folder):
    # 20 x 0.9 and 13 x 0.8: 28.4 of 33 good; (28.4 + 25 x 0.3)² / 58 = 22.2 is less than 28.4² / 33 = 24.4
    result = select()
    assert result.outputs["kept"] == [1, 3] and result.outputs["threshold"] == 0.8
    assert result.outputs["expected_good"] == pytest.approx(28.4 / 33, abs=1e-4)


@pytest.mark.parametrize(
    "scores, kept",
    [
        ((0.44, 0.5, 0.6), [1, 2, 3]),  # low scores alike: none is clearly bad
        ((0.95, 0.05, 0.9), [1, 3]),
        ((0.3, 0.08, 0.12), [1]),  # 0.12 < half of 0.3
        ((0.09, 0.05, 0.01), []),  # all are clearly bad
    ],
)
def test_the_threshold_goes_with_the_scores_of_the_set(scores, kept):
    assert chosen_classes([1, 2, 3], scores, COUNTS, None, 1)[0] == kept


def test_no_other_choice_of_whole_classes_gives_a_better_map():
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, counts = rng.uniform(0.15, 1, 7), rng.integers(1, 200, 7)
        kept = np.isin(np.arange(7), chosen_classes(range(7), scores, counts, None, 1)[0])
        gain = lambda chosen: (scores * counts)[chosen].sum() ** 2 / counts[chosen].sum()
        every = [np.array(c, bool) for c in itertools.product((0, 1), repeat=7) if any(c)]
        assert gain(kept) == pytest.approx(max(gain(chosen) for chosen in every))


@pytest.mark.parametrize(
    "counts, kept",
    [
        ((60, 40, 9, 4), [1, 2]),  # the scores were learnt from classes of 15 and more: 9 cannot be judged
        ((60, 40, 10, 4), [1, 2, 3]),
        ((6, 5, 4, 1), [1, 2, 3]),  # all are small: fewer than half of the mean is too few
    ],
)
def test_classes_of_a_few_particles_are_not_kept_whatever_their_score(counts, kept):
    assert chosen_classes([1, 2, 3, 4], [0.9] * 4, counts, None, None)[0] == kept
    assert chosen_classes([1, 2, 3, 4], [0.9] * 4, counts, None, 1)[0] == [1, 2, 3, 4]


def test_a_set_of_mostly_bad_particles_is_said(folder):
    tables = read_tables("done/classes.star")
    tables["classes"]["rlnClassScore"] = ["0.3", "0.25", "0.2"]
    write_tables("done/classes.star", tables)
    assert "Only 26 % of the kept particles are expected to be good" in select().warnings[0]


def test_particles_that_may_show_only_noise_are_left_out_and_kept_apart(folder):
    tables = read_tables("done/particles.star")
    signal = np.ones(60)
    signal[:3], signal[45:48] = 0.01, 0.9  # of class 1, and of class 3
    tables["particles"]["cryodlProbability"] = signal.tolist()
    write_tables("done/particles.star", tables)
    result = select()
    assert (result.outputs["count"], result.outputs["noise"], result.outputs["dropped"]) == (30, 3, 25)
    assert len(read_particles("out/particles.star")) == 30 and len(read_particles("out/rejected.star")) == 30
    assert select(output="all", **{"good-lost": 0}).outputs["count"] == 33


def test_the_cut_loses_no_more_than_asked_where_probabilities_are_right():
    """Noise from N(0, 1), signal from N(2.5, 1): the posterior is known, also where classes have less noise."""
    rng = np.random.default_rng(0)
    for part in (0.4, 0.1):
        noise = rng.random(20000) < part
        score = rng.normal(np.where(noise, 0, 2.5), 1)
        posterior = 1 / (1 + 0.4 / 0.6 * np.exp(2.5**2 / 2 - 2.5 * score))  # with the 0.4 of all classes
        cut = particle_cut(posterior.tolist(), 0.6, 0.02)
        assert 0.015 < (posterior[~noise] < cut).mean() < 0.025
        assert (posterior[noise] < cut).mean() > 0.6
    assert particle_cut([1.0] * 9, 0.5, 0.02) > 0.9  # all junk is in the classes that are left out
    assert particle_cut([1.0] * 9, 1.0, 0.02) == particle_cut([0.5] * 9, 0.5, 0) == particle_cut([], 0.5, 0.02) == 0
