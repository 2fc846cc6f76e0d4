# SPDX-License-Identifier: GPL-3.0-or-later
"""A map and its half-maps, slice by slice."""

import tkinter as tk
from tkinter import ttk
from typing import Any

from ..map_plots import drawSlices, readMap
from ..window import CanvasWindow


class MapWindow(CanvasWindow):
    """paths: {name: map file}; the first is shown first. note: line above the slices."""

    def __init__(self, parent: Any, paths: Any, title: str, note: str = "") -> None:
        CanvasWindow.__init__(self, parent, title)
        self._maps = {name: readMap(path) for name, path in paths.items()}
        self._name, self._part = tk.StringVar(self.root, next(iter(paths))), tk.DoubleVar(self.root, 0.5)
        if note:
            ttk.Label(self.root, text=note, wraplength=1000).pack(anchor=tk.W, padx=8, pady=(8, 0))
        row = ttk.Frame(self.root, padding=6)
        row.pack(side=tk.BOTTOM, fill=tk.X)
        for name in paths if len(paths) > 1 else ():
            ttk.Radiobutton(row, text=name, value=name, variable=self._name, command=self.refresh).pack(side=tk.LEFT)
        ttk.Label(row, text="From the first to the last slice").pack(side=tk.LEFT, padx=(12, 4))
        ttk.Scale(row, variable=self._part, from_=0, to=1, command=lambda value: self.refresh()).pack(
            side=tk.LEFT, fill=tk.X, expand=True
        )
        self.addFigure((12, 4.6))
        self.refresh()

    def refresh(self) -> None:
        drawSlices(self._figure, self._maps[self._name.get()], self._part.get())
        self._canvas.draw_idle()
