# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions between grids that cover the same area (frames.py has the conventions)."""

import typing

import numpy as np


def resampled_shape(shape: typing.Sequence[int], factor: float) -> tuple[int, ...]:
    """(h, w) after resampling by `factor`, at least 1 px."""
    return tuple(max(1, int(round(side * factor))) for side in shape)


def map_positions(yx: np.ndarray, from_shape: typing.Sequence[int], to_shape: typing.Sequence[int]) -> np.ndarray:
    """Positions of one grid in pixels of another grid over the same area.

    yx: (n, 2) in pixels of a grid of from_shape (h, w); whole numbers are pixel centres.
    Returns (n, 2) float64 in pixels of a grid of to_shape.
    """
    scale = np.asarray(to_shape, float) / np.asarray(from_shape, float)
    result: np.ndarray = (np.asarray(yx, float).reshape(-1, 2) + 0.5) * scale - 0.5
    return result


def inside(yx: np.ndarray, shape: typing.Sequence[int], border: float = 0.0) -> np.ndarray:
    """(n,) bool: positions within the image and at least `border` px from its edge pixels."""
    yx = np.asarray(yx, float).reshape(-1, 2)
    within: np.ndarray = (yx >= border) & (yx < np.asarray(shape, float) - border)
    return np.asarray(within.all(axis=1))
