# SPDX-License-Identifier: GPL-3.0-or-later
"""Point groups in RELION's axes."""

import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from synthetic import lopsided_density

from cryodl.core.symmetry import angular_distance, check_symmetry, largest_symmetry, operations, symmetry_correlation

ORDERS = {"C1": 1, "C7": 7, "D2": 4, "D5": 10, "T": 12, "O": 24, "I": 60, "I1": 60, "I2": 60, "I3": 60, "I4": 60}


@pytest.mark.parametrize("name", ORDERS)
def test_a_group_has_its_order_and_consists_of_rotations(name):
    group = operations(name)
    assert len(group) == ORDERS[name]
    assert np.allclose(group[0], np.eye(3))
    assert np.allclose(group @ group.transpose(0, 2, 1), np.eye(3)) and np.allclose(np.linalg.det(group), 1)


@pytest.mark.skipif(shutil.which("relion_refine") is None, reason="RELION is not installed")
@pytest.mark.parametrize("name", ["C3", "D2", "D3", "T", "O", "I", "I1", "I2", "I3", "I4"])
def test_the_rotations_are_those_that_relion_prints(name):
    text = subprocess.run(
        ["relion_refine", "--sym", name, "--print_symmetry_ops"], capture_output=True, text=True
    ).stdout
    number = r"\s+(-?[\d.e-]+)"
    found = [np.array(m, float).reshape(3, 3) for m in re.findall(r"R\(\d+\)=" + 9 * number, text)]
    ours = operations(name)
    assert len(found) == len(ours)
    assert all(np.abs(ours - matrix).max(axis=(1, 2)).min() < 1e-3 for matrix in found)


@pytest.mark.parametrize("name", ["", "C0", "C", "H", "I5", "D101", "CS", "4"])
def test_what_is_no_point_group_is_refused_by_name(name):
    with pytest.raises(ValueError, match="Symmetry"):
        operations(name)


def test_equivalent_orientations_have_no_distance():
    # D2: half a turn about z adds 180 degrees to rot
    assert angular_distance([[10, 40, 70]], [[190, 40, 70]], "D2")[0] < 1e-4
    assert angular_distance([[10, 40, 70]], [[190, 40, 70]], "C1")[0] > 60


def test_distance_of_two_in_plane_angles_is_their_difference():
    assert np.allclose(angular_distance([[0, 30, 20]], [[0, 30, -25]]), 45)


def test_a_map_without_the_symmetry_is_refused_with_what_to_do():
    density = torch.from_numpy(lopsided_density(24))
    with pytest.raises(ValueError, match="does not have the symmetry D2.*--symmetry C1"):
        check_symmetry(density, "D2", "map.mrc")


def test_a_map_with_the_symmetry_passes():
    density = torch.from_numpy(lopsided_density(25))
    both = density + density.flip(1, 2)  # half a turn about z, through voxel 12
    check_symmetry(both, "C2", "map.mrc")
    assert symmetry_correlation(both, "C2") > 0.98


@pytest.mark.parametrize("name", ["C1", "C4", "C7", "D3", "D7", "T", "O", "I1", "I2", "I3", "I4"])
def test_the_largest_symmetry_of_a_map_is_found(name):
    zyx = np.indices((32, 32, 32)).reshape(3, -1).T - 16
    density = np.zeros(len(zyx))
    for place, width in (((9, 3, 5), 2.0), ((2, 7, 10), 1.5)):
        for rotation in operations(name):
            density += np.exp(-((zyx[:, ::-1] - rotation @ place) ** 2).sum(1) / (2 * width**2))
    assert largest_symmetry(torch.from_numpy(density.reshape(32, 32, 32))) == name
