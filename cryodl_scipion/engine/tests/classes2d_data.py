# SPDX-License-Identifier: GPL-3.0-or-later
"""Small sets of particles of two shapes in several views, of which class and pose are known."""

import numpy as np
import torch
from denoiser_data import run_command

from cryodl.io.particle_sets import StackWriter
from cryodl.io.star import write_tables

BOX, PIXEL = 32, 4.0


def shape(number):
    """(BOX, BOX) image of a shape, protein bright: a crescent of three balls, or a ring with a tail."""
    axis = torch.arange(BOX).float() - BOX // 2
    y, x = axis[:, None], axis[None]
    if number == 0:
        positions = [(-5.0, -3.0, 3.0, 1.5), (0.0, 4.0, 3.0, 1.0), (6.0, 0.0, 2.0, 1.2)]
        return sum(
            weight * torch.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * size**2) * 2)
            for cy, cx, size, weight in positions
        )
    ring = torch.exp(-((y**2 + x**2).sqrt() - 6).square() / 3)
    return ring + torch.exp(-((y - 1) ** 2 + (x - 9) ** 2) / 4)


def rotated(image, phi, shift_yx):
    """An image turned by phi (radians, from x towards y) about its middle, then shifted by px."""
    axis = torch.arange(BOX).float() - BOX // 2
    y, x = axis[:, None] - shift_yx[0], axis[None] - shift_yx[1]
    c, s = np.cos(phi), np.sin(phi)
    positions = torch.stack([x * c + y * s, y * c - x * s], -1) + BOX // 2
    grid = (2 * positions / (BOX - 1) - 1)[None]
    return torch.nn.functional.grid_sample(image[None, None], grid, mode="bicubic", align_corners=True)[0, 0]


def write_shapes(folder, count=60, noise=0.3, seed=0, spoil=None, shapes=2):
    """particles.star and its stack in a folder. spoil: function of the (n, h, w) array that changes it.

    Returns the shape (n,), phi (n,) and shift (n, 2) px of each.
    """
    rng = np.random.default_rng(seed)
    kinds, phi = rng.integers(shapes, size=count), rng.uniform(0, 2 * np.pi, count)
    shifts = rng.uniform(-2, 2, (count, 2))
    made = [shape(0), shape(1)]
    images = np.stack([rotated(made[k], p, s).numpy() for k, p, s in zip(kinds, phi, shifts)])
    images = (images + noise * rng.standard_normal(images.shape)).astype("float32")
    if spoil is not None:
        images = spoil(images)
    with StackWriter(str(folder / "p.mrcs"), count, images.shape[-1], PIXEL) as stack:
        stack.add(images)
    write_tables(
        folder / "p.star",
        {
            "optics": {
                "rlnOpticsGroup": [1],
                "rlnOpticsGroupName": ["one"],
                "rlnImagePixelSize": [PIXEL],
                "rlnImageSize": [BOX],
                "rlnImageDimensionality": [2],
            },
            "particles": {
                "rlnImageName": [f"{n + 1:06d}@p.mrcs" for n in range(count)],
                "rlnOpticsGroup": np.ones(count, int),
            },
        },
    )
    return kinds, phi, shifts


def with_junk(images):
    """Noise that falls with frequency added to (n, BOX, BOX) images. A quarter, at the end, is junk: as many of noise
    alone, off the middle, two in a box, and with an edge."""
    rng, first, made = np.random.default_rng(1), len(images) * 3 // 4, images.copy()
    empty, aside, two, edge = np.array_split(np.arange(first, len(images)), 4)
    made[empty] = 0
    made[aside] = np.roll(made[aside], (9, -8), (1, 2))
    made[two] = np.roll(made[two], 7, 1) + np.roll(made[first - len(two) : first], -8, 1)
    made[edge] += 2 * (np.arange(BOX) > 22)
    square = np.fft.fftfreq(BOX)[:, None] ** 2 + np.fft.rfftfreq(BOX) ** 2
    white = np.fft.rfft2(rng.standard_normal(images.shape))
    noise = np.fft.irfft2(white * np.sqrt(1 + 6 / (1 + 100 * square)), s=(BOX, BOX))
    return (made + noise / noise.std()).astype(np.float32)


def classify(code=0, flags=(), **options):
    return run_command("classify-2d", code, flags, **dict(dict(particles="p.star", output="out", classes=4), **options))


def purity(labels, ground_truth):
    """Fraction of the particles that are in a class whose largest part has their truth."""
    return sum(np.bincount(ground_truth[labels == k]).max() for k in np.unique(labels)) / len(labels)
