# SPDX-License-Identifier: GPL-3.0-or-later
"""Points along filaments and on membranes, with their directions."""

import numpy as np
import pytest
from feature_shapes import arc, degrees_between, pick, positions, tube, z_axes
from scipy.spatial import cKDTree

from cryodl.core.projections import rotation_matrices
from cryodl.tomograms.features import components
from cryodl.tomograms.features.points import angles_along


@pytest.mark.parametrize("lumen", (-1, 2.5), ids=("solid", "hollow"))
def test_points_of_a_curved_tube_lie_on_its_axis_and_point_along_it(tmp_path, lumen):
    axis = arc()
    found, _ = pick(tmp_path, tube(axis, (40, 64, 70), 4.5, lumen), "--shape", "filaments", "--spacing", "60")
    distance, nearest = cKDTree(axis).query(positions(found))
    along = np.gradient(axis, axis=0)[nearest]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    rotation = degrees_between(z_axes(found), along)
    assert distance.max() < 1 and np.minimum(rotation, 180 - rotation).max() < 5
    assert (rotation < 90).all() or (rotation > 90).all()  # one way along the filament
    steps = np.linalg.norm(np.diff(positions(found), axis=0), axis=1)
    assert steps == pytest.approx(6, rel=0.02)
    length = np.linalg.norm(np.diff(axis, axis=0), axis=1).sum()
    assert len(positions(found)) >= length / 6 - 2 and (found["rlnHelicalTubeID"] == 1).all()
    assert (found["rlnAngleTiltPrior"] == found["rlnAngleTilt"]).all()


def test_filaments_that_cross_stay_two_and_short_spurs_go(tmp_path):
    shape, step = (20, 60, 60), np.linspace(0, 1, 200)[:, None]
    lines = [np.array([10, 5, 8]) + step * [0, 50, 42], np.array([10, 54, 10]) + step * [0, -46, 44]]
    spur = np.array([10, 30, 29]) + step * [0, 1, -3]
    mask = np.any([tube(line, shape, 2) for line in [*lines, spur]], axis=0)
    found, _ = pick(tmp_path, mask, "--shape", "filaments", "--spacing", "50")
    assert set(found["rlnHelicalTubeID"]) == {1, 2} and set(found["cryodlPiece"]) == {1}
    for number in (1, 2):
        own = positions(found)[found["rlnHelicalTubeID"] == number]
        assert min(cKDTree(line).query(own)[0].max() for line in lines) < 1.5
        assert len(own) >= 11  # from one end to the other


def test_at_a_branch_the_straight_filament_goes_on_and_the_other_ends(tmp_path):
    shape, step = (20, 60, 60), np.linspace(0, 1, 200)[:, None]
    stem, branch = np.array([10, 30, 5]) + step * [0, 0, 50], np.array([10, 30, 30]) + step * [0, 26, 0]
    mask = tube(stem, shape, 2) | tube(branch, shape, 2)
    found, _ = pick(tmp_path, mask, "--shape", "filaments", "--spacing", "40")
    lengths = np.bincount(found["rlnHelicalTubeID"].astype(int))[1:]
    assert sorted(lengths) in ([6, 12], [6, 13], [7, 12], [7, 13])


def test_a_ring_gives_points_all_around(tmp_path):
    rotation = np.linspace(0, 2 * np.pi, 400)
    ring = np.stack([10 + 0 * rotation, 30 + 20 * np.sin(rotation), 30 + 20 * np.cos(rotation)], axis=1)
    found, _ = pick(tmp_path, tube(ring, (20, 60, 60), 2), "--shape", "filaments", "--spacing", "50")
    assert cKDTree(ring).query(positions(found))[0].max() < 1.5
    assert cKDTree(positions(found)).query(ring)[0].max() < 5


def test_large_filaments_are_traced_on_bins_and_stay_on_their_axis(tmp_path, monkeypatch):
    monkeypatch.setattr(components, "MAX_VOXELS", 25_000)
    axis = arc()
    found, _ = pick(tmp_path, tube(axis, (40, 64, 70), 4.5), "--shape", "filaments", "--spacing", "60")
    assert len(positions(found)) >= 9 and cKDTree(axis).query(positions(found))[0].max() < 2


def test_points_on_a_shell_lie_on_it_with_normals_outwards_and_the_spacing(tmp_path):
    shape, centre = (52, 54, 56), np.array([25, 27, 28])
    radius = np.linalg.norm(np.indices(shape).reshape(3, -1).T - centre, axis=1).reshape(shape)
    found, _ = pick(tmp_path, np.abs(radius - 20) <= 2, "--shape", "membranes", "--spacing", "60")
    away = positions(found) - centre
    lengths = np.linalg.norm(away, axis=1)
    assert np.abs(lengths - 20).max() < 0.5
    assert degrees_between(z_axes(found), away / lengths[:, None]).max() < 5
    nearest = cKDTree(positions(found)).query(positions(found), 2)[0][:, 1]
    assert nearest.min() > 5.7 and nearest.max() < 12
    assert cKDTree(positions(found)).query(np.argwhere(np.abs(radius - 20) < 0.5))[0].max() < 9  # no holes


def test_normals_of_an_open_bent_sheet_are_on_one_side(tmp_path):
    z, y, x = np.indices((40, 50, 50))
    sheet = np.abs(z - 10 - 15 * np.cos((x - 25) / 20)) <= 1.5
    found, _ = pick(tmp_path, sheet, "--shape", "membranes", "--spacing", "60")
    assert (z_axes(found)[:, 0] > 0.5).all()  # the outer side of the bend is up


def test_angles_lay_the_z_axis_along_the_direction_and_rot_is_free():
    directions = np.random.default_rng(0).normal(size=(50, 3))
    directions[0], directions[1] = (2, 0, 0), (-1, 0, 0)
    angles = angles_along(directions, np.random.default_rng(1))
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    for rot in (angles[:, 0], 0 * angles[:, 0]):
        turned = rotation_matrices(np.stack([rot, angles[:, 1], angles[:, 2]], 1))[:, 2, ::-1]
        assert turned == pytest.approx(unit, abs=1e-6)
    assert angles[:, 0].std() > 60


def test_a_rod_along_z_turned_by_the_angles_of_a_filament_looks_like_it(tmp_path):
    """From outside: the density of a rod along z, turned by the simulator, lies where the filament was."""
    import torch

    from cryodl.simulate.rotations import rotated

    line = np.array([24, 24, 24]) + np.linspace(-20, 20, 200)[:, None] * np.array([0.35, 0.8, -0.48])
    found, _ = pick(tmp_path, tube(line, (48, 48, 48), 2.5), "--shape", "filaments", "--spacing", "80")
    rod = torch.zeros(48, 48, 48)
    rod[8:41, 23:26, 23:26] = 1
    middle = np.argmin(np.abs(positions(found) - 24).sum(axis=1))
    angles = [[found[f"rlnAngle{a}"][middle] for a in ("Rot", "Tilt", "Psi")]]
    turned = np.argwhere(rotated(rod, angles)[0].numpy() > 0.5)
    assert cKDTree(line).query(turned)[0].max() < 3
