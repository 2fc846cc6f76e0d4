# SPDX-License-Identifier: GPL-3.0-or-later
"""The map of doubt on a helix of which the data have one half, and an improved map shows both."""

import dataclasses

import numpy as np
import pytest
from map_data import empty_grid, helix

from cryodl.contract import half_map_verdict
from cryodl.maps.measures.atoms import dense_mask, model_density, read_atoms
from cryodl.maps.measures.doubt import (
    doubt_in_words,
    doubt_levels,
    doubt_of,
    doubted,
    in_no_half,
    largest_piece,
    residue_rows,
)
from cryodl.maps.measures.half_map_test import half_map_test

SEEN = 40  # residues that are in the data, of 60


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """(atoms, two raw half-maps of the first SEEN residues, density of the others)."""
    atoms = read_atoms(helix(tmp_path_factory.mktemp("doubt") / "a.pdb", 60))
    grid = empty_grid((116, 40, 40), (1.0, 1.0, 1.0), atoms.xyz.min(axis=0)[::-1] - 12)
    real = np.where(atoms.residue < SEEN, 1.0, 0.0)
    density, absent = (model_density(atoms, grid, 1.4, weights) for weights in (real, 1 - real))
    rng, halves = np.random.default_rng(1), []
    for _ in range(2):
        noise = 0.15 * density.max() * rng.normal(size=density.shape)
        halves.append(dataclasses.replace(grid, data=(density + noise).astype(np.float32)))
    return atoms, halves, absent


def doubt(halves, improved):
    mask = dense_mask(halves[0].data + halves[1].data, halves[0].voxels_zyx)
    return doubt_of(halves, improved, half_map_test(halves, improved, mask)[2].controls, mask)


def test_residues_that_only_the_improved_halves_show_are_not_in_the_data(planted):
    atoms, halves, absent = planted
    found = doubt(halves, [half.data + absent for half in halves])
    rows = residue_rows(found, halves[0], atoms)
    doubts, words = np.array([float(row[3]) for row in rows]), np.array([row[6] for row in rows])
    near = slice(SEEN - 3, SEEN + 3)  # where both meet
    real, invented = (np.delete(np.arange(60), near) < SEEN), (np.delete(np.arange(60), near) >= SEEN)
    doubts, words = np.delete(doubts, near), np.delete(words, near)
    assert doubts[invented].min() > 0.9 > 0.5 > doubts[real].max()
    assert (words[invented] == "not in the data").all() and (words[real] == "not in the data").mean() <= 0.05
    assert found.maps[0].min() == 0 and found.maps[0].max() <= 1
    places = doubted(found, halves[0])
    middle = atoms.xyz[atoms.residue >= SEEN].mean(axis=0)
    assert places["doubted"] > 0.1 and np.linalg.norm(places["place"] - middle) < 6
    numbers = dict(raw=4.0, control=4.0, improved=4.0, crossed=4.0, gain=0.0, unexplained=0.0, worst=0.0)
    good, lines = half_map_verdict(dict(numbers, **places))
    assert not good and "looks as 1 % of what is in the data does" in lines[3]
    assert half_map_verdict(dict(numbers, doubted=0.01))[0] and half_map_verdict(numbers)[0]
    # a helix is a small part of a large complex
    good, lines = half_map_verdict(dict(numbers, **dict(places, doubted=0.002)))
    assert not good and lines[3].startswith("WARNING: 0.2 % of the improved map's density looks as")
    assert half_map_verdict(dict(numbers, **dict(places, doubted=0.999)))[1][3].startswith("WARNING: 99.9 % of the")


def test_what_a_map_shows_and_no_half_has_is_found_and_nothing_else(planted):
    atoms, halves, absent = planted
    mean, mask = (halves[0].data + halves[1].data) / 2, dense_mask(halves[0].data + halves[1].data, np.ones(3))
    assert not in_no_half(mean, halves, mask).any() and not in_no_half(np.maximum(3 * mean, 0), halves, mask).any()
    for background in (-0.3, 0.3):  # of both half-maps, which the map was freed from
        moved = [dataclasses.replace(half, data=half.data + background * mean.max()) for half in halves]
        assert not in_no_half(mean, moved, mask).any() and in_no_half(mean + absent, moved, mask).sum() > 300
    edited = in_no_half(mean + absent, halves, mask)
    found = dataclasses.replace(doubt(halves, [half.data for half in halves]), edited=edited)
    size, place = largest_piece(edited, halves[0])
    assert size > 300 and np.linalg.norm(place - atoms.xyz[atoms.residue >= SEEN].mean(axis=0)) < 6
    rows = residue_rows(found, halves[0], atoms)
    words = np.array([row[6] for row in rows]) == "not in the half-maps"
    assert {row[3] for row, alone in zip(rows, words) if alone} == {"1.0000"}
    assert words[SEEN + 3 :].mean() > 0.8 and not words[: SEEN - 3].any()
    assert (found.maps[0][edited] == 1).all()


@pytest.mark.parametrize(
    "treat",
    [lambda x: x, lambda x: np.maximum(x, 0), lambda x: 3 * x, lambda x: np.maximum(x - 0.2 * x.max(), 0)],
    ids=["nothing", "clipping", "scale", "clipping high"],
)
def test_what_only_treats_the_data_puts_nothing_in_doubt(planted, treat):
    atoms, halves, _ = planted
    found = doubt(halves, [treat(half.data) for half in halves])
    seen, others = [], []
    for row in residue_rows(found, halves[0], atoms):
        (seen if int(row[1]) <= SEEN else others).append(row[6])
    assert seen.count("not in the data") <= 0.05 * len(seen)
    assert others.count("no density") > 0.8 * len(others), "of what neither the data nor the map have nothing is said"
    assert doubted(found, halves[0])["doubted"] <= 0.01 and doubted(found, halves[0])["piece"] < 150


def test_residues_outside_of_a_cut_map_have_no_doubt_and_change_no_other(planted):
    atoms, halves, absent = planted
    found = doubt(halves, [half.data + absent for half in halves])
    whole, kept = residue_rows(found, halves[0], atoms), 80  # voxels along the helix
    cut = lambda maps: [x[:kept] for x in maps]
    arrays = (found.share[:kept], cut(found.genuine), cut(found.planted), found.dense[:kept], found.edited[:kept])
    piece = dataclasses.replace(halves[0], data=halves[0].data[:kept])
    rows = residue_rows(type(found)(*arrays), piece, atoms)
    inside = np.bincount(atoms.residue, piece.holds(atoms.xyz)) > 0
    assert 10 < (~inside).sum() < 30 and [row[6] == "outside the map" for row in rows] == (~inside).tolist()
    assert all(row[3:6] == ["", "", ""] for row, seen in zip(rows, inside) if not seen)
    same = [row[6] == other[6] for row, other, seen in zip(rows, whole, inside) if seen]
    assert np.mean(same) > 0.9, "those in the map are judged as before"


def test_levels_by_hand():
    """Of 99 places of noise none comes to 2, of 49 invented ones all are above 0.5 and none above 1."""
    genuine, invented = np.zeros(99), np.linspace(0.5, 1, 49)
    level, first, second = doubt_levels(np.array([2.0, -1.0]), genuine, invented)
    np.testing.assert_allclose(first, [1 / 100, 1.0])
    np.testing.assert_allclose(second, [1.0, 1 / 50])
    np.testing.assert_allclose(level, [1 / 1.01, 0.02 / 1.02])
    assert [doubt_in_words(*p) for p in ((0.01, 1.0), (1.0, 0.02), (0.3, 0.3))] == [
        "not in the data",
        "from the data",
        "undecided",
    ]
