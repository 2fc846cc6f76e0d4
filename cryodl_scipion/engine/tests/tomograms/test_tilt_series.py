# SPDX-License-Identifier: GPL-3.0-or-later
"""Turned densities, tilt images and back-projection against Gaussians, whose projections are known."""

import math

import numpy as np
import pytest
import torch
from synthetic import correlation

from cryodl.core.projections import Projector, random_angles
from cryodl.core.volumes import wedge
from cryodl.simulate.rotations import finer, rotated
from cryodl.simulate.tilt_series import back_projected, dose_filter, exposures, image_width, tilt_images

SIDE = 32
# zyx px from the middle, sigma, height
BLOBS = [((3, -5, 4), 1.5, 1.0), ((-4, 2, 6), 1.2, 0.7), ((0, 6, -6), 2.0, 1.3)]


def volume():
    grid = torch.meshgrid(*[torch.arange(SIDE) - SIDE // 2.0] * 3, indexing="ij")
    return sum(
        height * torch.exp(-sum((g - c) ** 2 for g, c in zip(grid, centre)) / (2 * sigma**2))
        for centre, sigma, height in BLOBS
    )


def projection(tilt, width):
    """(y, x) of BLOBS at a tilt in degrees, by the sentence of contract/frames.py."""
    rotation, y, x = math.radians(tilt), torch.arange(SIDE)[:, None] - SIDE // 2, torch.arange(width) - width // 2
    total = torch.zeros(SIDE, width)
    for centre, sigma, height in BLOBS:
        position = centre[2] * math.cos(rotation) + centre[0] * math.sin(rotation)
        bell = torch.exp(-((y - centre[1]) ** 2 + (x - position) ** 2) / (2 * sigma**2))
        total += height * sigma * math.sqrt(2 * math.pi) * bell
    return total


def test_a_turned_density_summed_along_the_beam_is_the_projectors_image():
    rng = np.random.default_rng(0)
    angles, shifts = random_angles(4, rng), rng.uniform(-2, 2, (4, 3))
    images = Projector(volume()).project(angles, shifts[:, 1:])
    for density, sampling, minimum in ((volume(), 1, 0.999), (finer(volume(), 2), 2, 0.9995)):
        turned = rotated(density, angles, shifts, sampling=sampling)
        assert correlation(turned.sum(1), images) > minimum


def test_a_shift_along_the_beam_moves_the_density_by_slices():
    turned = rotated(volume(), [[0, 0, 0]], [[3, 0, 0]])[0]
    assert torch.allclose(turned[3:], volume()[:-3], atol=1e-4)
    smaller = rotated(volume(), [[0, 0, 0]], box=20)[0]
    assert torch.allclose(smaller, volume()[6:26, 6:26, 6:26], atol=1e-4)


@pytest.mark.parametrize("tilt", [-90, -60, -33, -2, 0, 7, 45, 75])
def test_tilt_images_of_gaussians_are_the_gaussians_projections(tilt):
    width = image_width(SIDE, SIDE, [tilt])
    found, ground_truth = tilt_images(volume(), [tilt], width)[0], projection(tilt, width)
    assert float((found - ground_truth).abs().max() / ground_truth.max()) < 0.03


def test_back_projection_of_all_tilts_gives_the_volume_with_its_values():
    tilts = list(np.arange(-90, 90, 3.0))
    width = image_width(SIDE, SIDE, tilts)
    images = torch.stack([projection(t, width) for t in tilts])
    found = back_projected(images, tilts, SIDE, SIDE)
    assert correlation(found, volume()) > 0.998
    assert float(found.max()) == pytest.approx(float(volume().max()), rel=0.03)


def test_a_limited_series_gives_the_volume_inside_of_the_measured_cone_and_nothing_outside():
    tilts = list(np.arange(-60, 41, 2.0))  # not symmetric: it tells the sign of tilts
    width = image_width(SIDE, SIDE, tilts)
    found = back_projected(torch.stack([projection(t, width) for t in tilts]), tilts, SIDE, SIDE)
    measured = wedge(SIDE, -60, 40).bool()
    transforms = [torch.fft.rfftn(v) for v in (found, volume())]
    inside = [torch.fft.irfftn(t * measured) for t in transforms]
    assert correlation(*inside) > 0.98
    power = [t.abs().square() for t in transforms]
    share = [float(p[~measured].sum() / p.sum()) for p in power]
    assert share[0] < 0.15 * share[1]
    mirrored = wedge(SIDE, -40, 60).bool()
    assert power[0][~mirrored & measured].sum() > 5 * power[0][~measured & mirrored].sum()


def test_a_volume_shows_where_it_is_in_z_and_not_mirrored():
    point = torch.zeros(24, 8, 40)
    point[17, 3, 12] = 1
    tilts = list(np.arange(-60, 61, 3.0))
    images = tilt_images(point, tilts, image_width(24, 40, tilts))
    assert np.unravel_index(int(back_projected(images, tilts, 24, 40).argmax()), point.shape) == (17, 3, 12)
    assert images[:, [0, 1, 2, 4, 5, 6, 7]].abs().max() < 1e-6


def test_damage_follows_the_published_critical_exposure_and_small_tilts_come_first():
    seen = exposures([-60.0, -30.0, 0.0, 30.0, 60.0], 100.0)
    at_200 = exposures([0.0], 100.0, 200.0)
    assert float(at_200 / exposures([0.0], 100.0)) == pytest.approx(1 / 0.8, rel=0.01)  # what the authors took
    assert seen.tolist() == [70, 30, 10, 50, 90]
    # at 1/10 Å: 0.245 * 10 ** 1.665 + 2.81 = 14.14 e/Å², half as much reduces the power, that is twice the amplitude's
    left = dose_filter((1, 100), 1.0, torch.tensor([14.14]))[0, 0, 10]
    assert float(left) == pytest.approx(math.exp(-0.5), abs=2e-3)
