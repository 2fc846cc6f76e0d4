# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings of many particles, and of one."""

from typing import Any, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pwem.objects import EMSet

from .particle_images import sideBySide
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
