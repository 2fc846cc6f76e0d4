# SPDX-License-Identifier: GPL-3.0-or-later
"""What views show: missing cones of views whose density is known, tilts that are simulated, blurred directions."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.spatial.transform import Rotation

from cryodl.core.symmetry import operations
from cryodl.reconstruction.views import MISSING, resolutions, views_of


def about_an_axis(concentration, count=3000, seed=1):
    """(n, 3, 3) orientations from image to density whose views have a von Mises-Fisher density about an oblique axis,
    turned at random in the plane."""
    rng = np.random.default_rng(seed)
    along = (
        1 + np.log(rng.random(count) * (1 - np.exp(-2 * concentration)) + np.exp(-2 * concentration)) / concentration
    )
    spin = rng.uniform(-np.pi, np.pi, (2, count))
    tilted = Rotation.from_euler("ZYZ", np.stack([spin[0], np.arccos(along), spin[1]], 1))
    return (Rotation.from_euler("ZYZ", [0.4, 1.1, 0]) * tilted).as_matrix()


def expected_cone(concentration):
    """Degrees from the axis at which a direction is seen as often as MISSING of even views."""
    density = lambda cosine: concentration / np.sinh(concentration) * np.cosh(concentration * cosine)
    around = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    return np.degrees(brentq(lambda a: density(np.sin(a) * np.cos(around)).mean() - MISSING, 0, np.pi / 2))


@pytest.mark.parametrize("concentration", [6, 10, 30])
def test_the_missing_cone_is_that_of_the_density_of_the_views(concentration):
    assert views_of(about_an_axis(concentration), "C1").cone == pytest.approx(expected_cone(concentration), abs=4)


@pytest.mark.parametrize("concentration", [8, 20])
def test_what_a_tilt_would_leave_is_what_a_tilt_leaves(concentration):
    matrices = about_an_axis(concentration)
    for tilt, cone in views_of(matrices, "C1").tilted.items():
        turned = matrices @ Rotation.from_euler("x", tilt, degrees=True).as_matrix()
        assert views_of(turned, "C1").cone == pytest.approx(cone, abs=4)


def test_even_views_and_side_views_miss_nothing():
    even = Rotation.random(1000, random_state=1).as_matrix()
    spins = np.random.default_rng(1).uniform(-np.pi, np.pi, (1000, 2))
    sides = Rotation.from_euler("ZYZ", np.stack([spins[:, 0], np.full(1000, np.pi / 2), spins[:, 1]], 1)).as_matrix()
    for matrices in (even, sides):
        views = views_of(matrices, "C1")
        assert views.cone == 0 and views.least > MISSING and not views.doubts()


def test_symmetry_fills_what_one_unit_does_not_show():
    matrices = about_an_axis(20)
    assert views_of(matrices, "C1").cone > 50 > views_of(matrices, "O").cone
    copies = np.concatenate([one @ matrices for one in operations("D2")])
    assert views_of(matrices, "D2").cone == pytest.approx(views_of(copies, "C1").cone, abs=0.1)


def test_the_map_of_views_says_where_they_are():
    rows = np.array(views_of(about_an_axis(20), "C1").views)
    assert rows[:, 2].mean() == pytest.approx(1, abs=0.01)
    rot, tilt, most = rows[rows[:, 2].argmax()]
    near = Rotation.from_euler("ZYZ", np.radians([rot, tilt, 0])).apply([0, 0, 1])
    assert most > 5 and near @ Rotation.from_euler("ZYZ", [0.4, 1.1, 0]).apply([0, 0, 1]) > np.cos(np.radians(15))


def test_a_missing_cone_and_what_would_help_are_said():
    (sentence,) = views_of(about_an_axis(10), "C1").doubts()
    assert "Views are missing: a cone of 4" in sentence and "at 20°" in sentence and "at 40°" in sentence


def test_few_views_do_not_tell_what_is_missing():
    few = views_of(np.repeat(np.eye(3)[None], 60, axis=0), "C1")  # one view alone
    assert few.outputs()["missing_cone"] is few.outputs()["tilted_cones"] is None and not few.doubts()


def test_the_resolution_is_that_of_each_direction():
    box, pixel, rng = 80, 2.0, np.random.default_rng(0)
    frequency = [torch.fft.fftfreq(box)] * 2 + [torch.fft.rfftfreq(box)]
    z, y, x = torch.meshgrid(*frequency, indexing="ij")
    length = (z**2 + y**2 + x**2).sqrt().clamp(min=1e-6)
    near_z = z.abs() / length > np.cos(np.radians(45))
    limit = torch.where(near_z, 1 / 10.0, 1 / 5.0)  # 1/Å: no signal beyond
    white = lambda: torch.fft.rfftn(torch.from_numpy(rng.standard_normal((box,) * 3)))
    shared = torch.where(length / pixel < limit, white(), torch.zeros(()))
    halves = [torch.fft.irfftn(4 * shared + white(), s=(box,) * 3).float() for _ in range(2)]
    for _, tilt, found in resolutions(*halves, pixel):
        if tilt < 20:
            assert found == pytest.approx(10, rel=0.1)
        elif tilt > 70:
            assert found == pytest.approx(5, rel=0.1)
