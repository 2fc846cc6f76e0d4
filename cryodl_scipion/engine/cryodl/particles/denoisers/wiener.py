# SPDX-License-Identifier: GPL-3.0-or-later
"""The linear baseline: Wiener filter of single images with the true CTF and spectra."""

import torch

from ...core.fourier import on_grid


def wiener_filter(
    images: torch.Tensor, ctf: torch.Tensor, signal_power: torch.Tensor, noise_power: torch.Tensor
) -> torch.Tensor:
    """Linear estimates of the projections behind images = CTF x projection + noise, with the least mean square error.

    images: (n, box, box) tensor. ctf: (n, box, box // 2 + 1), as ParticleSet.ctf. signal_power: (box // 2 + 1,) mean
    power of the projections, on the images' scale, at the rings of core.fourier.shells; zero where the projections have
    none. noise_power: the noise's, (box // 2 + 1,) or (n, box, box // 2 + 1). Both in one unit (see ring_power).
    Returns (n, box, box). A filter that depends on the radius alone cannot change a Fourier ring correlation; the
    CTF's signs and zeros can.
    """
    box = images.shape[-1]
    signal = on_grid(signal_power.to(images), box)
    noise = noise_power.to(images) if noise_power.dim() == 3 else on_grid(noise_power.to(images), box)
    gain = ctf * signal / (ctf.square() * signal + noise).clamp(min=1e-30)
    return torch.fft.irfft2(torch.fft.rfft2(images) * gain, s=(box, box))


def ring_power(images: torch.Tensor) -> torch.Tensor:
    """(box // 2 + 1,) mean power of (n, box, box) images at the rings of fourier.shells; of white noise of variance 1
    it is 1."""
    from ...core.fourier import radial_mean

    box = images.shape[-1]
    return radial_mean(torch.fft.rfft2(images).abs().square().mean(0) / box**2, box)
