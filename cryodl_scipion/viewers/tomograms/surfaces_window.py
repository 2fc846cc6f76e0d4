# SPDX-License-Identifier: GPL-3.0-or-later
"""Surfaces of features in 3-D, to be rotated with the mouse."""

import tkinter as tk
from tkinter import ttk
from typing import Any

from ..window import CanvasWindow
from .surfaces_plots import drawSurfaces


class SurfacesWindow(CanvasWindow):
    """data: Surfaces. inChimera: function of a script's path that opens it and returns pyworkflow's views."""

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
        for view in self._inChimera(self._data.scripts[self._name.get()]):
            view.show()
