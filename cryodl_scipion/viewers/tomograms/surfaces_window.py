# SPDX-License-Identifier: GPL-3.0-or-later
"""Surfaces of features in 3-D, to be rotated with the mouse."""

import os
import tkinter as tk
from tkinter import ttk
from typing import Any, Dict, Iterable, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from ..window import CanvasWindow
from .slices_data import labelColour

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


_LIGHT = np.array([-0.4, -0.6, 0.7]) / np.linalg.norm([-0.4, -0.6, 0.7])
_DARKEST = 0.35  # of a colour, where no light falls


def drawSurfaces(axes: Any, surfaces: Dict[str, np.ndarray], features: Sequence[str], shown: Sequence[str]) -> None:
    """Surfaces of some features, shaded, in nm.

    axes: 3-D. surfaces: {feature: (n, 3, 3)}. features: all names, in the order of the labels, which is that of the
    colours. shown: names of those to draw.
    """
    axes.clear()
    positions = [triangles.reshape(-1, 3) for triangles in surfaces.values() if len(triangles)]
    for feature in shown:
        triangles = surfaces.get(feature, np.zeros((0, 3, 3)))
        if len(triangles):
            axes.add_collection3d(
                Poly3DCollection(
                    triangles,
                    facecolors=_shaded(triangles, colour(feature, features)),
                    edgecolors="none",
                    zsort="average",
                )
            )
    if positions:
        low, high = np.concatenate(positions).min(axis=0), np.concatenate(positions).max(axis=0)
        for setLimits, first, last in zip((axes.set_xlim, axes.set_ylim, axes.set_zlim), low, high):
            setLimits(first - 1e-3, last + 1e-3)
        axes.set_box_aspect(np.maximum(high - low, 0.05 * (high - low).max() + 1e-6))
    else:
        axes.text2D(0.5, 0.5, "No surface in this tomogram", ha="center", transform=axes.transAxes)
    for axis, setLabel in zip("xyz", (axes.set_xlabel, axes.set_ylabel, axes.set_zlabel)):
        setLabel(f"{axis} (nm)")
    if shown:
        axes.legend(
            handles=[Patch(color=colour(feature, features), label=feature) for feature in shown], loc="upper right"
        )


def colour(feature: str, features: Sequence[str]) -> str:
    return labelColour(features.index(feature) + 1)


def _shaded(triangles: np.ndarray, colour: str) -> np.ndarray:
    """(n, 3) colours of faces lit from one side; light falls through to the back a little."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    cosine = (normals / np.where(lengths > 0, lengths, 1)) @ _LIGHT
    return (_DARKEST + (1 - _DARKEST) * (0.5 + 0.5 * cosine))[:, None] * np.array(to_rgb(colour))


class SurfacesWindow(CanvasWindow):
    """data: Surfaces. inChimera: function of a script's path that opens it and returns pyworkflow's view."""

    def __init__(self, parent: Any, data: Any, title: str, inChimera: Any) -> None:
        CanvasWindow.__init__(self, parent, title)
        self._data, self._inChimera = data, inChimera
        self._name = tk.StringVar(self.root, data.names[0])
        self._shown = {feature: tk.BooleanVar(self.root, True) for feature in data.features}
        self.message = tk.StringVar(self.root, "The left button rotates, the right button zooms.")
        row = ttk.Frame(self.root, padding=6)
        row.pack(fill=tk.X)
        self.addChoice(row, "Tomogram", self._name, data.names, 36, self.refresh)
        for feature, variable in self._shown.items():
            ttk.Checkbutton(row, text=feature, variable=variable, command=self.refresh).pack(side=tk.LEFT, padx=4)
        if data.scripts:
            ttk.Button(row, text="Open in ChimeraX", command=self.openInChimera).pack(side=tk.RIGHT)
        ttk.Label(self.root, textvariable=self.message, wraplength=900).pack(anchor=tk.W, padx=8)
        self.addFigure((9, 7.4))
        self._axes = self._figure.add_axes((0.02, 0.03, 0.94, 0.94), projection="3d")
        self.refresh()

    def refresh(self) -> None:
        shown = [feature for feature, variable in self._shown.items() if variable.get()]
        try:
            drawSurfaces(self._axes, self._data.triangles(self._name.get()), self._data.features, shown)
        except (ValueError, OSError) as error:
            self._axes.clear()
            self.message.set(str(error))
        self._canvas.draw_idle()

    def openInChimera(self) -> None:
        self._inChimera(self._data.scripts[self._name.get()]).show()
