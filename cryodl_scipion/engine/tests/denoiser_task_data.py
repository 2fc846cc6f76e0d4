# SPDX-License-Identifier: GPL-3.0-or-later
"""A task of a denoiser on pairs of which everything is known."""

import numpy as np
import torch

from cryodl.particles.denoisers import denoiser_method
from cryodl.particles.denoisers.scales import measure_pairs
from cryodl.particles.denoisers.train import DenoiserTask

BOX = 32


class DotPairs:
    """A dot somewhere near the middle, its sign turned by the CTF, in noise."""

    box, pixel_size, diameter_px, spectra, particles = BOX, 4.0, 24, [torch.ones(BOX // 2 + 1)], [None]
    training = [np.arange(90)]

    def draw(self, rng, count, train=True):
        y, x = np.mgrid[:BOX, :BOX] - BOX // 2
        positions = rng.uniform(-3, 3, (count, 2))
        dots = 10 * np.exp(-((y - positions[:, :1, None]) ** 2 + (x - positions[:, 1:, None]) ** 2) / 8)
        target = torch.from_numpy(dots).float()[:, None]
        noise = torch.from_numpy(rng.standard_normal(target.shape)).float()
        return noise - 0.3 * target, torch.full((count, 1, BOX, BOX // 2 + 1), -1.0), target

    def validation_batches(self, batch, maximum):
        yield self.draw(np.random.default_rng(1), 10)

    def state(self):
        return None

    def restore(self, values):
        assert values is None


def task_of(name, adversarial=None, **options):
    """adversarial: weight of the discriminator's verdict, None for the network's own."""
    torch.manual_seed(0)
    method, pairs = denoiser_method(name), DotPairs()
    method.adversarial = method.adversarial if adversarial is None else adversarial
    network, statistics = method.build(BOX), measure_pairs(pairs, 0)
    network.learn_scale(statistics)
    return DenoiserTask(method, network, pairs, statistics.amplitude, **options)
