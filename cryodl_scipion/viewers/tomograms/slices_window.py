# SPDX-License-Identifier: GPL-3.0-or-later
"""Tomograms slice by slice, with labels, scores or coordinates over them."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Callable, Optional

from matplotlib.axes import Axes

from ...engine.cryodl.contract import counted
from ..micrograph_window import MicrographWindow
from .slices_data import PLANES, SCORES, clearOverlay, drawLabels, drawPoints, drawScores

_NOTHING = "nothing"
_OPACITY = 0.5
_AXES = {"z": "x to the right, y up", "y": "x to the right, z up", "x": "y to the right, z up"}


def addPlanes(row: Any, text: str, across: Any, turn: Any, number: Any, move: Any) -> tk.Scale:
    """Buttons for the axis that slices lie across, and a slider for the slice, which is returned. across, number: Tk's
    variables. turn, move: called when they change."""
    ttk.Label(row, text=text).pack(side=tk.LEFT)
    for plane in PLANES:
        ttk.Radiobutton(row, text=plane, value=plane, variable=across, command=turn).pack(side=tk.LEFT)
    scale = tk.Scale(row, variable=number, orient=tk.HORIZONTAL, from_=0, to=1, command=lambda value: move())
    scale.pack(side=tk.LEFT, fill=tk.X, expand=True, padx=6)
    return scale


class SlicesWindow(MicrographWindow):
    """data: TomogramSlices. accept: for wizards, takes {name of a score layer: threshold}. first: name of the layer to
    show first, default the last one."""

    _number: Any
    _position: Any
    _problem: Any
    _shownId: Any
    _view: Any

    _LIST = "Tomograms"

    _accept: Any  # a function that takes what was chosen, or None

    def __init__(
        self, parent: Any, data: Any, title: str, accept: Optional[Callable[..., Any]] = None, first: Any = None
    ) -> None:
        self._data, self._plane, self._position, self._view = data, "z", None, None
        self._pixelSize = data.pixelSize
        self._shownId = self._problem = None
        self._thresholds = {layer.name: layer.threshold for layer in data.layers if layer.kind == SCORES}
        names = [layer.name for layer in data.layers]
        self._layer = first or (names[-1] if names else _NOTHING)
        slider = dict(from_=0, to=1, resolution=0.01, label="Score threshold") if self._thresholds else None
        MicrographWindow.__init__(self, parent, title, data.ids, (), slider, self._threshold(), 0, accept)

    # ----- parts
    def _addControls(self, slider: Any) -> None:
        """The choice of layer, plane, slice and opacity above the slider of the threshold."""
        self._chosen = tk.StringVar(self.root, self._layer)
        self._across, self._number = tk.StringVar(self.root, self._plane), tk.IntVar(self.root)
        self._opacity = tk.DoubleVar(self.root, _OPACITY)
        row = ttk.Frame(self.root)
        row.pack(fill=tk.X, padx=6, pady=(4, 0))
        self._scale = addPlanes(row, "Slices across", self._across, self.turn, self._number, self.move)
        if self._data.layers:
            self._addLayers()
        MicrographWindow._addControls(self, slider)

    def _addLayers(self) -> None:
        row = ttk.Frame(self.root)
        row.pack(fill=tk.X, padx=6)
        names = [layer.name for layer in self._data.layers] + [_NOTHING]
        self.addChoice(row, "Overlay", self._chosen, names, 24, self.choose)
        ttk.Label(row, text="Opacity").pack(side=tk.LEFT, padx=(12, 4))
        ttk.Scale(row, variable=self._opacity, from_=0, to=1, command=lambda value: self.refresh()).pack(
            side=tk.LEFT, fill=tk.X, expand=True
        )

    # ----- what happens
    def turn(self) -> None:
        """Show slices across the axis that was chosen, beginning in the middle."""
        self._plane, self._position, self._view = self._across.get(), None, None
        self.showMicrograph()

    def move(self) -> None:
        """Show the slice that was chosen; what part of it is seen stays."""
        if self._number.get() != self._position and self._axes is not None:
            self._position, self._view = self._number.get(), (self._axes.get_xlim(), self._axes.get_ylim())
            self.showMicrograph()

    def choose(self) -> None:
        """Show another layer, with its own threshold."""
        self._layer = self._chosen.get()
        self.value.set(self._threshold())
        self.refresh()

    def use(self) -> None:
        if self.settle():
            self._accept(dict(self._thresholds))
            self.root.destroy()

    def refresh(self) -> None:
        if self._layer in self._thresholds:
            self._thresholds[self._layer] = self.value.get()
        MicrographWindow.refresh(self)

    # ----- the slice
    def _threshold(self) -> Any:
        return self._thresholds.get(self._layer, next(iter(self._thresholds.values()), 0))

    def _axis(self) -> Any:
        return PLANES[self._plane]

    def _load(self, index: int) -> Any:
        tsId = self._names[index]
        if tsId != self._shownId:
            self._shownId, self._view = tsId, None
        slices = self._data.shape(tsId)[self._axis()]
        self._position = slices // 2 if self._position is None else min(self._position, slices - 1)
        self._scale.config(to=slices - 1)
        self._number.set(self._position)
        return self._data.slice(tsId, self._axis(), self._position)

    def _upwards(self) -> bool:
        return True

    def _look(self) -> None:
        if self._view is not None:
            self._axes.set_xlim(*self._view[0])
            self._axes.set_ylim(*self._view[1])

    def _drawOn(self, axes: Axes) -> None:
        clearOverlay(axes)
        tsId, layer = self._names[self.index()], self._data.layer(self._layer)
        extent = (-0.5, self._preview.width - 0.5, self._preview.height - 0.5, -0.5)
        try:
            image, self._problem = self._data.overlay(tsId, layer, self._axis(), self._position), None
        except (ValueError, OSError) as error:
            image, self._problem = None, str(error)
        limits = axes.get_xlim(), axes.get_ylim()
        if image is not None and layer.kind == SCORES:
            drawScores(axes, image, layer.name, extent, self._opacity.get(), self.value.get())
        elif image is not None:
            drawLabels(axes, image, layer.names, extent, self._opacity.get())
        here = (tsId, self._axis(), self._position)
        drawPoints(axes, self._data.pointsNear(*here), self._data.speciesNear(*here), self._data.speciesNames)
        axes.set_xlim(*limits[0])  # imshow shows all of it again
        axes.set_ylim(*limits[1])

    def _text(self) -> str:
        if self.index() is None or self._preview is None:
            return "There are no tomograms." if self.index() is None else ""
        tsId = self._names[self.index()]
        parts = [
            f"{self._plane} = {self._position} of {self._data.shape(tsId)[self._axis()]} (px of "
            f"{self._data.pixelSize:.4g} Å), {_AXES[self._plane]}"
        ]
        if self._data.points:
            near = len(self._data.pointsNear(tsId, self._axis(), self._position))
            parts.append(f"{near} of {counted(len(self._data.points.get(tsId, ())), 'point')} in this slice")
        layer = self._data.layer(self._layer)
        if layer is not None and tsId not in layer.files:
            parts.append(f"{layer.name}: none for this tomogram")
        if self._data.files[tsId] is None:
            parts.append("the tomogram's file does not exist")
        return "; ".join(parts + [self._problem] * bool(self._problem))
