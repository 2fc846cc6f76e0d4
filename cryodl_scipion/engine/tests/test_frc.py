# SPDX-License-Identifier: GPL-3.0-or-later
import numpy as np
import pytest
import torch

from cryodl.core.fourier import frc, fsc, mean_frc, resolution_at, ring_frequencies, rings


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_an_image_correlates_fully_with_itself_at_any_scale_and_fully_negatively_with_its_negative():
    image = noise(2, 16, 16)
    torch.testing.assert_close(frc(image, 3 * image + 7), torch.ones(2, 9))
    torch.testing.assert_close(frc(image, -image)[:, 1:], -torch.ones(2, 8))


@pytest.mark.parametrize("scale", [1e30, 1e-12, 1e-25, 1e-36, 0.0])
def test_an_images_strength_does_not_matter_and_one_that_is_all_but_empty_correlates_with_nothing(scale):
    image, other = noise(16, 16), noise(16, 16, seed=1)
    expected = frc(image, other) if scale > 1e-30 else torch.eye(9)[0]
    torch.testing.assert_close(frc(scale * image, other), expected)


def test_signal_in_noise_of_equal_power_has_a_ring_correlation_of_one_over_root_two():
    signal = noise(400, 32, 32)
    curve = frc(signal, signal + noise(400, 32, 32, seed=1)).mean(0)
    torch.testing.assert_close(curve[3:], torch.full((14,), 0.5**0.5), atol=0.02, rtol=0)


def test_only_the_rings_that_two_images_share_correlate():
    wave = lambda k: torch.cos(2 * torch.pi * k * torch.arange(32) / 32).expand(32, 32)
    faint = 1e-2 * noise(2, 32, 32)  # so that no ring is empty
    curve = frc(wave(3) + wave(5) + faint[0], wave(3) + wave(7) + faint[1])
    assert curve[3] > 0.99 and curve[[5, 7]].abs().max() < 0.1


@pytest.mark.parametrize("correlation, axes", [(frc, 2), (fsc, 3)])
def test_the_curve_is_the_one_of_numpys_full_transform(correlation, axes):
    a, b = (noise(*(12,) * axes, seed=s).numpy() for s in (0, 1))
    one, two, k = np.fft.fftn(a), np.fft.fftn(a + b), np.fft.fftfreq(12, 1 / 12)
    shell = np.rint(np.sqrt(sum(g**2 for g in np.meshgrid(*[k] * axes)))) == 6  # Nyquist's own column is among these
    hand = (one * two.conj())[shell].sum().real / np.sqrt((abs(one[shell]) ** 2).sum() * (abs(two[shell]) ** 2).sum())
    assert correlation(torch.tensor(a), torch.tensor(a + b))[6] == pytest.approx(hand, abs=1e-5)


def test_an_image_without_power_correlates_with_nothing():
    assert frc(torch.zeros(8, 8), noise(8, 8))[1:].abs().max() == 0


def test_the_mean_leaves_ring_0_out():
    assert float(mean_frc(torch.tensor([1.0, 0.5, 0.1]))) == pytest.approx(0.3)


def test_resolution_lies_between_the_rings_around_the_crossing():
    curve = [1, 1, 0.8, 0.2, 0]
    assert resolution_at(curve, 0.5, 2.0, 8) == pytest.approx(16 / 2.5)
    assert resolution_at(curve, 0.143, 2.0, 8) > resolution_at(curve, 0.1, 2.0, 8)


def test_nothing_is_resolved_where_the_first_ring_fails_and_nyquist_is_the_limit():
    assert resolution_at([1, 0.2, 0.9], 0.5, 2.0, 4) is None
    assert resolution_at([1, 0.9, 0.8], 0.5, 2.0, 4) == 4.0


def test_frequencies_and_rings_belong_to_each_other():
    assert ring_frequencies(4, 2.0) == [0, 0.125, 0.25]
    assert rings((4, 4)).tolist() == [[0, 1, 2], [1, 1, 2], [2, 2, 3], [1, 1, 2]]


@pytest.mark.parametrize("shapes", [((8, 8), (6, 6)), ((8, 6), (8, 6))])
def test_images_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ValueError, match="same shape, with 2 equal sides"):
        frc(*(torch.zeros(s) for s in shapes))
