# SPDX-License-Identifier: GPL-3.0-or-later
"""Artefacts of real micrographs: ice crystals and dirt, carbon film, gradients of ice thickness.

All functions take a micrograph, (h, w) float32 tensor with dark protein and noise of standard deviation 1, and return
the changed copy and an (h, w) bool mask of the places that are no good ice. diameter_px: particle diameter, the unit of
sizes.
Changes of an image between detector and file: few grey levels, compression, high-pass filters."""

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F

from ..core.tiles import resized_image

BLOCK = 8  # px of a side of JPEG's blocks


def as_recorded(image: torch.Tensor, wide: float, rng: np.random.Generator) -> torch.Tensor:
    """The image as a file may hold it: most of them unchanged, others filtered, compressed or in few grey levels.
    image: (h, w) float tensor, noise of standard deviation about 1. wide: extent of a particle, px."""
    if rng.random() < 0.2:
        image = high_passed(image, 1 / (wide * float(rng.uniform(2, 8))))
    return as_stored(image, 0.2, 1.5, rng)


def as_stored(image: torch.Tensor, part: float, coarsest: float, rng: np.random.Generator) -> torch.Tensor:
    """The image unchanged, compressed in `part` of the cases, with steps of 0.1 to `coarsest` deviations, or in few
    grey levels in a tenth of them. image: (h, w), noise of standard deviation about 1."""
    chance = rng.random()
    if chance < part:
        return compressed(image, float(rng.uniform(1.0, 2.5)), math.exp(rng.uniform(math.log(0.1), math.log(coarsest))))
    if chance < part + 0.1:
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
    step: of the lowest frequencies, in standard deviations of a pixel."""
    h, w = image.shape
    sides = tuple(BLOCK * int(math.ceil(n * zoom / BLOCK)) for n in (h, w))
    fine = resized_image(image, sides)
    blocks = fine.reshape(sides[0] // BLOCK, BLOCK, sides[1] // BLOCK, BLOCK).transpose(1, 2)
    cosines = _cosines()
    steps = step * fine.std() * (1 + 0.5 * (torch.arange(BLOCK)[:, None] + torch.arange(BLOCK)[None]))
    blocks = cosines.T @ ((cosines @ blocks @ cosines.T / steps).round() * steps) @ cosines
    return resized_image(blocks.transpose(1, 2).reshape(sides), (h, w))


@functools.lru_cache(maxsize=1)
def _cosines() -> torch.Tensor:
    k, n = torch.arange(BLOCK)[:, None], torch.arange(BLOCK)[None]
    matrix = torch.cos(math.pi * (2 * n + 1) * k / (2 * BLOCK)) * (2 / BLOCK) ** 0.5
    matrix[0] /= 2**0.5
    return matrix


def smooth_noise(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> torch.Tensor:
    """(h, w) Gaussian noise of variance about 1 that varies over `scale` px."""
    coarse = tuple(max(2, int(math.ceil(n / scale)) + 3) for n in shape)
    noise = torch.from_numpy(rng.standard_normal(coarse, dtype=np.float32))
    fine = F.interpolate(noise[None, None], scale_factor=float(scale), mode="bicubic", align_corners=False)[0, 0]
    y, x = (int(rng.integers(0, n - m + 1)) for n, m in zip(fine.shape, shape))
    fine = fine[y : y + shape[0], x : x + shape[1]]
    return fine / fine.std().clamp(min=1e-6)


def add_ice(
    image: torch.Tensor, count: int, diameter_px: float, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Image and mask of `count` pieces of ice or dirt: dark lumps of 0.4 to 3 diameters, some faceted or fringed."""
    image, mask = image.clone(), torch.zeros(image.shape, dtype=torch.bool)
    for _ in range(count):
        radius = diameter_px * float(np.exp(rng.uniform(math.log(0.2), math.log(1.5))))
        centre = rng.uniform(0, 1, 2) * np.array(image.shape)
        window = _window(image.shape, centre, int(2.2 * radius) + 4)
        if window is None:
            continue
        rows, columns = window
        depth = _lump(rows, columns, centre, radius, rng)
        strength = float(np.exp(rng.uniform(math.log(1.5), math.log(10))))
        lump = strength * torch.sigmoid(depth * 8 / max(radius, 3.0) * rng.uniform(1, 4))
        if rng.random() < 0.4:  # Fresnel fringe: bright rim outside of a strong edge
            lump = lump - 0.35 * strength * torch.exp(-(((depth + 0.12 * radius) / (0.08 * radius + 1)) ** 2))
        part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        image[part] -= lump
        mask[part] |= depth > 0
    return image, mask


def _window(shape: tuple[int, ...], centre: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Rows and columns (integer arrays) of a square around a centre, cut at the edges; None if nothing is left."""
    low = np.maximum(np.floor(centre - reach).astype(int), 0)
    high = np.minimum(np.ceil(centre + reach).astype(int) + 1, shape)
    return None if (high - low < 2).any() else (np.arange(low[0], high[0]), np.arange(low[1], high[1]))


def _lump(
    rows: np.ndarray, columns: np.ndarray, centre: np.ndarray, radius: float, rng: np.random.Generator
) -> torch.Tensor:
    """Depth in px below the surface of an irregular piece (negative outside), (rows, columns)."""
    y = torch.from_numpy(rows - centre[0]).float()[:, None]
    x = torch.from_numpy(columns - centre[1]).float()[None, :]
    if rng.random() < 0.35:  # a crystal: the inside of a few straight sides
        depth, rotation = torch.full((len(rows), len(columns)), 1e9), rng.uniform(0, 2 * math.pi)
        for side in range(int(rng.integers(4, 8))):
            normal = rotation + 2 * math.pi * side / 6 + rng.normal(0, 0.2)
            depth = torch.minimum(
                depth, radius * float(rng.uniform(0.7, 1.1)) - (y * math.sin(normal) + x * math.cos(normal))
            )
        return depth
    angle = torch.atan2(y + 0 * x, x + 0 * y)
    edge = torch.full_like(angle, radius)
    for order in range(2, 6):
        edge += radius * float(rng.normal(0, 0.25 / order)) * torch.cos(order * angle + float(rng.uniform(0, 6.3)))
    return edge - (y**2 + x**2).sqrt()


def add_carbon(
    image: torch.Tensor, diameter_px: float, rng: np.random.Generator, fraction: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Carbon film on one side of a curved edge: darker, and grainy at all scales. fraction: part of the area that
    carbon covers, 0.1 to 0.5 if None. Returns image and mask."""
    shape = image.shape
    angle, size = rng.uniform(0, 2 * math.pi), max(shape)
    y = torch.arange(shape[0]).float()[:, None] - shape[0] / 2
    x = torch.arange(shape[1]).float()[None, :] - shape[1] / 2
    along, across = math.cos(angle) * x + math.sin(angle) * y, -math.sin(angle) * x + math.cos(angle) * y
    bend = rng.uniform(-0.5, 0.5) / size  # the rim of a hole of one to several micrographs' width
    distance = along + bend * across**2 + 0.15 * diameter_px * smooth_noise(shape, max(4.0, diameter_px), rng)
    fraction = float(rng.uniform(0.1, 0.5)) if fraction is None else fraction
    distance = distance - float(np.quantile(distance[::4, ::4].numpy(), 1 - fraction))
    mask, film = distance > 0, torch.sigmoid(distance / (0.05 * diameter_px + 1))
    grain = sum(
        float(rng.uniform(0.1, 0.6)) * smooth_noise(shape, max(2.0, scale * diameter_px), rng)
        for scale in (0.05, 0.12, 0.3, 0.8)
    )
    rim = float(rng.uniform(0, 2)) * torch.exp(-((distance / (0.15 * diameter_px)) ** 2))
    return image - film * (float(rng.uniform(0.3, 3.0)) + grain) - rim, mask


def add_specks(image: torch.Tensor, wide: float, rng: np.random.Generator) -> torch.Tensor:
    """Few to very many small dark specks, often stronger than particles: contamination, bits of ice. Returns the image.
    wide: extent of a particle, px; specks are 0.06 to 0.3 of it wide."""
    image = image.clone()
    strength, size = float(np.exp(rng.uniform(math.log(1.0), math.log(12.0)))), rng.uniform(0.03, 0.15) * wide
    most = image.numel() / wide**2
    for centre in rng.uniform(0, 1, (int(np.exp(rng.uniform(0, math.log(max(4.0, most))))), 2)) * image.shape:
        sigma = max(0.6, float(size * rng.uniform(0.6, 1.6)))
        window = _window(image.shape, centre, int(3 * sigma) + 1)
        if window is None:
            continue
        rows, columns = (
            torch.from_numpy(np.exp(-0.5 * ((axis - c) / sigma) ** 2)).float() for axis, c in zip(window, centre)
        )
        image[window[0][0] : window[0][-1] + 1, window[1][0] : window[1][-1] + 1] -= (
            strength * float(rng.uniform(0.5, 1.5)) * rows[:, None] * columns[None]
        )
    return image


def film_texture(shape: tuple[int, ...], wide: float, rng: np.random.Generator) -> torch.Tensor:
    """(h, w) texture between the particles, of unfolded protein or detergent, in some fields: it passes through the CTF
    as the particles do, whose standard deviation is 1. wide: extent of a particle, px."""
    if rng.random() > 0.4:
        return torch.zeros(shape)
    return smooth_noise(shape, max(1.5, float(rng.uniform(0.06, 0.35)) * wide), rng) * float(rng.uniform(0.05, 0.7))


def add_gradient(image: torch.Tensor, strength: float, rng: np.random.Generator) -> torch.Tensor:
    """A smooth ramp and bow of ice thickness whose range over the micrograph is `strength`. Returns the image."""
    y, x = (torch.linspace(-1, 1, n) for n in image.shape)
    a, b, c, d, e = (float(v) for v in rng.normal(0, 1, 5))
    field = (
        a * y[:, None]
        + b * x[None, :]
        + 0.5 * (c * y[:, None] ** 2 + d * x[None, :] ** 2 + e * y[:, None] * x[None, :])
    )
    return image - strength * (field - field.mean()) / (field.max() - field.min()).clamp(min=1e-6)


def add_some_dirt(image: torch.Tensor, width: float, rng: np.random.Generator) -> torch.Tensor:
    """An image with specks in a third of the cases, and a gradient in half of them. width: px, of the specks."""
    if rng.random() < 0.35:
        image = add_specks(image, width, rng)
    return add_gradient(image, float(rng.uniform(0.5, 10)), rng) if rng.random() < 0.5 else image
