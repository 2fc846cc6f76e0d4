# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiles of annotations as images. Their table is read by the contract; the stacks are read here."""

import os
import warnings
from typing import Any

import mrcfile
import numpy as np

from ...engine.cryodl.contract.annotations import DRAWINGS, IMAGES
from ..map_plots import readMap


def drawingOf(folder: str, tile: Any) -> np.ndarray:
    """(size, size) as it was drawn: 0 without the feature, 1 with it, 255 uncertain."""
    if tile.drawing is None:
        return np.zeros((tile.size, tile.size), np.int16)
    return np.array(_stack(folder, DRAWINGS)[tile.drawing][: tile.size, : tile.size], np.int16)


def imageOf(folder: str, tile: Any) -> np.ndarray:
    """(size, size) float32 of the tile's slice, reflected at the tomogram's border, or its own image.

    Raises ValueError or OSError if the tomogram is not there.
    """
    if tile.image is not None:
        return np.array(_stack(folder, IMAGES)[tile.image][: tile.size, : tile.size], np.float32)
    plane = readMap(tile.path)[tile.centre_zyx[0]]
    rows, columns = (_reflected(corner + np.arange(tile.size), n) for corner, n in zip(tile.corner_yx, plane.shape))
    return np.array(plane[np.ix_(rows, columns)], np.float32)


def _stack(folder: str, name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = mrcfile.mmap(os.path.join(folder, name), permissive=True).data
    return data if data.ndim == 3 else data[None]


def _reflected(positions: Any, count: int) -> Any:
    """Positions beyond the border of an axis with `count` values, thrown back at its first and last value."""
    period = max(2 * (count - 1), 1)
    positions = np.abs(positions) % period
    return np.minimum(positions, period - positions)
