# SPDX-License-Identifier: GPL-3.0-or-later
"""Crops without any feature that segmenters learn from: noise of the spectra that tomograms have after filters."""

from __future__ import annotations

import math
import typing

import numpy as np
import torch

from ...core.noise_copies import phases_at_random

NOISE = 0.2  # part of the crops that are noise
SMOOTHED = (0.3, 6.0)  # px, widths of the Gaussians that noise is smoothed by
MAX_ADDED = 1.2  # standard deviations of noise that a crop is made fainter by
WEDGE = (40.0, 70.0)  # degrees, largest tilts of the noise that has a missing wedge


def noise_like(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Noise of one of four kinds.

    A quarter each: the spectrum of the image; the same, smoothed; white noise smoothed alike along all axes; white
    noise smoothed along each axis by another width, half of it with a missing wedge.

    Parameters
    ----------
    image : Tensor (z, y, x)
        A normalised crop.

    Returns
    -------
    Tensor (z, y, x)
        Of the image's shape; of variance 1 but for the first kind, which has the image's.
    """
    kind = int(rng.integers(4))
    if kind == 0:
        return phases_at_random(image, rng)
    width = math.exp(rng.uniform(*np.log(SMOOTHED)))
    if kind == 1:
        return filtered_noise(phases_at_random(image, rng), (width,) * 3)
    white = torch.from_numpy(rng.standard_normal(tuple(image.shape), dtype=np.float32))
    if kind == 2:
        return filtered_noise(white, (width,) * 3)
    return filtered_noise(
        white, tuple(width * rng.uniform(0.5, 2, 3)), rng.uniform(*WEDGE) if rng.random() < 0.5 else None
    )


def fainter(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """A crop with noise of its own spectrum added: a cell has one noise, which a network would learn by heart.

    Parameters
    ----------
    image : Tensor (z, y, x)
        A normalised crop.

    Returns
    -------
    Tensor (z, y, x)
        Of about the same variance.
    """
    part = rng.uniform(0, MAX_ADDED)
    return (image + part * phases_at_random(image, rng)) / math.sqrt(1 + part**2)


def filtered_noise(noise: torch.Tensor, widths: typing.Sequence[float], tilt: float | None = None) -> torch.Tensor:
    """Noise filtered and brought to mean 0 and variance 1.

    Parameters
    ----------
    noise : Tensor (z, y, x)
    widths : three floats
        Standard deviations in px of the Gaussian along z, y and x.
    tilt : float, optional
        Degrees; what tilts about y of up to this do not measure is taken out.

    Returns
    -------
    Tensor (z, y, x)
    """
    shape = noise.shape
    axes = [torch.fft.fftfreq(n) for n in shape[:2]] + [torch.fft.rfftfreq(shape[2])]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    square = sum((width * frequency) ** 2 for width, frequency in zip(widths, (z, y, x)))
    kept = torch.exp(-2 * math.pi**2 * torch.as_tensor(square))
    if tilt is not None:
        kept = kept * (z.abs() <= math.tan(math.radians(tilt)) * x.abs() + 1e-6)
    kept[0, 0, 0] = 0
    result: torch.Tensor = torch.fft.irfftn(torch.fft.rfftn(noise) * kept, s=shape)
    return result / result.std().clamp(min=1e-9)
