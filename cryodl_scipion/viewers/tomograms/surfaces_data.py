# SPDX-License-Identifier: GPL-3.0-or-later
"""Surfaces of features from STL files, simplified so that they can be rotated quickly. No windows here."""

import os
from typing import Any, Dict, Iterable, Sequence

import numpy as np

FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("rest", "<u2")])  # of a binary STL file
_HEADER = 84  # bytes before the facets; the last four are their number
_AT_ONCE = 500000  # facets
_COARSER = 1.4
MAX_TRIANGLES = 9000  # of all surfaces of a picture; more of them turn slowly


class Surfaces:
    """Surfaces of features in tomograms. files: {tomogram: {feature: STL file}}. scripts: {tomogram: .cxc file}.
    features: names in the order of the labels."""

    def __init__(self, files: Dict[str, Dict[str, str]], scripts: Dict[str, Any], features: Sequence[str]) -> None:
        self.files, self.scripts, self.features = files, scripts or {}, list(features)
        self.names = sorted(files)
        self._read = {}

    def triangles(self, name: str) -> Dict[str, np.ndarray]:
        """{feature: (n, 3, 3) corners, x, y, z in nm} of a tomogram, simplified."""
        if name not in self._read:
            maximum = MAX_TRIANGLES // max(1, len(self.files[name]))
            self._read[name] = {feature: readSurface(path, maximum) / 10 for feature, path in self.files[name].items()}
        return self._read[name]


def readSurface(path: str, maximum: int = MAX_TRIANGLES) -> np.ndarray:
    """(n, 3, 3) corners of at most about `maximum` triangles, simplified by joining corners that lie near each other.

    path: binary STL. Raises FileNotFoundError, or ValueError that names the file.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"The surface {path} does not exist. Merge the features again.")
    count, rest = divmod(os.path.getsize(path) - _HEADER, FACET.itemsize)
    if count < 0 or rest:
        raise ValueError(f"The surface {path} is not a complete binary STL file. Merge the features again.")
    if not count:
        return np.zeros((0, 3, 3), np.float32)
    corners = np.memmap(path, FACET, "r", _HEADER, (count,))["corners"]
    if count <= maximum:
        return np.array(corners)
    low = np.min([part.min(axis=(0, 1)) for part in _parts(corners)], axis=0)
    cell = _firstCell(corners, maximum)
    while True:
        found = _joined(corners, low, cell)
        if len(found) <= 1.3 * maximum:
            return found
        cell *= _COARSER


def _parts(corners: np.ndarray) -> Iterable[Any]:
    return (corners[start : start + _AT_ONCE] for start in range(0, len(corners), _AT_ONCE))


def _firstCell(corners: np.ndarray, maximum: int) -> float:
    """Side of the cells that about so many triangles are left with: a triangle for each cell's face."""
    sides = np.array(corners[:: max(1, len(corners) // 10000)])
    area = 0.5 * np.linalg.norm(np.cross(sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0]), axis=1).mean()
    return max(1e-6, np.sqrt(2 * area * len(corners) / maximum))


def _joined(corners: np.ndarray, low: np.ndarray, cell: float) -> np.ndarray:
    """Triangles whose corners were moved to the means of those in the same cell; repeated ones and those that became
    lines are gone."""
    triangles, keys, sums = [], [], []
    size = int(np.max([part.max(axis=(0, 1)) - low for part in _parts(corners)]) / cell) + 1
    for part in _parts(corners):
        cells = np.floor((part - low) / cell).astype(np.int64)
        named = (cells[..., 0] * size + cells[..., 1]) * size + cells[..., 2]
        found, where = np.unique(named, return_inverse=True)
        positions = part.reshape(-1, 3)
        keys.append(found)
        sums.append(np.column_stack([np.bincount(where.ravel(), weights) for weights in (*positions.T, None)]))
        real = (named[:, 0] != named[:, 1]) & (named[:, 1] != named[:, 2]) & (named[:, 0] != named[:, 2])
        triangles.append(_different(named[real]))
    known, where = np.unique(np.concatenate(keys), return_inverse=True)
    totals = np.column_stack([np.bincount(where.ravel(), column) for column in np.concatenate(sums).T])
    means = totals[:, :3] / totals[:, 3:]
    return means[np.searchsorted(known, _different(np.concatenate(triangles)))]


def _different(triangles: np.ndarray) -> np.ndarray:
    """Triangles, (n, 3) numbers of corners, without those that have the same three."""
    _, first = np.unique(np.sort(triangles, axis=1), axis=0, return_index=True)
    return triangles[first]
