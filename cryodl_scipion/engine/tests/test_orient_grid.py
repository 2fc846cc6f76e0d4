# SPDX-License-Identifier: GPL-3.0-or-later
"""Directions and small rotations of the search for orientations."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryodl.core.healpix_grid import ball_of_points, ball_of_rotations, directions, healpix, in_plane_angles, into_unit
from cryodl.core.projections import euler_angles, random_angles, rotation_matrices
from cryodl.core.symmetry import angular_distance, operations


def vectors(rot_tilt):
    rot, tilt = np.radians(rot_tilt).T
    return np.stack([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)], axis=1)


def test_the_smallest_healpix_grid_is_the_published_one():
    points = healpix(1)
    assert np.allclose(points[:, 2], [2 / 3] * 4 + [0] * 4 + [-2 / 3] * 4)
    longitudes = np.degrees(np.arctan2(points[:, 1], points[:, 0])) % 360
    assert np.allclose(longitudes, [45, 135, 225, 315, 0, 90, 180, 270, 45, 135, 225, 315])


def test_directions_are_spread_evenly():
    points = healpix(8)
    assert np.allclose(points.mean(axis=0), 0, atol=1e-12)
    nearest = np.sort(points @ points.T, axis=1)[:, -2]
    assert np.degrees(np.arccos(nearest)).min() > 4.5 and np.degrees(np.arccos(nearest)).max() < 8.5


@pytest.mark.parametrize("symmetry", ["C1", "C3", "D2", "T", "O", "I"])
def test_every_direction_has_an_equivalent_one_near_the_grid(symmetry):
    kept = vectors(directions(7.5, symmetry))
    asked = np.random.default_rng(0).normal(size=(500, 3))
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    equivalents = np.einsum("sij,nj->nsi", operations(symmetry), asked)
    nearest = (equivalents @ kept.T).max(axis=(1, 2))
    assert np.degrees(np.arccos(np.minimum(nearest, 1))).max() < 7.5


def test_symmetry_shortens_the_list():
    assert len(directions(7.5, "C1")) == 768
    assert 192 <= len(directions(7.5, "D2")) < 250


@pytest.mark.parametrize("symmetry", ["D2", "D7", "O"])
def test_directions_kept_are_those_that_relion_keeps(symmetry):
    matrices = into_unit(rotation_matrices(random_angles(300, np.random.default_rng(0))), symmetry)
    x, y, z = matrices[:, :, 2].T
    fold = {"D2": 2, "D7": 7, "O": 4}[symmetry]
    sector = np.abs((np.degrees(np.arctan2(y, x)) - 90 + 180) % 360 - 180)  # RELION's are centred on rot = 90
    assert np.degrees(np.arccos(z)).max() < 90.1 and sector.max() < 180 / fold + 1e-6


def test_the_equivalent_orientation_is_equivalent():
    angles = random_angles(50, np.random.default_rng(1))
    moved = Rotation.from_matrix(into_unit(rotation_matrices(angles), "I")).as_euler("ZYZ", degrees=True)
    assert angular_distance(angles, moved, "I").max() < 1e-4


def test_in_plane_angles_cover_a_turn_once():
    angles = in_plane_angles(7.5)
    assert len(angles) == 48 and np.allclose(np.diff(angles), 7.5) and angles[-1] - angles[0] < 360


def test_shifts_lie_within_their_radius_and_hold_zero():
    shifts = ball_of_points(2.0, 1.0, 2)
    assert len(shifts) == 13 and [0, 0] in shifts.tolist()
    assert ball_of_points(0, 1.0, 2).tolist() == [[0, 0]]


def test_small_turns_hold_the_identity_and_their_opposites():
    rotations = ball_of_rotations(6, 3)
    angles = np.degrees(np.arccos(np.clip((np.trace(rotations, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert len(rotations) == 33 and np.isclose(angles.min(), 0, atol=1e-4) and angles.max() < 6.01


@pytest.mark.filterwarnings("error")  # scipy's of gimbal lock ended up in the logs
def test_angles_are_those_of_the_matrices_at_the_poles_too_without_a_warning():
    matrices = rotation_matrices([[10, 0, 20], [30, 180, -40], [50, 60, 70]])
    assert np.allclose(rotation_matrices(euler_angles(matrices)), matrices)
