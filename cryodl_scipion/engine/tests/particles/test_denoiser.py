# SPDX-License-Identifier: GPL-3.0-or-later
"""A Denoiser brings images of any box and pixel size to its own, and back."""

import pytest
import torch
from denoiser_data import write_untrained_denoiser
from particle_data import BOX
from synthetic import correlation

from cryodl.core.fourier import fourier_resize
from cryodl.core.optics import ctf_rfft
from cryodl.likelihood.observed import prepare
from cryodl.particles.denoisers import load_denoiser
from cryodl.particles.denoisers.run import ctf_on_grid


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model folder of random weights, 32 px x 4 Å, particles of 80 Å."""
    folder = tmp_path_factory.mktemp("models") / "model"
    write_untrained_denoiser(folder)
    return folder


class Identity(torch.nn.Module):
    """A network that gives back what it is given."""

    def prepare(self, noisy, ctf):
        self.seen = noisy, ctf
        return noisy

    def forward(self, x):
        return x

    def finished(self, output):
        return output


@pytest.mark.parametrize("box, pixel_size", [(32, 4.0), (48, 4.0), (24, 4.0), (64, 2.0), (50, 3.0), (31, 4.0)])
def test_images_of_any_box_and_pixel_size_come_back_as_they_were(model, box, pixel_size):
    """With a network that changes nothing, all that is lost is what the model's box and pixels cannot hold."""
    denoiser = load_denoiser(model, torch.device("cpu"))
    denoiser.network, denoiser.dtype = Identity(), torch.float32
    position = (torch.arange(box) - box // 2) * pixel_size
    image = torch.exp(
        -((position[:, None] - 10) ** 2 + (position - 6) ** 2) / (2 * 10**2)
    )  # inside of all boxes, smooth
    torch.manual_seed(0)
    images = prepare(image + 1e-3 * torch.randn(2, box, box), 80.0 / pixel_size)
    back = denoiser.denoise(images, None, pixel_size)
    assert back.shape == images.shape and denoiser.network.seen[0].shape[-1] == BOX
    assert all(correlation(back[i].numpy(), images[i].numpy()) > 0.995 for i in range(2))


def test_no_images_give_no_images(model):
    assert load_denoiser(model, torch.device("cpu")).denoise(torch.zeros(0, 32, 32), None, 4.0).shape == (0, 32, 32)


@pytest.mark.parametrize(
    "box, pixel_size, side, new", [(64, 2.0, 32, 32), (64, 2.0, 32, 48), (64, 2.0, 64, 96), (65, 2.0, 65, 64)]
)
def test_a_ctf_follows_its_images_to_another_grid(box, pixel_size, side, new):
    ctf = lambda n, size: ctf_rfft((n, n), size, 9000.0, 8500.0, 30.0, 300.0, 2.7, 0.1)
    found = ctf_on_grid(ctf(box, pixel_size)[None], side, new)[0]
    true = ctf(new, pixel_size * box / side)
    inner = (torch.fft.fftfreq(new)[:, None] ** 2 + torch.fft.rfftfreq(new) ** 2) < 0.35**2
    assert found.shape == true.shape and float((found - true)[inner].abs().mean()) < 0.06
    assert float((true[inner] ** 2).mean()) > 0.2


def test_a_projections_ctf_is_the_same_before_and_after_resampling():
    """Image and CTF are resampled apart; what the image shows must still be what the new CTF says."""
    torch.manual_seed(0)
    ctf = ctf_rfft((64, 64), 2.0, 12000.0, 12000.0, 0.0, 300.0, 2.7, 0.1)
    point = torch.zeros(64, 64)
    point[32, 32] = 1.0
    seen = torch.fft.irfft2(torch.fft.rfft2(point) * ctf, s=(64, 64))
    small_point, small_seen = fourier_resize(point, 32), fourier_resize(seen, 32)
    again = torch.fft.irfft2(torch.fft.rfft2(small_point) * ctf_on_grid(ctf[None], 32, 32)[0], s=(32, 32))
    assert correlation(again.numpy(), small_seen.numpy()) > 0.999
