# SPDX-License-Identifier: GPL-3.0-or-later
"""Particle images for viewers: read one by one from their stacks, filtered, side by side. No windows here."""

import os
import warnings
from typing import Any, Optional, Sequence

import mrcfile
import numpy as np
from pwem.objects import EMSet

from ..convert.particles.particles import locationOf
from .preview import stretch

_GAP = 2  # px between images that stand side by side


def readParticle(name: str) -> Any:
    """(h, w) float32 image of '000012@stack.mrcs', read from the disk alone, whatever the stack's size.

    Raises FileNotFoundError, or ValueError that names the image and what is wrong.
    """
    number, path = locationOf(name)
    if not os.path.exists(path):
        raise FileNotFoundError(f"The image stack {path} does not exist.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with mrcfile.mmap(path, permissive=True) as mrc:
                images = None if mrc.data is None else mrc.data if mrc.data.ndim == 3 else mrc.data[None]
                if images is None or number > len(images):
                    raise ValueError(f"it holds {0 if images is None else len(images)} images")
                return np.array(images[number - 1], np.float32)
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(f"Image {number} of {path} cannot be read: {error}") from None


def lowPass(image: np.ndarray, resolution: Optional[float], pixelSize: float) -> Any:
    """The image without detail finer than `resolution` Å (a soft edge of a fifth of it); 0 or None leaves all."""
    if not resolution:
        return image
    ys, xs = np.fft.fftfreq(image.shape[0], pixelSize)[:, None], np.fft.rfftfreq(image.shape[1], pixelSize)[None]
    ratio = np.hypot(ys, xs) * resolution
    keep = 0.5 + 0.5 * np.cos(np.pi * np.clip((ratio - 0.9) / 0.2, 0, 1))
    return np.fft.irfft2(np.fft.rfft2(image) * keep, s=image.shape)


def shrunk(image: np.ndarray, side: Any) -> Any:
    """Mean of blocks, so that no side is longer than `side` px."""
    block = max(1, -(-max(image.shape) // side))
    height, width = (length // block * block for length in image.shape)
    return image[:height, :width].reshape(height // block, block, width // block, block).mean(axis=(1, 3))


def sideBySide(images: EMSet) -> Any:
    """(h, w) in [0, 1]: images of one height next to each other, each stretched to its own greys, white lines
    between."""
    parts = []
    for image in images:
        parts += [stretch(image), np.ones((image.shape[0], _GAP))]
    return np.hstack(parts[:-1])


def meanOf(names: Sequence[str]) -> Any:
    """(h, w) mean of images; what all particles have in common before they are aligned. names: '000012@stack.mrcs'."""
    total = 0.0
    for name in names:
        total = total + readParticle(name)
    return total / max(1, len(names))
