# SPDX-License-Identifier: GPL-3.0-or-later
"""Denoising particle images with a trained network.

Test whether particle images are phase-flipped although their file does not state it."""

import typing

import torch

from ...core.devices import fast_dtype
from ...core.fourier import fourier_resize, resampled_side
from ...core.projections import centre_crop
from ...io.particle_sets import ParticleSet
from ...learning.task import method_of
from ...likelihood.observed import prepare, resample, sample_rows
from ...likelihood.reference import image_products
from .method import DenoiserNetwork, load_network

SAMPLE = 96  # particles: at an SNR of 0.05 their difference is some 5 standard errors
CLEARLY = 4.0  # standard errors


def looks_flipped(denoiser: "Denoiser", particles: ParticleSet, contrast: str, diameter_px: float) -> bool:
    """True if a denoiser's answers, seen through the CTF, fit the images clearly better (4 standard errors of a sample
    of the particles) where the images are read as phase-flipped.

    denoiser: run.Denoiser. particles: ParticleSet. contrast, diameter_px: as for preprocess.prepare. False where
    nothing can be told: without a CTF, where the file says what was done, and for networks that do not use the CTF."""
    if particles.optics is None or particles.ctf_state != "none" or not denoiser.method.uses_ctf or len(particles) < 2:
        return False
    rows = sample_rows(len(particles), SAMPLE)
    images, ctf = prepare(particles.images(rows), diameter_px, contrast), particles.ctf(rows)
    answers = ((denoiser.denoise(images, one, particles.pixel_size), one) for one in (ctf, ctf.abs()))
    products = (image_products(images, torch.fft.rfft2(answer) * one) for answer, one in answers)
    told, flipped = (match / power.sqrt().clamp(min=1e-12) for match, power in products)
    gain = flipped - told
    return bool(gain.mean() > CLEARLY * gain.std() / len(gain) ** 0.5)


class Denoiser:
    """A trained network, ready to denoise on a device. card: the model's card. weights: {name: tensor}. device:
    torch.device. Raises ValueError if weights and card do not fit."""

    def __init__(
        self, card: typing.Mapping[str, typing.Any], weights: typing.Mapping[str, torch.Tensor], device: torch.device
    ) -> None:
        self.card, self.device, self.dtype = card, device, fast_dtype(device)
        self.method = method_of("denoiser", card["network"])
        network = load_network(self.method, card["box"], weights, card["name"], len(card["scales"]))
        self.network: DenoiserNetwork = network.to(device).eval()

    def readable(self, particles: ParticleSet) -> ParticleSet:
        """Particles with the noise that the network learnt from: earlier models learnt from images that were
        multiplied by their CTF as they are."""
        learnt = {entry.get("ctf_state") for entry in self.card["training_particles"]}
        return particles if "multiplied" in learnt else particles.divided()

    @torch.inference_mode()
    def denoise(
        self, images: torch.Tensor, ctf: torch.Tensor | None, pixel_size: float, batch_size: int = 16
    ) -> torch.Tensor:
        """Denoised images, protein bright: (n, box, box) float32 tensor on the CPU.

        images: (n, box, box) prepared by preprocess.prepare, of any box and pixel size (Å/px): they are resampled to
        the model's, and what comes out back to theirs. ctf: (n, box, box // 2 + 1) on the grid of rfft2 of `images`, as
        ParticleSet.ctf gives it, or None for images without one. Their scale is that of the model's targets: a standard
        deviation of 1 within the particle's circle, in the mean."""
        batches = [slice(start, start + batch_size) for start in range(0, len(images), batch_size)]
        parts = [self._denoise(images[part], None if ctf is None else ctf[part], pixel_size) for part in batches]
        return torch.cat(parts) if parts else images.new_zeros(images.shape)

    def _denoise(self, images: torch.Tensor, ctf: torch.Tensor | None, pixel_size: float) -> torch.Tensor:
        box, model_box, model_size = images.shape[-1], self.card["box"], self.card["pixel_size"]
        side, _ = resampled_side(box, pixel_size, model_size)
        images = images.to(self.device)
        if side != box or side != model_box:
            images, _ = resample(images, pixel_size, model_size, model_box)
            images = prepare(images, self.card["particle_diameter"] / model_size)  # noise of standard deviation 1 again
        ctf = (
            torch.ones((len(images), model_box, model_box // 2 + 1))
            if ctf is None
            else ctf_on_grid(ctf, side, model_box)
        ).to(self.device)
        condition = self.network.prepare(images[:, None], ctf[:, None])
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            output = self.network(condition)
        return fourier_resize(centre_crop(self.network.finished(output.float())[:, 0], side), box).cpu()


def ctf_on_grid(ctf: torch.Tensor, side: int, box: int) -> torch.Tensor:
    """A CTF for images that were resampled to `side` px and then cut or padded to `box` px.

    ctf: (n, old, old // 2 + 1) on the grid of rfft2. Returns (n, box, box // 2 + 1). It is done on the point spread
    function, as on the images: frequencies that new pixels cannot hold go, and what is spread beyond the new box."""
    old = 2 * (ctf.shape[-1] - 1) if ctf.shape[-2] % 2 == 0 else 2 * ctf.shape[-1] - 1
    if old == side == box:
        return ctf
    point_spread = torch.fft.irfft2(ctf, s=(old, old)).roll((old // 2,) * 2, (-2, -1))
    # resizing keeps values; a transform's are kept if the sum over the pixels is
    point_spread = centre_crop(fourier_resize(point_spread, side) * (old / side) ** 2, box)
    return torch.fft.rfft2(point_spread.roll((-(box // 2),) * 2, (-2, -1))).real
