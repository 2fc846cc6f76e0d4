# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles that touch: split where they are thin, and only there."""

import numpy as np
import pytest
from feature_shapes import ball, pick, positions
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from cryodl.tomograms.features import picking


def test_spheres_that_touch_are_parted(tmp_path):
    centres = [(15, 16, 12), (15, 17, 27), (16, 31, 20)]
    mask = np.any([ball((32, 46, 42), c, 8) for c in centres], axis=0)
    found, _ = pick(tmp_path, mask, "--shape", "particles", "--diameter", "160")
    distance, nearest = cKDTree(centres).query(positions(found))
    assert sorted(nearest) == [0, 1, 2] and distance.max() < 1
    assert found["cryodlVolume"] == pytest.approx(ball((32, 46, 42), centres[0], 8).sum(), rel=0.05)
    assert found["cryodlPiece"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("reach, length", [(0, 1.6), (9, 1)], ids=("ellipsoid", "rod"))
def test_a_long_particle_without_a_neck_stays_one(reach, length):
    """Four turns and positions on the grid, on which it depends how many summits a rod has."""
    grid = np.indices((48, 48, 48)).reshape(3, -1).T
    for seed in range(3, 7):
        own = Rotation.random(random_state=seed).apply(grid - 23 - np.random.default_rng(seed).random(3))
        own[:, 0] = np.maximum(np.abs(own[:, 0]) - reach, 0) / length
        mask = (np.linalg.norm(own, axis=1) <= 6).reshape(48, 48, 48)
        centres, voxels, seeds = picking.part(mask, 12)
        assert len(centres) == len(seeds) == 1 and voxels.tolist() == [mask.sum()] and mask[tuple(seeds[0])]
        assert centres[0] == pytest.approx(np.argwhere(mask).mean(axis=0))


@pytest.mark.parametrize("distance", (12, 16))
def test_two_spheres_that_touch_or_overlap_a_little_stay_two(distance):
    mask = ball((24, 24, 44), (11, 11, 12), 8) | ball((24, 24, 44), (11, 11, 12 + distance), 8)
    assert len(picking.part(mask, 16)[0]) == 2


@pytest.mark.parametrize("thickness", (5, 7))
def test_flat_particles_that_touch_stay_two(thickness):
    z, y, x = np.indices((24, 32, 48))
    disk = lambda centre: ((y - 15) ** 2 + (x - centre) ** 2 <= 64) & (np.abs(z - 12) <= thickness // 2)
    assert len(picking.part(disk(14) | disk(27), 16)[0]) == 2


def test_what_is_much_longer_than_a_particle_is_no_single_one():
    z, y, x = np.indices((20, 20, 120))
    centres = picking.part((z - 10) ** 2 + (y - 10) ** 2 <= 36, 12)[0]
    assert len(centres) >= 4


def test_without_a_diameter_that_of_the_median_piece_is_taken(tmp_path):
    centres = [(12, 12, 12), (12, 12, 40), (12, 40, 12), (12, 41, 27)]
    mask = np.any([ball((24, 54, 54), c, 8) for c in centres], axis=0)
    found, _ = pick(tmp_path, mask, "--shape", "particles")
    assert cKDTree(centres).query(positions(found))[0].max() < 1 and len(positions(found)) == 4


def test_parting_by_blocks_gives_each_particle_once(tmp_path, monkeypatch):
    """A chain of spheres through many blocks, beside a lone sphere in the same box that is a component of its own."""
    centres = [(12, 12 + (k % 2), 12 + 14 * k) for k in range(9)]
    mask = np.any([ball((25, 50, 140), c, 8) for c in [*centres, (12, 38, 60)]], axis=0)
    whole, _ = pick(tmp_path, mask, "--shape", "particles", "--diameter", "160")
    monkeypatch.setattr(picking, "LARGEST_BOX", 10_000)
    parts, _ = pick(tmp_path, mask, "--shape", "particles", "--diameter", "160", output="blocks")
    assert len(positions(parts)) == len(positions(whole)) == 10
    assert cKDTree(positions(whole)).query(positions(parts))[0].max() < 0.3
    assert sorted(parts["cryodlPiece"]) == sorted(whole["cryodlPiece"]) == [1] * 9 + [2]
