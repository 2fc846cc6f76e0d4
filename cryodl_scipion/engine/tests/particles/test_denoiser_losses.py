# SPDX-License-Identifier: GPL-3.0-or-later
"""Losses against numbers worked out by hand, and the frequency scale against numpy."""

import math

import numpy as np
import pytest
import torch

from cryodl.contract.fields import RECONSTRUCTION_LOSSES
from cryodl.core.fourier import filtered, shells
from cryodl.particles.denoisers.scales import FrequencyScale, Statistics, measure_pairs
from cryodl.particles.denoisers.train import LOSSES, verdict


def test_the_losses_are_those_of_the_contract():
    assert tuple(LOSSES) == RECONSTRUCTION_LOSSES


def test_losses_of_known_differences():
    output, target = torch.tensor([0.0, 1.0, -2.0, 5.0]), torch.tensor([0.0, 0.0, 0.0, 1.0])
    assert float(LOSSES["l1"](output, target)) == pytest.approx((0 + 1 + 2 + 4) / 4)
    wild = math.e**3 - 1 + (4 - 3) * math.e**3  # beyond 3: a straight line of the same slope
    expected = (math.e - 1 + math.e**2 - 1 + wild) / 4
    assert float(LOSSES["exponential"](output, target)) == pytest.approx(expected, rel=1e-6)


def test_the_exponential_loss_has_no_kink_at_its_steepest():
    x = torch.tensor([2.999, 3.001], requires_grad=True)
    (slope,) = torch.autograd.grad(2 * LOSSES["exponential"](x, torch.zeros(2)), x)
    assert slope.tolist() == pytest.approx([math.e**3] * 2, rel=2e-3)


def test_verdicts_are_cross_entropies():
    logits = torch.tensor([0.0, 2.0])
    assert float(verdict(logits, True)) == pytest.approx((math.log(2) + math.log(1 + math.e**-2)) / 2)
    assert float(verdict(logits, False)) == pytest.approx((math.log(2) + math.log(1 + math.e**2)) / 2)


def scale_of(box=16, sharpening=0.8):
    rings = torch.arange(box // 2 + 1.0)
    scale = FrequencyScale(box, sharpening)
    signal = 50 * torch.exp(-rings)
    scale.learn(Statistics(amplitude=0.5, signal=signal, noise=1 + 0.1 * rings, largest=3.0))
    return scale, signal.numpy(), (1 + 0.1 * rings).numpy()


def test_an_unsharpened_scale_is_the_wiener_filter_of_the_textbook():
    scale, signal, noise = scale_of(sharpening=0.0)
    rng = np.random.default_rng(0)
    image, ctf = rng.standard_normal((16, 16)).astype("f4"), rng.uniform(-1, 1, (16, 9)).astype("f4")
    ctf[8] = ctf[[8]]
    restored = scale.restored(torch.from_numpy(image)[None, None], torch.from_numpy(ctf)[None, None])
    found = np.fft.rfft2(restored[0, 0].numpy())
    ring = np.minimum(shells(16).numpy(), 8)
    seen = 0.5 * ctf  # what the microscope made of the target
    expected = np.fft.rfft2(image) * seen * signal[ring] / (seen**2 * signal[ring] + noise[ring])
    inner = np.s_[1:8, 1:8]  # away from the columns that are their own partners
    assert np.allclose(found[inner], expected[inner], atol=1e-4)


def test_finishing_undoes_what_working_did():
    scale, *_ = scale_of()
    target = torch.randn(3, 1, 16, 16)
    assert torch.allclose(scale.finished(scale.working(target)), target, atol=1e-4)


def test_sharpened_targets_keep_their_variance_and_gain_detail():
    scale, signal, _ = scale_of()
    torch.manual_seed(0)
    ring = shells(16).clamp(max=8)
    target = filtered(torch.randn(500, 16, 16), torch.from_numpy(signal).sqrt()[ring])
    sharp = scale.working(target[:, None])[:, 0]
    power = lambda images, k: float(torch.fft.rfft2(images).abs().square().mean(0)[ring == k].mean())
    assert power(sharp, 6) / power(sharp, 1) == pytest.approx((power(target, 6) / power(target, 1)) ** 0.2, rel=0.1)
    assert float(sharp.var()) == pytest.approx(float(target.var()), rel=0.25)


class KnownPairs:
    """White targets of deviation 2, noise of deviation 1.5, amplitude 0.3."""

    box = 16

    def draw(self, rng, count, train=True):
        target = torch.from_numpy(2 * rng.standard_normal((count, 1, 16, 16))).float()
        noise = torch.from_numpy(1.5 * rng.standard_normal((count, 1, 16, 16))).float()
        ctf = torch.full((count, 1, 16, 9), -0.8)
        return 0.3 * -0.8 * target + noise, ctf, target


def test_statistics_of_known_pairs():
    found = measure_pairs(KnownPairs(), seed=0)
    assert found.amplitude == pytest.approx(0.3, rel=0.05)
    assert found.signal[1:].mean() == pytest.approx(4.0, rel=0.05)
    assert found.noise[1:].mean() == pytest.approx(2.25, rel=0.05)
    assert found.largest > 6
