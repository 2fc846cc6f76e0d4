# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of an image between detector and file: few grey levels, compression, high-pass filters."""

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F

BLOCK = 8  # px of a side of JPEG's blocks


def as_recorded(image: torch.Tensor, wide: float, rng: np.random.Generator) -> torch.Tensor:
    """The image as a file may hold it: most of them unchanged, others compressed, in few grey levels or filtered.

    Parameters
    ----------
    image : (h, w) float tensor, noise of standard deviation about 1.
    wide : extent of a particle, px.
    """
    if rng.random() < 0.2:
        image = high_passed(image, 1 / (wide * float(rng.uniform(2, 8))))
    chance = rng.random()
    if chance < 0.2:
        return compressed(image, float(rng.uniform(1.0, 2.5)), float(np.exp(rng.uniform(math.log(0.1), math.log(1.5)))))
    if chance < 0.3:  # few grey levels
        step = float(rng.uniform(0.1, 0.8))
        return (image / step).round() * step
    return image


def high_passed(image: torch.Tensor, cutoff: float) -> torch.Tensor:
    """Without what is smooth over more than 1 / cutoff px. (h, w) tensor; cutoff in cycles per px."""
    y, x = torch.fft.fftfreq(image.shape[0]), torch.fft.rfftfreq(image.shape[1])
    squared = y[:, None] ** 2 + x[None] ** 2
    return torch.fft.irfft2(torch.fft.rfft2(image) * (1 - torch.exp(-squared / cutoff**2)), s=image.shape)


def compressed(image: torch.Tensor, zoom: float, step: float) -> torch.Tensor:
    """As a JPEG of `zoom` times the side keeps it: cosine transforms of 8 x 8 px in steps that grow with frequency.

    step: of the lowest frequencies, in standard deviations of a pixel.
    """
    h, w = image.shape
    sides = tuple(BLOCK * int(math.ceil(n * zoom / BLOCK)) for n in (h, w))
    fine = _resized(image, sides)
    blocks = fine.reshape(sides[0] // BLOCK, BLOCK, sides[1] // BLOCK, BLOCK).transpose(1, 2)
    cosines = _cosines()
    steps = step * fine.std() * (1 + 0.5 * (torch.arange(BLOCK)[:, None] + torch.arange(BLOCK)[None]))
    spectrum = cosines @ blocks @ cosines.T
    blocks = cosines.T @ ((spectrum / steps).round() * steps) @ cosines
    return _resized(blocks.transpose(1, 2).reshape(sides), (h, w))


def _resized(image: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    return F.interpolate(image[None, None], size=shape, mode="bilinear", antialias=True, align_corners=False)[0, 0]


@functools.lru_cache(maxsize=1)
def _cosines() -> torch.Tensor:
    """(8, 8) orthonormal cosine transform."""
    k, n = torch.arange(BLOCK)[:, None], torch.arange(BLOCK)[None]
    matrix = torch.cos(math.pi * (2 * n + 1) * k / (2 * BLOCK)) * (2 / BLOCK) ** 0.5
    matrix[0] /= 2**0.5
    return matrix
