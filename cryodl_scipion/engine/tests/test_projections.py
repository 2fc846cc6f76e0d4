# SPDX-License-Identifier: GPL-3.0-or-later
"""Projections at Euler angles, as RELION's."""

import shutil
import subprocess

import mrcfile
import numpy as np
import pytest
import torch
from synthetic import correlation, lopsided_density, write_mrc

from cryodl.core.projections import Projector, random_angles


def test_unturned_projection_is_the_sum_along_z():
    density = torch.from_numpy(lopsided_density())
    image = Projector(density).project([[0, 0, 0]])[0].numpy()
    ground_truth = density.sum(0).numpy()
    assert correlation(image, ground_truth) > 0.999
    for wrong in (ground_truth[::-1], ground_truth[:, ::-1], ground_truth.T):
        assert correlation(image, wrong) < 0.9


@pytest.mark.parametrize("angles, quarters", [((0, 0, 90), 1), ((0, 0, 180), 2), ((90, 0, 0), 1), ((30, 0, 60), 1)])
def test_rot_and_psi_turn_an_untilted_image_in_the_plane(angles, quarters):
    """An odd side turns about its centre without interpolation, so the turned array is the truth."""
    density = torch.from_numpy(lopsided_density(33))
    flat = Projector(density).project([[0, 0, 0]])[0].numpy()
    image = Projector(density).project([angles])[0].numpy()
    assert correlation(image, np.rot90(flat, quarters)) > 0.99
    assert max(correlation(image, np.rot90(flat, quarters + k)) for k in (1, 2, 3)) < 0.9


@pytest.mark.skipif(not shutil.which("relion_project"), reason="relion_project is not installed")
def test_projections_equal_those_of_relion(tmp_path):
    density = lopsided_density(48)
    write_mrc(tmp_path / "map.mrc", density, 2.0)
    angles = np.array([[20.0, 40.0, 70.0], [-100.0, 110.0, 15.0], [0.0, 90.0, 0.0], [160.0, 10.0, -60.0]])
    ours = Projector(torch.from_numpy(density)).project(angles).numpy()
    rights, wrongs = [], []
    for row, image in zip(angles, ours):
        subprocess.run(
            [
                "relion_project",
                "--i",
                "map.mrc",
                "--o",
                "out.mrc",
                "--angpix",
                "2",
                "--rot",
                str(row[0]),
                "--tilt",
                str(row[1]),
                "--psi",
                str(row[2]),
            ],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        with mrcfile.open(tmp_path / "out.mrc") as mrc:
            theirs = np.squeeze(mrc.data)
        rights.append(correlation(image, theirs))
        wrongs.append(max(correlation(image, wrong) for wrong in (theirs[::-1], theirs[:, ::-1], theirs.T)))
    assert min(rights) > 0.99 and min(r - w for r, w in zip(rights, wrongs)) > 0.005 and min(wrongs) < 0.9


def test_shifts_move_the_particle_that_way():
    density = torch.from_numpy(lopsided_density())
    still, moved = Projector(density).project([[10, 20, 30]] * 2, shifts_yx=[[0, 0], [3.0, -2.0]])
    assert torch.allclose(still.roll((3, -2), (0, 1))[6:-6, 6:-6], moved[6:-6, 6:-6], atol=0.02 * float(still.max()))


def test_a_projector_gives_any_number_of_views_at_any_box():
    density = torch.from_numpy(lopsided_density())
    angles = random_angles(40, np.random.default_rng(0))
    projector = Projector(density)
    images, wide = projector.project(angles), projector.project(angles, box=80)
    assert images.shape == (40, 32, 32) and wide.shape == (40, 80, 80)
    assert torch.allclose(images, wide[:, 24:56, 24:56]) and projector.project(np.zeros((0, 3))).shape == (0, 32, 32)
    assert torch.allclose(images[33], Projector(density).project(angles[33:34])[0], atol=1e-4)
    # all views have the mass of the density, but for what interpolation in so small a cube loses or gains
    assert torch.allclose(wide.sum((1, 2)), density.sum().expand(40), rtol=0.05)


def test_a_large_density_is_projected_as_exactly_with_less_padding(monkeypatch):
    density = torch.from_numpy(lopsided_density(96))
    angles = random_angles(4, np.random.default_rng(0))
    full = Projector(density).project(angles)
    monkeypatch.setattr("cryodl.core.projections.padded_side", lambda side: 3 * side // 2)
    assert float((Projector(density).project(angles) - full).norm() / full.norm()) < 3e-3


def test_angles_cover_the_sphere():
    angles = random_angles(20000, np.random.default_rng(0))
    assert abs(np.cos(np.radians(angles[:, 1])).mean()) < 0.02 and angles[:, 1].min() >= 0 and angles[:, 1].max() <= 180
    assert np.abs(angles[:, [0, 2]]).max() <= 180 and abs(np.cos(np.radians(angles[:, 1])).var() - 1 / 3) < 0.01
