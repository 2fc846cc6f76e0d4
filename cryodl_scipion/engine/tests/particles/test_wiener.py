# SPDX-License-Identifier: GPL-3.0-or-later
import torch

from cryodl.core.fourier import frc, mean_frc
from cryodl.likelihood.observed import ring_powers
from cryodl.particles.denoisers.evaluate import wiener_filter

BOX = 32


def smooth(count, seed=0):
    """Images whose power falls with frequency, and their noise of variance 1."""
    generator = torch.Generator().manual_seed(seed)
    white, noise = (torch.randn((count, BOX, BOX), generator=generator) for _ in range(2))
    radius = (torch.fft.fftfreq(BOX)[:, None] ** 2 + torch.fft.rfftfreq(BOX) ** 2).sqrt()
    return torch.fft.irfft2(torch.fft.rfft2(white) * 4 * torch.exp(-radius * 10), s=(BOX, BOX)), noise


def transfer(count):
    """CTF-like factors that change their sign."""
    radius = (torch.fft.fftfreq(BOX)[:, None] ** 2 + torch.fft.rfftfreq(BOX) ** 2).sqrt()
    return torch.cos(radius * 40).expand(count, -1, -1)


def seen(ground_truth, ctf):
    return torch.fft.irfft2(torch.fft.rfft2(ground_truth) * ctf, s=(BOX, BOX))


def test_white_noise_of_variance_1_has_power_1_at_every_ring():
    torch.testing.assert_close(ring_powers(smooth(300)[1]).mean(0)[2:], torch.ones(15), atol=0.05, rtol=0)


def test_without_noise_the_truth_comes_back():
    ground_truth, _ = smooth(3)
    back = wiener_filter(ground_truth, torch.ones(3, BOX, BOX // 2 + 1), torch.ones(17), torch.zeros(17))
    torch.testing.assert_close(back, ground_truth, atol=1e-5, rtol=0)


def test_no_other_gain_has_a_smaller_mean_square_error():
    ground_truth, noise = smooth(200)
    ctf = transfer(200)
    image, signal = seen(ground_truth, ctf) + noise, ring_powers(ground_truth).mean(0)
    error = lambda s, n: float((wiener_filter(image, ctf, s, n) - ground_truth).square().mean())
    best = error(signal, torch.ones(17))
    assert best < 0.6 * float(ground_truth.square().mean())
    for worse in (error(2.5 * signal, torch.ones(17)), error(signal, 2.5 * torch.ones(17))):
        assert best < worse


def test_the_signs_of_the_ctf_are_mended():
    ground_truth, noise = smooth(100)
    ctf = transfer(100)
    image = seen(ground_truth, ctf) + 0.3 * noise
    better = wiener_filter(image, ctf, ring_powers(ground_truth).mean(0), 0.09 * torch.ones(17))
    assert float(mean_frc(frc(better, ground_truth)).mean()) > 0.3 + float(mean_frc(frc(image, ground_truth)).mean())


def test_a_ring_without_signal_and_noise_gives_zero_not_nan():
    assert wiener_filter(smooth(1)[0], torch.zeros(1, BOX, 17), torch.zeros(17), torch.zeros(17)).abs().max() == 0
