# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversion of positions between grids that cover the same area (frames.py has the conventions)."""

import typing

import numpy as np

from ..contract.frames import rescaled


def resampled_shape(shape: typing.Sequence[int], factor: float) -> tuple[int, ...]:
    """Shape of an image or volume after resampling, at least 1 px each. shape: px. factor: new px per px."""
    return tuple(max(1, int(round(side * factor))) for side in shape)


def map_positions(yx: np.ndarray, from_shape: typing.Sequence[int], to_shape: typing.Sequence[int]) -> np.ndarray:
    """Positions of one grid in pixels of another grid over the same area. yx: (n, 2), pixels of a grid of from_shape;
    whole numbers are pixel centres. from_shape: (h, w). to_shape: (h, w). Returns (n, 2) float64, pixels of a grid of
    to_shape."""
    return rescaled(np.asarray(yx, float).reshape(-1, 2), np.asarray(to_shape, float) / np.asarray(from_shape, float))


def inside(yx: np.ndarray, shape: typing.Sequence[int], border: float = 0.0) -> np.ndarray:
    """Which positions lie within an image, and so many px from its edge pixels, (n,) bool. yx: (n, 2) px. shape:
    (h, w), px. border: px."""
    yx = np.asarray(yx, float).reshape(-1, 2)
    return np.asarray(((yx >= border) & (yx < np.asarray(shape, float) - border)).all(axis=1))


def values_at(image: np.ndarray, yx: np.ndarray) -> np.ndarray:
    """(n,) values of an image (h, w) at the pixels nearest to positions yx (n, 2); beyond it, those of the edge."""
    return np.asarray(image[tuple(np.clip(np.rint(yx), 0, np.array(image.shape) - 1).astype(int).T)])
