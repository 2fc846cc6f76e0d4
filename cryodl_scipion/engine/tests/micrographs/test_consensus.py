# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups of picks against brute force, chains, ties, any order; and the command that keeps what several sets found."""

import itertools
import json

import numpy as np
import pytest

from cryodl.contract import Result
from cryodl.core.matching import match_picks
from cryodl.io.coordinates import read_coordinates, write_coordinates
from cryodl.io.star import read_tables
from cryodl.micrographs.compare import comparable_scores, group_picks, merge_group
from cryodl.running.cli import main


def cost(groups, sets, distance):
    """Sum of d^2 - m^2 over all pairs in one group; infinite if a group breaks a rule."""
    total = 0.0
    for group in groups:
        if len({which for which, _ in group}) < len(group):
            return np.inf
        for (s, i), (t, j) in itertools.combinations(group, 2):
            squared = ((np.asarray(sets[s][0][i]) - np.asarray(sets[t][0][j])) ** 2).sum()
            if squared >= distance**2:
                return np.inf
            total += squared - distance**2
    return total


def partitions(items):
    """All ways to divide a list into groups."""
    if not items:
        yield []
        return
    for rest in partitions(items[1:]):
        yield [[items[0]]] + rest
        for index in range(len(rest)):
            yield rest[:index] + [[items[0]] + rest[index]] + rest[index + 1 :]


def random_sets(rng, sizes, width):
    return [(rng.uniform(0, width, (n, 2)), rng.random(n)) for n in sizes]


def as_positions(groups, sets):
    """The groups as positions, whatever the order of picks and sets."""
    return sorted(sorted(tuple(map(float, sets[s][0][i])) for s, i in group) for group in groups)


@pytest.mark.parametrize("seed", range(20))
def test_equals_brute_force_on_crowded_picks(seed):
    rng = np.random.default_rng(seed)
    sets = random_sets(rng, [(3, 2, 2), (2, 2, 3), (1, 3, 3), (2, 2, 2, 2)][seed % 4], 14)
    every_pick = [(s, i) for s, (yx, _) in enumerate(sets) for i in range(len(yx))]
    groups = group_picks(sets, 7.0)
    assert sorted(pick for group in groups for pick in group) == every_pick
    assert cost(groups, sets, 7.0) == pytest.approx(min(cost(p, sets, 7.0) for p in partitions(every_pick)))


@pytest.mark.parametrize("seed", range(4))
def test_two_sets_are_grouped_as_picks_are_scored(seed):
    rng = np.random.default_rng(seed)
    sets = random_sets(rng, (60, 50), 150)
    groups = group_picks(sets, 12.0)
    assert sum(len(g) == 2 for g in groups) == match_picks(sets[0][0], sets[1][0], 12.0).sum() > 20


@pytest.mark.parametrize("width", [14, 40, 200])
def test_neither_the_order_of_picks_nor_that_of_sets_matters(width):
    rng = np.random.default_rng(width)
    sets = [(np.rint(yx), score) for yx, score in random_sets(rng, (25, 20, 22), width)]  # whole numbers: many ties
    expected = as_positions(group_picks(sets, 7.0), sets)
    for _ in range(5):
        mixed = []
        for which in rng.permutation(3):
            order = rng.permutation(len(sets[which][0]))
            mixed.append((sets[which][0][order], sets[which][1][order]))
        assert as_positions(group_picks(mixed, 7.0), mixed) == expected


def test_crowds_too_large_to_try_all_ways_keep_the_rules():
    rng = np.random.default_rng(1)
    sets = random_sets(rng, (40, 40, 40), 30)
    groups = group_picks(sets, 7.0)
    assert np.isfinite(cost(groups, sets, 7.0)) and sum(map(len, groups)) == 120
    assert sum(len(g) == 3 for g in groups) > 15


def test_a_chain_is_cut_where_it_is_longest():
    """a - b - c, each 4 from the next and 8 apart: not one particle; b goes with the nearer one."""
    sets = [(np.array([[0.0, 0]]), [0.9]), (np.array([[0.0, 4]]), [0.9]), (np.array([[0.0, 7.5]]), [0.9])]
    assert group_picks(sets, 6.0) == [[(0, 0)], [(1, 0), (2, 0)]]
    assert group_picks(sets, 8.0) == [[(0, 0), (1, 0), (2, 0)]]


def test_two_picks_of_one_set_are_never_one_particle():
    sets = [(np.array([[0.0, 0], [0, 1]]), [0.9, 0.8]), (np.array([[0.0, 0.2]]), [0.9])]
    assert group_picks(sets, 6.0) == [[(0, 0), (1, 0)], [(0, 1)]]


def test_a_pair_at_the_distance_is_not_one_particle():
    sets = [(np.array([[0.0, 0]]), [1]), (np.array([[0.0, 3]]), [1])]
    assert len(group_picks(sets, 3.0)) == 2 and len(group_picks(sets, 3.001)) == 1


def test_nothing_gives_no_groups():
    nothing = (np.zeros((0, 2)), np.zeros(0))
    assert group_picks([nothing, nothing], 5) == []
    assert group_picks([nothing, (np.ones((1, 2)), np.ones(1))], 5) == [[(1, 0)]]


def test_the_position_is_weighted_by_score_and_absent_sets_count_0():
    sets = [
        (np.array([[0.0, 10]]), np.array([0.9])),
        (np.array([[4.0, 10]]), np.array([0.3])),
        (np.zeros((0, 2)), np.zeros(0)),
    ]
    position, score = merge_group([(0, 0), (1, 0)], sets)
    assert position.tolist() == pytest.approx([1.0, 10.0]) and score == pytest.approx(0.4)
    unscored = [(yx, np.zeros(len(yx))) for yx, _ in sets]
    assert merge_group([(0, 0), (1, 0)], unscored)[0].tolist() == [2.0, 10.0]


def test_scores_that_are_no_probabilities_become_ranks_and_missing_ones_count_1():
    yx = np.zeros((4, 2))
    log_odds, note = comparable_scores({"a": (yx, np.array([-3.0, 5, 5, 0]))})
    assert log_odds["a"][1].tolist() == [0.25, 1.0, 1.0, 0.5] and "from -3 to 5" in note
    assert comparable_scores({"a": (yx, np.zeros(4))})[0]["a"][1].tolist() == [1, 1, 1, 1]
    kept = {"a": (yx, np.array([0.0, 1, 0.5, 0.2]))}
    assert comparable_scores(kept) == (kept, "")
    assert comparable_scores({"a": (np.zeros((0, 2)), np.zeros(0))})[1] == ""


@pytest.fixture
def picks(tmp_path):
    """On m1 all three sets found (10, 10), two of them (50, 50), one (90, 90); only set a has m2."""
    lists = {"a": [[10, 10], [50, 50], [90, 90]], "b": [[10, 11], [51, 50]], "c": [[11, 10]]}
    for name, yx in lists.items():
        (tmp_path / name).mkdir()
        write_coordinates(tmp_path / name / "m1.star", yx, [0.9, 0.6, 0.3][: len(yx)])
    write_coordinates(tmp_path / "a/m2_autopick.star", [[5, 5]], [0.9])
    return tmp_path


def consensus(folder, *more):
    return main(
        [
            "consensus-picks",
            "--picks",
            *(str(folder / n) for n in "abc"),
            "--pixel-size",
            "2",
            "--particle-diameter",
            "40",
            "--output",
            str(folder / "out"),
            "--result",
            str(folder / "result.json"),
            *more,
        ]
    )


def test_picks_of_another_binning_are_named_and_not_compared_without_a_word(picks):
    (picks / "b/pick.json").write_text(json.dumps(dict(pixel_size=1.0)))
    (picks / "c/pick.json").write_text(json.dumps(dict(pixel_size=2.1)))  # of another calibration
    sizes = ["--pixel-size", "2", "--particle-diameter", "40", "--result", str(picks / "result.json")]
    sets = ["--picks", *(str(picks / name) for name in "abc")]
    for words in (
        ["consensus-picks", *sets, "--output", str(picks / "out")],
        ["compare-picks", *sets],
        ["evaluate-picks", "--coordinates", str(picks / "a"), "--reference", str(picks / "b")],
    ):
        assert main([*words, *sizes]) == 0
        (said,) = [w for w in Result.read(picks / "result.json").warnings if "Å/px" in w]
        assert f"The picks of {picks / 'b'} are pixels of micrographs of 1 Å/px" in said


def test_at_least_two_sets(picks, capsys):
    assert consensus(picks) == 0
    found = read_coordinates(picks / "out")
    assert np.allclose(found["m1"][0], [[31 / 3, 31 / 3], [50.5, 50]], atol=1e-3) and np.allclose(
        found["m1"][1], [0.9, 0.4]
    )
    assert len(found["m2_autopick"][1]) == 0
    result = Result.read(picks / "result.json")
    assert result.outputs["picks"] == 2 and result.outputs["counts"] == {"m1": 2, "m2_autopick": 0}
    assert result.outputs["groups"] == {"a": 2, "a + b": 1, "a + b + c": 1}
    assert "found were kept" in result.methods[0] and "2 particles in 2 micrographs" in result.summary[0]
    assert [w.split(" has no list")[0] for w in result.warnings] == ["b", "c"]
    assert "m2" in capsys.readouterr().out
    assert json.loads((picks / "out/consensus.json").read_text())["rule"] == "at least 2 of 3 sets found"


@pytest.mark.parametrize(
    "more, expected",
    [
        (["--minimum-sets", "1"], 4),
        (["--minimum-sets", "3"], 1),
        (["--rule", "score", "--minimum-score", "0.35"], 2),
        (["--rule", "score", "--minimum-score", "0.5"], 1),
        (["--tolerance", "0.05"], 0),
    ],
)
def test_rules(picks, more, expected):
    assert consensus(picks, *more) == 0
    result = Result.read(picks / "result.json")
    assert result.outputs["picks"] == expected
    assert any("No particle is left" in w for w in result.warnings) == (expected == 0)


def test_sets_without_a_common_micrograph_are_told_so(picks):
    (picks / "a/m1.star").unlink()
    (picks / "c/m1.star").rename(picks / "c/n7.star")
    assert consensus(picks) == 0
    (said,) = [w for w in Result.read(picks / "result.json").warnings if "No particle is left" in w]
    assert "(a is on m2_autopick; b is on m1; c is on n7)" in said and "--minimum-sets" not in said


def test_every_particle_says_how_many_sets_found_it_and_none_is_lost(picks):
    assert consensus(picks) == 0
    for folder, numbers in (("out", ["3", "2"]), ("out/candidates", ["3", "2", "1"])):
        (columns,) = read_tables(picks / folder / "m1.star").values()
        assert list(columns["cryodlNumberOfSets"]) == numbers
    assert read_coordinates(picks / "out/candidates")["m2_autopick"][0].tolist() == [[5, 5]]


def test_a_stopped_run_starts_anew_and_a_finished_one_is_not_replaced(picks, capsys):
    (picks / "out.partial").mkdir()
    (picks / "out.partial/unfinished.json").write_text('{"command": "consensus-picks", "parameters": {}}')
    (picks / "out.partial/stale.star").write_text("half")
    assert consensus(picks) == 0 and not (picks / "out/stale.star").exists() and not (picks / "out.partial").exists()
    before = (picks / "out/m1.star").read_bytes()
    assert consensus(picks, "--minimum-sets", "1") == 2
    assert "exists already" in capsys.readouterr().err and (picks / "out/m1.star").read_bytes() == before


def test_the_result_may_lie_in_the_folder_that_the_command_makes(picks):
    result = ("--result", str(picks / "out/result.json"))
    assert consensus(picks, "--pixel-size", "0", *result) == 2 and (picks / "out/failure.json").exists()
    assert consensus(picks, *result) == 0 and Result.read(picks / "out/result.json").outputs["picks"] == 2
    assert not (picks / "out/failure.json").exists()


@pytest.mark.parametrize(
    "more, words",
    [
        (["--minimum-sets", "4"], ("--minimum-sets", "4", "3 sets")),
        (["--picks", "x"], ("--picks", "1 set")),
        (["--picks", "x", "y"], ("x does not exist",)),
        (["--rule", "best"], ("--rule", "best", "at-least, score")),
    ],
)
def test_bad_input_is_named(picks, capsys, more, words):
    assert consensus(picks, *more) == 2
    message = capsys.readouterr().err
    for word in words:
        assert word in message
    assert not (picks / "out").exists()
