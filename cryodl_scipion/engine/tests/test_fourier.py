# SPDX-License-Identifier: GPL-3.0-or-later
"""Resampling keeps values and centres; rings hold what they should."""

import math

import pytest
import torch
from synthetic import gaussian_blobs

from cryodl.core.fourier import (
    circle,
    filtered,
    fourier_resize,
    from_middle,
    low_pass,
    on_grid,
    plane_weights,
    radial_mean,
    resampled_side,
    shells,
)


@pytest.mark.parametrize("box", [6, 7])
def test_distances_are_from_one_pixel_whether_the_box_is_even_or_odd(box):
    found = from_middle(box, 3)
    assert found[3, 3, 3] == 0 and found[3, 3, 1] == found[3, 5, 3] == 2 and float(found[0, 3, 3]) == 3


def blob(side, y, x, sigma):
    """A Gaussian (y, x) field widths from the centre pixel side // 2."""
    return torch.from_numpy(gaussian_blobs((side, side), [[side // 2 + y * side, side // 2 + x * side]], sigma * side))


@pytest.mark.parametrize("side, box", [(32, 48), (48, 32), (33, 48), (48, 33), (33, 21), (20, 31), (32, 32)])
def test_a_resized_blob_is_the_blob_drawn_at_the_new_size(side, box):
    expected = blob(box, 0.1, -0.07, 0.08)
    assert torch.allclose(fourier_resize(blob(side, 0.1, -0.07, 0.08)[None], box)[0], expected, atol=2e-3)


def test_a_constant_stays_and_the_input_is_unchanged():
    image = torch.full((1, 16, 16), 3.0)
    assert torch.allclose(fourier_resize(image, 10), torch.tensor(3.0)) and fourier_resize(image, 16) is not image


def test_detail_beyond_the_new_pixels_is_gone_and_not_aliased():
    x = torch.arange(32)
    fine, coarse = torch.cos(2 * math.pi * 12 * x / 32), torch.cos(2 * math.pi * 3 * x / 32)
    small = fourier_resize((fine + coarse).expand(32, 32), 16)
    power = torch.fft.rfft2(small).abs()
    assert power[0, 3] == power.max() and power[0, 4:].max() < 1e-3 * power.max()


def test_white_noise_loses_the_power_of_the_pixels_it_lost():
    noise = torch.randn(20, 64, 64, generator=torch.Generator().manual_seed(0))
    assert float(fourier_resize(noise, 32).var()) == pytest.approx(0.25 * 31**2 / 32**2, rel=0.05)


def test_rings_are_whole_frequencies_and_their_means_weigh_the_whole_plane():
    assert shells(8)[0].tolist() == [0, 1, 2, 3, 4] and shells(8)[:, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]
    assert shells(8)[1, 1] == 1 and shells(8)[3, 3] == 4
    full = torch.fft.fft2(torch.randn(7, 7, generator=torch.Generator().manual_seed(1))).abs()
    y = torch.fft.fftfreq(7) * 7
    ring = (y[:, None] ** 2 + y**2).sqrt().round() == 2
    assert float(radial_mean(full[:, :4], 7)[2]) == pytest.approx(float(full[ring].mean()), rel=1e-5)
    assert radial_mean(torch.ones(3, 8, 5), 8).shape == (3, 5) and int(plane_weights(8).sum()) == 8
    assert on_grid(torch.arange(5.0), 8)[2, 0] == 2 and on_grid(torch.arange(5.0), 8)[4, 4] == 4


def test_a_resampled_box_holds_a_whole_number_of_pixels():
    assert resampled_side(64, 3.5, 3.5) == (64, 3.5) and resampled_side(64, 3.5, 3.5001) == (64, 3.5)
    side, exact = resampled_side(100, 1.0, 3.0)
    assert side == 33 and exact == pytest.approx(100 / 33)


def test_a_low_pass_keeps_what_is_coarser():
    x = torch.arange(32)
    waves = [torch.cos(2 * math.pi * k * x / 32).expand(1, 32, 32) for k in (4, 12)]
    factor = low_pass(32, 2.0, 8.0)  # ring 8
    assert torch.allclose(filtered(waves[0], factor), waves[0], atol=1e-5)
    assert filtered(waves[1], factor).abs().max() < 1e-5
    assert filtered(waves[1], None) is waves[1]
    assert factor[0, 6:11].tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]  # an edge four rings wide


def test_a_circle_lies_around_the_centre_pixel():
    inside = circle(8, 4)
    assert inside[4, 4] and inside[2, 4] and inside[6, 4] and not inside[1, 4] and not inside[6, 5]
