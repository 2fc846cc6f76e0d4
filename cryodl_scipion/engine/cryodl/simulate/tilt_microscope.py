# SPDX-License-Identifier: GPL-3.0-or-later
"""What a microscope makes of the projections of a tilt series: CTF, radiation damage, noise."""

from __future__ import annotations

import typing

import torch
import torch.nn.functional as F

from ..core.optics import ctf_of_optics

if typing.TYPE_CHECKING:
    import numpy as np

    from ..core.optics import Optics

MARGIN_PX = 16  # of empty solvent around images, into which the CTF may spread what it moves
# Critical exposure in e/Å² at 300 kV as a function of spatial frequency in 1/Å: Grant & Grigorieff 2015 (eLife
# 4:e06980)
CRITICAL = (0.245, -1.665, 2.81)


def exposures(tilts: typing.Sequence[float], dose: float) -> torch.Tensor:
    """e/Å² that the specimen has seen in the middle of each image; the smallest tilts are taken first."""
    order = sorted(range(len(tilts)), key=lambda i: (abs(tilts[i]), tilts[i]))
    each = dose / len(tilts)
    seen = torch.zeros(len(tilts))
    seen[order] = (torch.arange(len(tilts)) + 0.5) * each
    return seen


def fading(shape: tuple[int, ...], pixel_size: float, exposure: torch.Tensor) -> torch.Tensor:
    """(n, h, w // 2 + 1) part of the amplitude that is left after exposures (n,) in e/Å², on the grid of rfft2."""
    y = torch.fft.fftfreq(shape[0], pixel_size, device=exposure.device)[:, None]
    x = torch.fft.rfftfreq(shape[1], pixel_size, device=exposure.device)
    frequency = (y**2 + x**2).sqrt().clamp(min=1e-6)
    scale, power, rest = CRITICAL
    return torch.exp(-exposure[:, None, None] / (2 * (scale * frequency**power + rest)))


def seen(
    images: torch.Tensor,
    pixel_size: float,
    optics: typing.Sequence[Optics] | None,
    exposure: torch.Tensor | None = None,
) -> torch.Tensor:
    """Projections as the microscope shows them, protein still bright.

    images: (n, m, h, w) tensor of n volumes' m tilts. pixel_size: Å/px. optics: n Optics, one for all tilts of a
    volume, or None for no CTF. exposure: (m,) e/Å² of the tilts, or None for no damage. Returns the like of images.
    """
    if optics is None and exposure is None:
        return images
    height, width = images.shape[-2:]
    shape = tuple(2 * ((side + 2 * MARGIN_PX + 1) // 2) for side in (height, width))
    transform = torch.fft.rfft2(F.pad(images, (0, shape[1] - width, 0, shape[0] - height)))
    if optics is not None:
        transform = transform * transfers(optics, shape, pixel_size, images.device)[:, None]
    if exposure is not None:
        transform = transform * fading(shape, pixel_size, exposure.to(images.device))
    return torch.fft.irfft2(transform, s=shape)[..., :height, :width]


def transfers(
    optics: typing.Sequence[Optics], shape: tuple[int, ...], pixel_size: float, device: torch.device
) -> torch.Tensor:
    """(n, h, w // 2 + 1) CTF of n Optics for images of a shape."""
    if shape[0] == shape[1]:
        return ctf_of_optics(optics, shape[0], pixel_size, device)
    return torch.stack([o.transfer(shape, pixel_size, device) for o in optics])


def noise(shape: tuple[int, ...], rng: np.random.Generator, device: torch.device) -> torch.Tensor:
    """White noise of variance 1, the same on every device."""
    return torch.from_numpy(rng.standard_normal(shape, dtype="float32")).to(device)
