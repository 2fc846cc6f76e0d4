# SPDX-License-Identifier: GPL-3.0-or-later
"""Particle images for viewers: read one by one from their stacks, filtered, drawn side by side. No windows here."""

import os
import warnings
from typing import Any, Optional, Sequence

import mrcfile
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pwem.objects import EMSet

from ..convert.particles.particles import locationOf
from .preview import stretch

_STRIP = 0.16  # of a tile's height, for the caption below it


def drawTiles(axes: Axes, tiles: Any, captions: Sequence[str], columns: Any) -> Any:
    """Tiles in rows, each with its caption below. tiles: list of lists of (h, w) images that stand side by side.

    Returns (width, height) of a tile with its strip, in the axes' units, for tileAt.
    """
    axes.clear()
    axes.set_axis_off()
    if not tiles:
        axes.text(0.5, 0.5, "No particles", ha="center", transform=axes.transAxes)
        return 1, 1
    pictures = [sideBySide(images) for images in tiles]
    height, width = pictures[0].shape
    gap = max(4, width // 24)
    tile = width + gap, height + int(height * _STRIP) + gap
    rows = -(-len(pictures) // columns)
    page = np.ones((rows * tile[1], columns * tile[0]))
    for position, (picture, caption) in enumerate(zip(pictures, captions)):
        x, y = position % columns * tile[0], position // columns * tile[1]
        page[y : y + height, x : x + width] = picture
        axes.text(x + width / 2, y + height + gap / 4, caption, ha="center", va="top", fontsize=8)
    axes.imshow(page, cmap="gray", vmin=0, vmax=1, interpolation="antialiased")
    axes.set_xlim(-0.5, page.shape[1] - 0.5)
    axes.set_ylim(page.shape[0] - 0.5, -0.5)
    return tile


def tileAt(x: float, y: float, tile: Any, columns: Any, count: Any) -> Any:
    """Number of the tile (0, 1, ...) at a place of drawTiles' axes; None beside the tiles."""
    column, row = int(x // tile[0]), int(y // tile[1])
    position = row * columns + column
    return position if 0 <= column < columns and 0 <= position < count else None


def drawParticle(figure: Figure, images: EMSet, titles: Sequence[str]) -> None:
    """The images of one particle, large, each stretched to its own greys."""
    figure.clear()
    for axes, image, title in zip(np.ravel(figure.subplots(1, len(images), squeeze=False)), images, titles):
        axes.imshow(stretch(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(title)
        axes.set_axis_off()
    figure.tight_layout()


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
