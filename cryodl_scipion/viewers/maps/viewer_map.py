# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of maps."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Dict, List

from pwem.objects import Volume
from pyworkflow.viewer import DESKTOP_TKINTER, Viewer

from ...convert.names import withoutChecksum
from ...protocols import CryodlProtBackProject
from ..chimera import chimeraViews
from ..map_plots import drawFsc, drawSlices, readMap
from ..panels_viewer import Panel, PanelsViewer
from ..window import CanvasWindow, WindowView


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


class CryodlVolumeViewer(Viewer):
    """Slices of a map and of its half-maps."""

    _name = "cryodl slices"
    _targets = [Volume]
    _environments = [DESKTOP_TKINTER]

    def _visualize(self, obj: Any, **kwargs: Any) -> List[str]:
        return [mapSlicesView(self.getTkRoot(), obj)]


class CryodlBackProjectViewer(PanelsViewer):
    """What `Analyze results` opens for a back-projection."""

    _label = "back-projection viewer"
    _targets = [CryodlProtBackProject]
    _SECTION = "Map"
    _PANELS = (
        Panel("showSlices", "Slices of the map and the half-maps", "Slices across the three axes, with sliders."),
        Panel(
            "showFsc",
            "FSC of the half-maps",
            "Fourier shell correlation of the half-maps, and the resolution at 0.143. For denoised particles it "
            "says nothing about resolution: both half-maps show what the model learned.",
        ),
        Panel("showInChimera", "Map in ChimeraX", "Opens ChimeraX, if Scipion's plugin for it is installed."),
    )
    _WAIT = "There is no map yet. Wait until the run has finished."

    def _data(self) -> Any:
        return getattr(self.protocol, "outputVolume", None)

    def _showSlices(self, volume: Volume) -> List[str]:
        return [mapSlicesView(self.getTkRoot(), volume)]

    def _showFsc(self, volume: Volume) -> List[str]:
        made, comment = self.protocol._result().outputs, volume.getObjComment()
        plotter = self._plot("FSC")
        axes = plotter.getFigure().add_subplot()
        drawFsc(axes, {"half-maps": made.fsc}, made.pixel_size, made.box, None if comment else made.resolution)
        axes.set_title(withoutChecksum(comment or "") or f"{made.count} particles", fontsize=10)
        return [plotter]

    def _showInChimera(self, volume: Volume) -> Any:
        return chimeraViews(self, volume.getFileName(), "map")


def mapSlicesView(root: Any, volume: Volume) -> Any:
    return WindowView(MapWindow, root, mapsOf(volume), str(volume), withoutChecksum(volume.getObjComment() or ""))


def mapsOf(volume: Volume) -> Dict[str, Any]:
    """{name: file} of a Volume and its half-maps."""
    halves = [path for path in (volume.getHalfMaps() or "").split(",") if path]
    return dict({"map": volume.getFileName()}, **{f"half-map {n}": path for n, path in enumerate(halves, 1)})
