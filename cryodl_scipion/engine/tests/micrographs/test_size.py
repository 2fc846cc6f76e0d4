# SPDX-License-Identifier: GPL-3.0-or-later
"""The size of particles that nobody stated: the ladder, the estimate, and what is said of a stated one."""

import numpy as np
import pytest
from synthetic import write_mrc

from cryodl.micrographs.pickers.size import UNEVEN, ScaleCandidates, Size, find_size, scale_grid


def _look(*kinds, seen=(0.6, 1.7), both_signs=False):
    """A network that sees particles of kinds (diameter, number) within a range of the diameter that it is asked."""

    def look(image, diameter, whole, opposite):
        rng = np.random.default_rng(0)
        scores, extents = [rng.uniform(0, 0.2, 50)], [diameter * rng.uniform(0.6, 1.7, 50)]
        for size, number in kinds if both_signs or not opposite else ():
            near = seen[0] < diameter / size < seen[1]
            scores.append(np.full(number, 0.95 if near else 0.1))
            extents.append(size * rng.normal(1, 0.05, number) if near else diameter * rng.uniform(0.6, 1.7, number))
        return ScaleCandidates(np.concatenate(scores), np.concatenate(extents), float(np.prod(image.shape)) * 4.0)

    return look


@pytest.fixture
def paths(tmp_path):
    for index in range(3):
        write_mrc(tmp_path / f"{index}.mrc", np.zeros((1000, 1200), np.float32), 2.0)
    return [str(tmp_path / f"{index}.mrc") for index in range(3)]


@pytest.mark.parametrize("true", [70, 130, 200, 420])
def test_the_size_is_found_without_a_stated_one(paths, true):
    found = find_size(_look((true, 60)), paths, 2.0)
    assert found.diameter == pytest.approx(true, rel=0.05) and found.others == ()


def test_a_thumbnail_among_the_micrographs_does_not_end_the_ladder(paths, tmp_path):
    write_mrc(tmp_path / "thumbnail.mrc", np.zeros((140, 140), np.float32), 2.0)
    mixed = [paths[0], str(tmp_path / "thumbnail.mrc"), paths[1]]
    for stated in (None, 400.0):
        found = find_size(_look((420, 60)), mixed, 2.0, stated)
        assert found.diameter == pytest.approx(420, rel=0.05) and found.micrographs == 2


@pytest.mark.parametrize("factor", [0.6, 0.8, 1.0, 1.3, 1.6, 10.0])
def test_a_wrong_stated_diameter_does_not_mislead(paths, factor):
    found = find_size(_look((150, 60)), paths, 2.0, 150 * factor if factor < 10 else 700)
    assert found.diameter == pytest.approx(150, rel=0.05)
    assert found.contradicts(150 * factor) == (factor in (0.6, 0.8, 1.3, 1.6, 10.0))


def test_the_contradiction_is_said_with_its_size():
    sentence = Size(150.0, 80.0, 3).sentence(100.0)
    assert "contradict the particle diameter of 100 Å" in sentence and "150 Å" in sentence and "1.50 times" in sentence
    assert "contradict" not in Size(150.0, 80.0, 3).sentence(140.0)


def test_where_nothing_looks_like_particles_there_is_no_size(paths):
    assert find_size(_look(), paths, 2.0) is None
    assert find_size(_look((150, 1)), paths, 2.0) is None, "three places in three micrographs are too few"


def test_what_both_signs_of_protein_show_is_noise(paths):
    assert find_size(_look((70, 300), both_signs=True), paths, 2.0) is None
    assert find_size(_look((70, 300), both_signs=True), paths, 2.0, stated=80) is None


@pytest.mark.parametrize("spread, number", [(0.3, 60), (1.2, 60), (0.9, 8)])
def test_spots_that_stand_out_very_differently_are_in_doubt_and_not_nothing(paths, spread, number):
    plain = _look((150, number))

    def look(image, diameter, whole, opposite):
        seen = plain(image, diameter, whole, opposite)
        return seen._replace(heights=np.exp(np.random.default_rng(1).normal(0, spread, len(seen.scores))))

    assert (find_size(look, paths, 2.0).uneven > UNEVEN) == (spread > 0.3)


@pytest.mark.parametrize("widths", [0.05, 0.25])
def test_spots_of_all_sizes_may_be_dirt_however_alike_they_stand_out(paths, widths):
    plain = _look((150, 60))

    def look(image, diameter, whole, opposite):
        seen = plain(image, diameter, whole, opposite)
        differ = np.random.default_rng(1).normal(0, widths, len(seen.scores))
        return seen._replace(extents=seen.extents * np.exp(np.clip(differ, -0.3, 0.3)))

    found = find_size(look, paths, 2.0)
    assert found.diameter == pytest.approx(150, rel=0.1) and found.dirty == (widths > 0.2)


def _faint(size, spots, noise=80):
    """A network that sees faint particles of a diameter amid spots of noise, whose sizes it takes for 0.8 of what it is
    asked; those of the particles nearly, too."""

    def look(image, diameter, whole, opposite):
        rng = np.random.default_rng((round(diameter), whole, opposite))
        number = noise if opposite else noise + round(spots * np.exp(-((np.log(diameter / size) / 0.45) ** 2)))
        return ScaleCandidates(
            np.full(number, 0.7), diameter * rng.normal(0.82, 0.1, number), float(np.prod(image.shape)) * 4.0
        )

    return look


@pytest.mark.parametrize("stated", [None, 120, 160, 250, 320])
def test_faint_particles_whose_size_the_network_cannot_tell_are_where_most_stand_out(paths, stated):
    """Following its estimates led down to where noise is as dense, and to nothing found."""
    assert find_size(_faint(200, 60), paths, 2.0, stated).diameter == pytest.approx(200, rel=0.2)
    assert find_size(_faint(200, 0), paths, 2.0, stated) is None


def test_nothing_is_found_far_below_the_smallest_diameter_that_is_sought(paths):
    """The network's estimates once led from 50 Å down to 31 Å, and 5,132 picks of noise."""
    assert find_size(_look((38, 300)), paths, 2.0).diameter == pytest.approx(38, rel=0.05)
    assert find_size(_look((31, 300)), paths, 2.0) is None


def test_a_stated_diameter_is_not_replaced_because_its_particles_stand_out_differently(paths):
    plain = _look((150, 60), (400, 30))

    def look(image, diameter, whole, opposite):
        seen = plain(image, diameter, whole, opposite)
        uneven = np.exp(np.random.default_rng(1).normal(0, 1.2, len(seen.scores)))
        return seen._replace(heights=np.where(seen.extents < 250, uneven, 1.0))

    assert find_size(look, paths, 2.0).diameter > 250
    assert find_size(look, paths, 2.0, stated=150) is None, "it is picked at the stated diameter, with a warning"


def test_a_further_kind_of_particle_is_named(paths):
    found = find_size(_look((400, 30), (120, 250)), paths, 2.0)
    assert len(found.others) == 1
    sizes = sorted([found.diameter, *found.others])
    assert sizes[0] == pytest.approx(120, rel=0.25) and sizes[1] == pytest.approx(400, rel=0.25)


def test_what_leads_back_to_the_found_size_is_no_further_kind(paths):
    """Pairs of particles, say: at their rung some look like one, and the estimates from there end at the particles."""
    plain = _look((150, 200))

    def look(image, diameter, whole, opposite):
        seen, pairs = plain(image, diameter, whole, opposite), np.full(60, 0.0 if whole or opposite else 0.9)
        pairs *= 280 < diameter < 400
        return seen._replace(
            scores=np.r_[seen.scores, pairs], extents=np.r_[seen.extents, np.full(60, float(diameter))]
        )

    found = find_size(look, paths, 2.0)
    assert found.diameter == pytest.approx(150, rel=0.05) and found.others == ()


def test_the_ladder_ends_at_a_third_of_the_micrograph_and_at_18_px():
    rungs = scale_grid(2.0, 600)
    assert rungs[0] == pytest.approx(50) and rungs[-1] == pytest.approx(400)
    assert scale_grid(10.0, 4000)[0] == pytest.approx(180)
    assert scale_grid(2.0, 30) == []


def test_a_stated_diameter_is_a_rung_of_its_own_beyond_the_ladder_alone(paths):
    rungs, look = scale_grid(2.0, 1000), _look((420, 60))
    for stated, own in ((0.9 * rungs[0], True), (sum(rungs[:2]) / 2, False), (sum(rungs[-2:]) / 2, False)):
        asked = set()
        find_size(
            lambda image, diameter, *more: asked.add(diameter) or look(image, diameter, *more), paths, 2.0, stated
        )
        assert (stated in asked) == own and asked >= set(rungs)


def test_unreadable_micrographs_are_passed_over(paths, tmp_path):
    (tmp_path / "bad.mrc").write_bytes(b"no micrograph")
    assert find_size(_look((200, 60)), [str(tmp_path / "bad.mrc"), *paths], 2.0).micrographs == 3
    assert find_size(_look((200, 60)), [str(tmp_path / "bad.mrc")], 2.0) is None


def test_where_a_few_micrographs_show_too_little_more_are_looked_at(paths, tmp_path):
    """Two clear particles each: six in three micrographs are too few, sixteen are not."""
    more = [write_mrc(tmp_path / f"more{index}.mrc", np.zeros((1000, 1200), np.float32), 2.0) for index in range(6)]
    assert find_size(_look((150, 2)), paths, 2.0) is None
    assert find_size(_look((150, 2)), [*paths, *map(str, more)], 2.0) is None
    found = find_size(_look((150, 2)), [*paths, *map(str, more)], 2.0, number=8)
    assert found.diameter == pytest.approx(150, rel=0.1) and found.micrographs == 8
    assert find_size(_look((70, 300), both_signs=True), [*paths, *map(str, more)], 2.0, number=8) is None
