# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings of surfaces."""

from typing import Any, Dict, Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from .slices_data import labelColour

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
