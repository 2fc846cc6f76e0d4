# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings of meshes of membranes: in 3-D as seen from any side, and cut by a slice.

matplotlib's own 3-D axes take four times as long for as many triangles; here they are projected, sorted from back to
front and drawn with colours that go over from vertex to vertex.
"""

import collections
from typing import Any, Dict, Optional, Sequence, Tuple

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, TriMesh
from matplotlib.colors import Normalize, to_rgb
from matplotlib.patches import Patch
from matplotlib.tri import Triangulation

from .meshes_data import Mesh
from .slices_plots import labelColour

# name: property of the mesh, None for the membrane's number; label: with unit; symmetric: about 0; cmap: matplotlib's
Colouring = collections.namedtuple("Colouring", "name label symmetric cmap")
COLOURINGS: Dict[str, Colouring] = {
    "membrane": Colouring(None, "membrane", False, None),
    "mean curvature": Colouring("curvature_per_nm", "mean curvature (1/nm)", True, "RdBu_r"),
    "thickness": Colouring("thickness_angstrom", "thickness (Å)", False, "viridis"),
    "distance": Colouring("distance_angstrom", "distance to the nearest membrane (Å)", False, "viridis_r"),
}
_UNKNOWN = 0.7  # grey of what was not measured
_DARKEST = 0.35  # of a colour, where no light falls
_LIGHT = np.array([-0.35, 0.45, 0.82])  # in the frame of the picture: right, up, towards the eye
_LISTED = 12  # membranes in the legend
_EDGES = [(a, a | bit) for a in range(8) for bit in (1, 2, 4) if not a & bit]  # of a box, corners in binary
_NM = 10.0  # Å


def limitsOf(values: np.ndarray, symmetric: bool) -> Tuple[float, float]:
    """Values at the ends of the colour scale: of the middle 96 %."""
    known = values[np.isfinite(values)]
    if not known.size:
        return (-1.0, 1.0) if symmetric else (0.0, 1.0)
    low, high = np.percentile(known, [2, 98])
    if symmetric:
        return -max(abs(low), abs(high), 1e-6), max(abs(low), abs(high), 1e-6)
    return float(low), float(max(high, low + 1e-6))


def colourScale(mesh: Mesh, colouring: Colouring) -> Optional[ScalarMappable]:
    """The colour scale of a Mesh's values, None for colours of membranes."""
    if colouring.name is None:
        return None
    values = mesh.values.get(colouring.name, np.full(len(mesh.vertices), np.nan))
    return ScalarMappable(Normalize(*limitsOf(values, colouring.symmetric)), matplotlib.colormaps[colouring.cmap])


def colours(mesh: Mesh, colouring: Colouring, scale: Optional[ScalarMappable]) -> np.ndarray:
    """(n, 3) colour of each vertex, unlit. scale: of colourScale."""
    if scale is None:
        own = np.array([to_rgb(labelColour(n)) for n in range(1, mesh.number.max(initial=0) + 1)]).reshape(-1, 3)
        return own[mesh.number - 1]
    values = mesh.values.get(colouring.name, np.full(len(mesh.vertices), np.nan))
    return np.where(np.isfinite(values)[:, None], scale.to_rgba(np.nan_to_num(values))[:, :3], _UNKNOWN)


def rotation(azimuth: float, elevation: float) -> np.ndarray:
    """(3, 3) matrix from x, y, z to right, up and towards the eye. Degrees; 0, 90 looks down the z axis, y upwards."""
    a, e = np.radians(azimuth), np.radians(elevation)
    right = np.array([np.cos(a), np.sin(a), 0.0])
    eye = np.array([np.sin(a) * np.cos(e), -np.cos(a) * np.cos(e), np.sin(e)])
    return np.stack([right, np.cross(eye, right), eye])


def drawMeshes(axes: Any, mesh: Mesh, colour: np.ndarray, turned: np.ndarray, plane: Any = None) -> None:
    """Membranes as seen from a side, in nm, in a box around them.

    axes: 2-D. colour: (n, 3) of the vertices. turned: of rotation. plane: (axis 0, 1, 2 for x, y, z, position in Å) of
    a slice whose frame is drawn, or None.
    """
    for artist in [*axes.collections, *axes.texts]:
        artist.remove()
    if not len(mesh.faces):
        axes.text(0.5, 0.5, "No membrane in this tomogram", ha="center", transform=axes.transAxes)
        return
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    middle = (low + high) / 2
    seen = (mesh.vertices - middle) @ turned.T / _NM
    light = np.abs(mesh.normals @ turned.T @ (_LIGHT / np.linalg.norm(_LIGHT)))
    lit = colour * (_DARKEST + (1 - _DARKEST) * light)[:, None]
    order = np.argsort(seen[mesh.faces, 2].sum(axis=1))
    triangles = TriMesh(Triangulation(seen[:, 0], seen[:, 1], mesh.faces[order]))
    rgba: Any = np.column_stack([lit, np.ones(len(lit))])  # of vertices
    triangles.set_facecolor(rgba)
    triangles.set_zorder(2)
    axes.add_collection(triangles, autolim=False)
    _drawBox(axes, (low - middle) / _NM, (high - middle) / _NM, turned, (high - low) / _NM)
    if plane is not None:
        _drawPlane(axes, low, high, middle, turned, *plane)


def _drawBox(axes: Any, low: np.ndarray, high: np.ndarray, turned: np.ndarray, sides: np.ndarray) -> None:
    """The box around the membranes, with the lengths of its sides; edges in front of them are not drawn."""
    corners = np.array([[(low, high)[n >> k & 1][k] for k in range(3)] for n in range(8)]) @ turned.T
    nearest = int(corners[:, 2].argmax())
    edges = [corners[list(edge), :2] for edge in _EDGES if nearest not in edge]
    axes.add_collection(LineCollection(edges, colors="#999999", linewidths=0.8, zorder=1), autolim=False)
    outer = np.abs(corners[:, :2]).sum(axis=1)
    for bit, name in enumerate("xyz"):
        edge = max(
            (e for e in _EDGES if e[1] - e[0] == 1 << bit and nearest not in e), key=lambda e: outer[e[0]] + outer[e[1]]
        )
        if np.linalg.norm(corners[edge[1], :2] - corners[edge[0], :2]) > 0.1 * sides[bit]:  # not seen end on
            x, y = corners[list(edge), :2].mean(axis=0) * 1.12
            axes.text(x, y, f"{name}: {sides[bit]:.0f} nm", ha="center", va="center", fontsize=9, color="#444444")


def _drawPlane(
    axes: Any, low: np.ndarray, high: np.ndarray, middle: np.ndarray, turned: np.ndarray, axis: int, position: float
) -> None:
    """The frame of a slice, where it goes through the box."""
    if not low[axis] <= position <= high[axis]:
        return
    others = [n for n in range(3) if n != axis]
    ends = np.tile((low + high) / 2, (5, 1))
    ends[:, axis] = position
    ends[:, others[0]] = np.array([low, high, high, low, low])[:, others[0]]
    ends[:, others[1]] = np.array([low, low, high, high, low])[:, others[1]]
    line = ((ends - middle) @ turned.T / _NM)[:, :2]
    axes.add_collection(LineCollection([line], colors="#dd8800", linewidths=1.4, zorder=3), autolim=False)


def drawScale(axes: Any, scale: Optional[ScalarMappable], label: str, numbers: Sequence[int]) -> None:
    """The colour scale, or which colour is which membrane. numbers: of the membranes."""
    axes.clear()
    if scale is not None:
        axes.figure.colorbar(scale, cax=axes, label=label)
        return
    axes.set_axis_off()
    some = [Patch(color=labelColour(n), label=str(n)) for n in numbers[:_LISTED]]
    more = [Patch(color="none", label=f"and {len(numbers) - _LISTED} more")] * (len(numbers) > _LISTED)
    if some:
        axes.legend(handles=some + more, title="membrane", loc="upper left", bbox_to_anchor=(-1.5, 1.0), frameon=False)


def drawOutline(axes: Any, lines: Any, colour: Any) -> None:
    """Lines in which membranes cut a slice, over the picture of it. lines: (k, 2, 2) px. colour: (k, 3)."""
    for artist in list(axes.collections):
        artist.remove()
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=1.6), autolim=False)
