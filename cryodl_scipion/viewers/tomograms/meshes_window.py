# SPDX-License-Identifier: GPL-3.0-or-later
"""Membranes and surfaces of features in 3-D, rotated with the mouse; membranes beside a slice with their outlines."""

import collections
import tkinter as tk
from tkinter import ttk
from typing import Any, Dict, Optional, Sequence

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize, to_rgb
from matplotlib.patches import Patch
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from ...engine.cryodl.contract import counted
from .. import plots, window
from .meshes_data import Mesh, Surfaces, joined
from .slices_window import PLANES, addPlanes, labelColour

# name: property of the mesh, None for the membrane's number; label: with unit; symmetric: about 0; cmap: matplotlib's
Colouring = collections.namedtuple("Colouring", "name label symmetric cmap")
COLOURINGS: Dict[str, Colouring] = {
    "membrane": Colouring(None, "membrane", False, None),
    "mean curvature": Colouring("curvature_per_nm", "mean curvature (1/nm)", True, "RdBu_r"),
    "thickness": Colouring("thickness_angstrom", "thickness (Å)", False, "viridis"),
    "distance": Colouring("distance_angstrom", "distance to the nearest membrane (Å)", False, "viridis_r"),
}
_DARKEST = 0.35  # of a colour, where no light falls
_LIGHT = np.array([-0.35, -0.45, 0.82])  # where it comes from, x, y, z
_LISTED = 12  # membranes in the legend
_NM = 10.0  # Å


def colourScale(mesh: Mesh, colouring: Colouring) -> Optional[ScalarMappable]:
    """The colour scale of a Mesh's values, of the middle 96 % of them; None for colours of membranes."""
    if colouring.name is None:
        return None
    values = mesh.values.get(colouring.name, np.zeros(0))
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, [2, 98]) if known.size else (0.0, 1.0)
    if colouring.symmetric:
        high = max(abs(low), abs(high), 1e-6)
        low = -high
    return ScalarMappable(Normalize(low, max(high, low + 1e-6)), matplotlib.colormaps[colouring.cmap])


def colours(mesh: Mesh, colouring: Colouring, scale: Optional[ScalarMappable]) -> np.ndarray:
    """(n, 3) colour of each vertex, unlit. scale: of colourScale."""
    if scale is None:
        own = np.array([to_rgb(labelColour(n)) for n in range(1, mesh.number.max(initial=0) + 1)]).reshape(-1, 3)
        return own[mesh.number - 1]
    values = mesh.values.get(colouring.name, np.full(len(mesh.vertices), np.nan))
    # grey where nothing was measured
    return np.where(np.isfinite(values)[:, None], scale.to_rgba(np.nan_to_num(values))[:, :3], 0.7)


def drawMeshes(axes: Any, mesh: Mesh, colour: np.ndarray, plane: Any = None, zoom: float = 1.0) -> None:
    """Membranes in a box with sides in nm.

    axes: of three dimensions. colour: (n, 3) of the vertices. plane: (axis 0, 1, 2 for x, y, z, position in Å) of a
    slice whose frame is drawn, or None."""
    for artist in [*axes.collections, *axes.lines, *axes.texts]:
        artist.remove()
    if not len(mesh.faces):
        axes.text2D(0.5, 0.5, "No surface to show", ha="center", transform=axes.transAxes)
        return
    lit = colour * (_DARKEST + (1 - _DARKEST) * np.abs(mesh.normals @ _LIGHT / np.linalg.norm(_LIGHT)))[:, None]
    triangles = mesh.vertices[mesh.faces] / _NM
    look: Any = dict(linewidths=0, antialiased=False, clip_on=False)  # axes are square, their window is not
    axes.add_collection3d(Poly3DCollection(triangles, facecolors=lit[mesh.faces].mean(axis=1), **look))
    low, high = triangles.min(axis=(0, 1)), triangles.max(axis=(0, 1))
    high = np.maximum(high, low + 1.0)  # a flat one has a side of 0
    for name, *ends in zip("xyz", low, high):
        axes.set(**{f"{name}lim": ends, f"{name}label": f"{name} (nm)"})
    axes.set_box_aspect(high - low, zoom=zoom)
    if plane is not None and low[plane[0]] <= plane[1] / _NM <= high[plane[0]]:
        axis, position = plane
        frame = np.array([low, high, high, low, low])
        up = max({0, 1, 2} - {axis})
        frame[:, axis], frame[:, up] = position / _NM, np.array([low, low, high, high, low])[:, up]
        axes.plot(*frame.T, color="#dd8800", linewidth=1.4)


def drawScale(axes: Any, scale: Optional[ScalarMappable], label: str, numbers: Sequence[int]) -> None:
    """The colour scale, or which colour is which membrane. numbers: of the membranes."""
    axes.clear()
    if scale is not None:
        axes.figure.colorbar(scale, cax=axes, label=label)
        return
    axes.set_axis_off()
    handles = [Patch(color=labelColour(n), label=str(n)) for n in numbers[:_LISTED]]
    handles += [Patch(color="none", label=f"and {len(numbers) - _LISTED} more")] * (len(numbers) > _LISTED)
    look: Any = dict(loc="upper left", bbox_to_anchor=(-1.5, 1.0), frameon=False)
    axes.legend(handles=handles, title="membrane", **look).set_visible(bool(numbers))


_SIDE = (30.0, -55.0)  # elevation and azimuth at first, degrees
_CLOSER = 1.2  # for each step of the wheel
_HAND = "Drag to rotate, wheel to zoom, 0 for the first view."


class SolidWindow(window.CanvasWindow):
    """What is rotated with the mouse: a Mesh of the tomogram that is chosen. data: has `names` of tomograms. A child
    gives _addControls(row) and choose(), and may give _plane(), of a slice that is shown beside it, see drawMeshes."""

    _mesh: Any = None
    _colours: Any = None
    _zoom = 1.0
    _WIDTH = 0.78  # of the axes, beside which a scale may stand
    _addControls: Any
    choose: Any
    _plane: Any = staticmethod(lambda: None)

    def __init__(self, parent: Any, data: Any, title: str) -> None:
        window.CanvasWindow.__init__(self, parent, title)
        self._data = data
        self._name, self.message = tk.StringVar(self.root, data.names[0]), tk.StringVar(self.root)
        row = self.addRow(padding=(6, 6, 6, 0))
        self.addChoice(row, "Tomogram", self._name, data.names, 30, lambda: self.choose())
        self._addControls(row)
        ttk.Label(self.root, textvariable=self.message, wraplength=1000).pack(anchor=tk.W, padx=8)
        self._addFigures()
        self._axes = self._figure.add_axes((0, 0, self._WIDTH, 1), projection="3d", proj_type="ortho")
        self._axes.view_init(*_SIDE)
        self._canvas.mpl_connect("scroll_event", self._wheel)
        self.root.bind("<KeyPress-0>", lambda event: self.reset())
        self.choose()

    def _addFigures(self) -> None:
        self.addFigure((9, 7.4))

    def reset(self) -> None:
        self._axes.view_init(*_SIDE)
        self._zoom = 1.0
        self.draw()

    def draw(self) -> None:
        if self._mesh is None:
            return
        self._axes.axis("on" if len(self._mesh.faces) else "off")
        drawMeshes(self._axes, self._mesh, self._colours, self._plane(), self._zoom)
        self._canvas.draw_idle()

    def _wheel(self, event: Any) -> None:
        self._zoom *= _CLOSER if event.button == "up" else 1 / _CLOSER
        self.draw()


class SurfacesWindow(SolidWindow):
    """data: Surfaces. inChimera: function of a script's path that opens it and returns pyworkflow's view."""

    _WIDTH = 1.0

    def __init__(self, parent: Any, data: Surfaces, title: str, inChimera: Any) -> None:
        self._inChimera = inChimera
        SolidWindow.__init__(self, parent, data, title)

    def _addControls(self, row: Any) -> None:
        self._shown = {feature: tk.BooleanVar(self.root, True) for feature in self._data.features}
        for feature, variable in self._shown.items():
            ttk.Checkbutton(row, text=feature, variable=variable, command=self.choose).pack(side=tk.LEFT, padx=4)
        show = lambda: self._inChimera(self._data.scripts[self._name.get()]).show()
        if self._data.scripts:
            ttk.Button(row, text="Open in ChimeraX", command=show).pack(side=tk.RIGHT)

    def choose(self) -> None:
        shown = [feature for feature, variable in self._shown.items() if variable.get()]
        self.message.set(_HAND)
        try:
            self._mesh = self._data.drawn(self._name.get(), shown)
        except (ValueError, OSError) as error:
            self._mesh = joined([])  # not that of another tomogram
            self.message.set(str(error))
        self._colours = colours(self._mesh, COLOURINGS["membrane"], None)
        drawFeatures(self._axes, self._data.features, shown)
        self.draw()


def drawFeatures(axes: Any, features: Sequence[str], shown: Sequence[str]) -> None:
    patches = [Patch(color=labelColour(features.index(feature) + 1), label=feature) for feature in shown]
    axes.legend(handles=patches, loc="upper right").set_visible(bool(shown))


class MeshesWindow(SolidWindow):
    """data: MembraneMeshes. Beside it a slice of the tomogram, with the outlines."""

    def _addControls(self, row: Any) -> None:
        self._colouring = tk.StringVar(self.root, next(iter(COLOURINGS)))
        self.addChoice(row, "Colour", self._colouring, COLOURINGS, 16, lambda: self.choose(False))
        self._across, self._number, self._scale = addPlanes(self, row, "Slice across")

    def _addFigures(self) -> None:
        frame = self.addRow(padding=0, fill=tk.BOTH, expand=True)
        self.addFigure((5.2, 6.6), frame, side=tk.RIGHT)
        self._sliceCanvas, self._sliceAxes = self._canvas, self._figure.add_axes((0.02, 0.02, 0.96, 0.96))
        self.addFigure((7.4, 6.6), frame, side=tk.LEFT)
        self._scaleAxes = self._figure.add_axes((0.865, 0.2, 0.025, 0.6), zorder=1)

    # ----- what happens
    def choose(self, new: bool = True) -> None:
        name, colouring = self._name.get(), COLOURINGS[self._colouring.get()]
        try:
            mesh, whole = self._data.drawn(name), self._data.whole(name)
            self._data.position(name, 0, 0)  # the tomogram and the volume of the membranes are read, too
        except (ValueError, OSError) as error:
            # no picture: that of another tomogram would stand under this one's name
            self._mesh = None
            for axes in (self._axes, self._sliceAxes, self._scaleAxes):
                axes.clear()
                axes.set_axis_off()
                axes.figure.canvas.draw_idle()
            self.message.set(str(error))
            return
        scale = colourScale(whole, colouring)
        self._mesh, self._colours = mesh, colours(mesh, colouring, scale)
        self._outlineColours = colours(whole, colouring, scale)
        drawScale(self._scaleAxes, scale, colouring.label, sorted(set(whole.number.tolist())))
        drawn, all_ = len(mesh.faces), len(whole.faces)
        more = f" Drawn with {drawn:,} of {all_:,} triangles; outlines in the slice are of all."
        self.message.set(f"{counted(len(self._data.files[name]), 'membrane')}. {_HAND}" + more * (drawn < all_))
        if new:
            self.reset()
            self.turn()
        else:
            self.move()

    def turn(self) -> None:
        if self._mesh is None:
            return
        slices = self._data.slices.shape(self._name.get())[PLANES[self._across.get()]]
        self._scale.config(to=slices - 1)
        self._number.set(slices // 2)
        self.move()

    def move(self) -> None:
        if self._mesh is None:
            return
        here = self._name.get(), PLANES[self._across.get()], self._number.get()
        try:
            preview = self._data.slices.slice(*here)
        except (ValueError, OSError) as error:
            self.message.set(str(error))
            return
        plots.drawMicrograph(self._sliceAxes, preview, True)
        lines, near = self._data.outline(*here)
        outline = LineCollection(lines, colors=self._outlineColours[near], linewidths=1.6)
        self._sliceAxes.add_collection(outline, autolim=False)
        self._sliceCanvas.draw_idle()
        self.draw()

    def _plane(self) -> Any:
        axis = PLANES[self._across.get()]
        return 2 - axis, self._data.position(self._name.get(), axis, self._number.get())
