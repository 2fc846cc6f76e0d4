# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps before and after, at the same position: three planes each, moved by sliders or by a click."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Sequence

from ..window import CanvasWindow
from .linked_maps_plots import LinkedSlices

_AXES = ("z", "y", "x")


class LinkedMapsWindow(CanvasWindow):
    """groups: {name: {label: map file}}; a list offers them if there are several. notes: lines above. fixed: {label:
    (black, white)}, see LinkedSlices."""

    def __init__(self, parent: Any, groups: Any, title: str, notes: Sequence[str] = (), fixed: Any = None) -> None:
        CanvasWindow.__init__(self, parent, title)
        self._groups, self._fixed = groups, fixed
        self._name = tk.StringVar(self.root, next(iter(groups)))
        for note in notes:
            ttk.Label(self.root, text=note, wraplength=1000).pack(anchor=tk.W, padx=8, pady=(6, 0))
        if len(groups) > 1:
            row = ttk.Frame(self.root, padding=(8, 6, 8, 0))
            row.pack(fill=tk.X)
            ttk.Label(row, text="Map").pack(side=tk.LEFT)
            box = ttk.Combobox(row, textvariable=self._name, values=list(groups), state="readonly", width=40)
            box.pack(side=tk.LEFT, padx=6)
            box.bind("<<ComboboxSelected>>", lambda event: self.choose())
        self._scales = self._addScales()
        rows = max(len(paths) for paths in groups.values())
        # with the sliders it must fit on a screen of 1080 px
        self.addFigure((9.5, min(7.4, 0.4 + 2.9 * rows)))
        self._canvas.mpl_connect("button_press_event", self._click)
        self.choose()

    def _addScales(self) -> Any:
        scales = []
        for axis in reversed(_AXES):  # the last one is packed lowest
            row = ttk.Frame(self.root, padding=(8, 0))
            row.pack(side=tk.BOTTOM, fill=tk.X)
            ttk.Label(row, text=f"Slice across {axis}", width=14).pack(side=tk.LEFT)
            scale = tk.Scale(row, orient=tk.HORIZONTAL, from_=0, to=1, command=lambda value: self.move())
            scale.pack(side=tk.LEFT, fill=tk.X, expand=True)
            scales.insert(0, scale)
        return scales

    def choose(self) -> None:
        """Show the maps of another group, in the middle."""
        self._slices = LinkedSlices(self._figure, self._groups[self._name.get()], self._fixed)
        for scale, length in zip(self._scales, self._slices.shape):
            scale.config(to=length - 1)
        self._set(self._slices.position)

    def move(self) -> None:
        position = tuple(scale.get() for scale in self._scales)
        if position != self._slices.position:
            self._slices.move(position)
            self._canvas.draw_idle()

    def _set(self, position: Any) -> None:
        self._slices.move(position)
        for scale, value in zip(self._scales, self._slices.position):
            scale.set(value)
        self._canvas.draw_idle()

    def _click(self, event: Any) -> None:
        position = self._slices.positionOf(event.inaxes, event.xdata, event.ydata) if event.inaxes else None
        if position is not None:
            self._set(position)
