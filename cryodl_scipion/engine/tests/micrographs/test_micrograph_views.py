# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs as their denoiser sees them: binned, flat, white; back again; and views with independent noise."""

import numpy as np
import pytest
import torch
from synthetic import blob_micrograph, correlation

from cryodl.io.files import spread_first
from cryodl.learning.networks import WienerUNet
from cryodl.micrographs.denoise.run import MicrographDenoiser
from cryodl.micrographs.denoise.scaling import (
    cross_power,
    denoising_pixel_size,
    fourier_reshape,
    joined_views,
    make_views,
    pair,
    restored,
    working_images,
)
from cryodl.simulate.noise import BINS, plane_mean, spectrum_on_grid

CARD = dict(method="added-noise", resolution=8.0)


def wave(shape, rows, columns):
    """A cosine of so many periods over an image's height and width; its value depends on the position only."""
    y, x = (torch.arange(n) / n for n in shape)
    return torch.cos(2 * torch.pi * (rows * y[:, None] + columns * x[None] + 0.1))


def coloured_noise(shape, fall, seed=0):
    """Noise whose amplitude falls as exp(-fall * frequency), as of an interpolated or low-passed micrograph."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    frequency = (torch.fft.fftfreq(shape[0])[:, None] ** 2 + torch.fft.rfftfreq(shape[1]) ** 2).sqrt()
    return torch.fft.irfft2(torch.fft.rfft2(noise) * torch.exp(-fall * frequency), s=shape)


@pytest.mark.parametrize("small", [(100, 120), (101, 119), (64, 120), (37, 121)])
def test_a_wave_keeps_its_values_and_place_on_any_grid(small):
    large = (128, 150)
    assert torch.allclose(fourier_reshape(wave(large, 7, -5), small), wave(small, 7, -5), atol=1e-5)
    assert torch.allclose(fourier_reshape(wave(small, 7, -5), large), wave(large, 7, -5), atol=1e-5)


def test_detail_finer_than_the_small_grid_is_gone():
    assert fourier_reshape(wave((128, 150), 40, 3), (64, 75)).abs().max() < 1e-5


def test_the_working_pixel_holds_the_resolution_and_is_never_finer_than_the_file():
    assert denoising_pixel_size(1.0, 8.0) == 4.0 and denoising_pixel_size(5.0, 8.0) == 5.0


@pytest.mark.parametrize("fall", [2.8, 13.0])  # of the power, by 16 and by 400,000 up to Nyquist
def test_coloured_noise_becomes_white_with_standard_deviation_one(fall):
    (working,) = working_images([(300 + 20 * coloured_noise((400, 500), fall)).numpy()], 1.0)
    power = cross_power(working.image, working.image, working.mask)
    assert abs(float(working.image[30:-30, 30:-30].std()) - 1) < 0.08
    assert np.abs(power[10:85] - 1).max() < 0.25 and abs(plane_mean(power) - 1) < 0.08


def test_what_is_prepared_comes_back_with_its_grey_values_background_and_shape():
    """All that is taken off is put back: of an image without detail finer than the working pixels nothing is lost."""
    noise = fourier_reshape(torch.randn(200, 240, generator=torch.Generator().manual_seed(0)), (401, 479))
    ramp = torch.linspace(-30, 30, 479)[None] + torch.linspace(0, 50, 401)[:, None]
    image = (1000 + ramp + 20 * noise).numpy()
    (working,) = working_images([image], 0.5)
    back = restored(working.image, working)
    assert working.image.shape == (200, 240) and back.shape == image.shape and back.dtype == np.float32
    inside = np.s_[40:-40, 40:-40]
    assert correlation(back[inside], image[inside]) > 0.999 and abs(back.mean() - image.mean()) < 0.5


def test_hot_pixels_margins_and_missing_values_do_no_harm():
    image = (100 + 10 * torch.randn(300, 320, generator=torch.Generator().manual_seed(1))).numpy()
    image[50, 60] = 1e6
    image[200:205, 100:104] = np.nan
    image[:, :20] = 0
    (working,) = working_images([image], 1.0)
    assert torch.isfinite(working.image).all() and float(working.image.abs().max()) < 20
    assert not working.mask[:, :18].any() and working.mask[20:180, 50:-20].min() > 0.99
    back = restored(working.image, working)
    assert np.isfinite(back).all()
    assert abs(back[60:, 22:40]).max() < abs(back[60:, 60:]).max()  # the margin does not ring


@pytest.mark.parametrize(
    "image, words",
    [
        (np.zeros((300, 300), np.float32), "constant"),
        (np.full((300, 300), np.nan, np.float32), "not numbers"),
        (np.random.default_rng(0).random((90, 300), np.float32), "300 x 90 px at this"),
    ],
)
def test_what_cannot_be_denoised_is_refused_in_words(image, words):
    with pytest.raises(ValueError, match=words):
        working_images([image], 1.0)


def test_the_two_views_of_a_micrograph_share_their_signal_but_not_their_noise():
    image, _ = blob_micrograph((400, 320), contrast=0)
    blobs = blob_micrograph((400, 320), contrast=1.5)[0] - image
    image[:200] += blobs[:200]  # the other half stays empty: noise is measured there
    views = make_views(working_images([image], 1.0))
    first, second = pair(views, torch.Generator().manual_seed(1))[:, 0]
    shared = first * second
    empty, full = np.s_[230:-20, 20:-20], np.s_[20:170, 20:-20]  # the outermost px fade
    assert abs(float(shared[empty].mean())) < 0.03 and abs(float(first[empty].std()) - 1) < 0.05
    assert abs(float(shared[full].mean()) - float((blobs[full] ** 2).mean()) / 2) < 0.05


def test_the_wiener_filter_of_both_views_joins_to_that_of_the_micrograph():
    """The added noise cancels: for a linear filter the two views are as good as the micrograph."""
    image, _ = blob_micrograph((256, 320), contrast=0.7)
    working = working_images([image], 1.0)
    views = make_views(working)
    answer = joined_views(pair(views, torch.Generator().manual_seed(5))[:, 1], views)
    expected = torch.fft.irfft2(
        torch.fft.rfft2(working[0].image) * spectrum_on_grid(views.gain, (256, 320)), s=(256, 320)
    )
    assert torch.allclose(answer, expected, atol=1e-4)


def test_spectra_are_straight_between_bins_and_end_where_they_end():
    values = spectrum_on_grid(np.arange(BINS, dtype=float), (64, 80))
    assert float(values[0, 0]) == 0 and abs(float(values[32, 40]) - (BINS - 1)) < 1
    assert bool((values[0, 1:] > values[0, :-1]).all())


def random_denoiser(tile):
    torch.manual_seed(0)
    network = WienerUNet()
    torch.nn.init.normal_(network.head.weight)  # as it begins, it answers nothing
    return MicrographDenoiser(CARD, network.state_dict(), torch.device("cpu"), tile=tile)


def test_tiles_leave_no_seams():
    image = (50 + 3 * torch.randn(360, 500, generator=torch.Generator().manual_seed(0))).numpy()
    whole, tiled = (random_denoiser(tile).denoise([image], 4.0) for tile in (1024, 256))
    assert np.abs(whole - tiled).max() < 1e-3 * whole.std()


def test_an_untrained_network_is_the_wiener_filter():
    image, centres = blob_micrograph((256, 320), contrast=0.7)
    clean = blob_micrograph((256, 320), contrast=50.0)[0]
    denoiser = MicrographDenoiser(CARD, WienerUNet().state_dict(), torch.device("cpu"))
    denoised = denoiser.denoise([image], 4.0)
    assert correlation(denoised, clean) > 1.3 * correlation(image, clean)
    at_centres = denoised[tuple(np.rint(centres).astype(int).T)]
    assert at_centres.mean() < denoised.mean() - denoised.std()  # dark, where it was


def test_micrographs_to_learn_from_are_spread_over_all():
    tens = spread_first(range(10), 3)
    assert tens[:3] == [0, 4, 9] and sorted(tens) == list(range(10)) and spread_first([7, 8], 2) == [7, 8]
