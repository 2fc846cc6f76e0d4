# SPDX-License-Identifier: GPL-3.0-or-later
"""The posterior mean: close to the true projection, empty for noise, and the right one of two structures."""

import numpy as np
import pytest
import torch

from cryodl.core.fourier import filtered, frc, mean_frc
from cryodl.core.projections import Projector, random_angles
from cryodl.particles.denoisers.posterior import PosteriorMean

BOX, PIXEL_SIZE, DIAMETER = 32, 6.0, 120.0
SHIFT = 0.7  # px


def blobs(*positions):
    """A density of Gaussian blobs at zyx positions in px from the middle."""
    axis = torch.arange(BOX, dtype=torch.float32) - BOX // 2
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    return sum(torch.exp(-(grid - torch.tensor(position)).square().sum(-1) / (2 * 1.5**2)) for position in positions)


ONE = blobs((0.0, 0.0, 0.0), (6.0, 0.0, 0.0), (0.0, 5.0, 2.0), (-3.0, -2.0, 6.0))
OTHER = blobs((0.0, 0.0, 0.0), (0.0, 0.0, 8.0), (0.0, 0.0, -8.0), (0.0, 4.0, 0.0))


def ctf_like(count):
    """(count, BOX, BOX // 2 + 1): changes its sign twice."""
    y, x = torch.fft.fftfreq(BOX), torch.fft.rfftfreq(BOX)
    radius = (y[:, None] ** 2 + x**2).sqrt()
    return torch.cos(2 * np.pi * 2.2 * radius).expand(count, -1, -1)


def seen(density, count, strength, seed=0):
    """Noisy images (noise of variance 1), CTFs, and true projections."""
    rng = np.random.default_rng(seed)
    ground_truth = strength * Projector(density).project(random_angles(count, rng), rng.normal(0, SHIFT, (count, 2)))
    ctf = ctf_like(count)
    noise = torch.from_numpy(rng.standard_normal((count, BOX, BOX), dtype=np.float32))
    return filtered(ground_truth, ctf) + noise, ctf, ground_truth


def network(*densities, strength):
    """A PosteriorMean that knows its structures and how strongly they are seen."""
    made = PosteriorMean(BOX, len(densities))
    made.densities.copy_(strength * torch.stack(densities))
    made.geometry.copy_(torch.tensor([PIXEL_SIZE, DIAMETER, SHIFT]))
    return made.eval()


def denoised(net, noisy, ctf):
    return net((noisy[:, None], ctf[:, None]))[:, 0]


@pytest.fixture(scope="module")
def clear():
    """A network and eight images in which the particle is clearly seen."""
    noisy, ctf, ground_truth = seen(ONE, 8, 0.8)
    return network(ONE, strength=0.8), noisy, ctf, ground_truth


def test_the_true_projection_comes_out_of_noise(clear):
    net, noisy, ctf, ground_truth = clear
    found = denoised(net, noisy, ctf)
    before, after = (float(mean_frc(frc(images, ground_truth)).mean()) for images in (noisy, found))
    assert after > 0.65 and after > 1.5 * before
    assert float((found * ground_truth).sum() / ground_truth.square().sum()) == pytest.approx(
        1.0, abs=0.1
    )  # on the same scale


def test_noise_becomes_an_empty_image(clear):
    net, noisy, ctf, ground_truth = clear
    noise = torch.randn(noisy.shape, generator=torch.Generator().manual_seed(1))
    assert float(denoised(net, noise, ctf).std()) < 0.1 * float(ground_truth.std())


def test_the_fainter_the_particle_the_less_is_claimed():
    """The posterior mean shrinks to the mean of all projections as the image tells less."""
    powers = []
    for strength in (0.8, 0.3):
        noisy, ctf, ground_truth = seen(ONE, 4, strength)
        powers.append(
            float(denoised(network(ONE, strength=strength), noisy, ctf).square().sum() / ground_truth.square().sum())
        )
    assert powers[1] < powers[0] < 1.1


def test_of_two_structures_the_right_one_is_shown():
    net = network(ONE, OTHER, strength=0.8)
    for density in (ONE, OTHER):
        noisy, ctf, ground_truth = seen(density, 4, 0.8, seed=3)
        assert float(mean_frc(frc(denoised(net, noisy, ctf), ground_truth)).mean()) > 0.65


def test_its_weights_hold_all_that_it_knows(clear):
    net, noisy, ctf, _ = clear
    other = PosteriorMean(BOX)
    other.load_state_dict(net.state_dict())
    assert torch.equal(denoised(other.eval(), noisy[:2], ctf[:2]), denoised(net, noisy[:2], ctf[:2]))


def test_one_by_one_is_the_same_as_together(clear):
    net, noisy, ctf, _ = clear
    alone = torch.cat([denoised(net, noisy[i : i + 1], ctf[i : i + 1]) for i in range(3)])
    assert torch.allclose(alone, denoised(net, noisy[:3], ctf[:3]), atol=1e-3)


def test_a_projector_gives_its_density_back():
    assert torch.allclose(Projector(ONE).density(), ONE, atol=1e-4)


def test_options_of_training_by_steps_are_refused():
    from cryodl.contract import TrainDenoiserConfig
    from cryodl.particles.commands.train_denoiser import train_denoiser

    config = TrainDenoiserConfig(("p.star",), ("map.mrc",), "model", steps=10, start_from="other")
    with pytest.raises(ValueError, match="--steps, --start-from have no effect with the network posterior"):
        train_denoiser(config)
