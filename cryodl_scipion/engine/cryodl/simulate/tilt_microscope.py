# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of a tilt series from projections: CTF, radiation damage, noise."""

from __future__ import annotations

import dataclasses
import math
import typing

import torch
import torch.nn.functional as F

from ..core.optics import ctf_of_optics

if typing.TYPE_CHECKING:
    import numpy as np

    from ..core.optics import Optics

MARGIN_PX = 16  # of empty solvent around images, into which the CTF may spread what it moves
REACH_PX = 48  # that strips of one defocus see beyond themselves
DEFOCUS_STEP = 600.0  # Å of height that a strip of one defocus may span
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


def dose_filter(shape: tuple[int, ...], pixel_size: float, exposure: torch.Tensor) -> torch.Tensor:
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
        transform = transform * dose_filter(shape, pixel_size, exposure.to(images.device))
    return torch.fft.irfft2(transform, s=shape)[..., :height, :width]


def seen_on_slope(
    image: torch.Tensor, pixel_size: float, optics: typing.Sequence[Optics], exposure: torch.Tensor | None, tilt: float
) -> torch.Tensor:
    """A projection as `seen` shows it, its defocus that of the tilted specimen: less by the height above the tilt axis.

    image: (h, w) tensor, its tilt axis the column w // 2; optics: one Optics in a list, of the tilt axis; exposure:
    (1,) e/Å² or None; tilt: degrees. The image is put together of strips of one defocus each. Returns (h, w).
    """
    width = image.shape[1]
    slope = -pixel_size * math.tan(math.radians(tilt))  # Å of height for each column
    strip = int(min(width, max(MARGIN_PX, DEFOCUS_STEP / max(abs(slope), 1e-6))))
    result = torch.empty_like(image)
    for start in range(0, width, strip):
        stop = min(start + strip, width)
        first, last = max(0, start - REACH_PX), min(width, stop + REACH_PX)
        height = slope * ((start + stop - 1) / 2 - width // 2)
        u, v = (max(0.0, d - height) for d in (optics[0].defocus_u, optics[0].defocus_v))
        here = dataclasses.replace(optics[0], defocus_u=u, defocus_v=v)
        part = seen(image[None, None, :, first:last], pixel_size, [here], exposure)[0, 0]
        result[:, start:stop] = part[:, start - first : stop - first]
    return result


def moved(images: torch.Tensor, shifts_yx: np.ndarray) -> torch.Tensor:
    """Images (n, h, w) moved by shifts (n, 2) px; what leaves on one side comes back on the other."""
    shifts = torch.as_tensor(shifts_yx, dtype=torch.float32, device=images.device)
    y = torch.fft.fftfreq(images.shape[1], device=images.device)[:, None]
    x = torch.fft.rfftfreq(images.shape[2], device=images.device)
    phase = -2 * torch.pi * (shifts[:, 0, None, None] * y + shifts[:, 1, None, None] * x)
    rotated = torch.fft.rfft2(images) * torch.polar(torch.ones_like(phase), phase)
    return torch.fft.irfft2(rotated, s=images.shape[1:])


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
