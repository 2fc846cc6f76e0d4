# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows on a latent space: items to be chosen with a lasso, and maps along an axis with a slider."""

import os
import tkinter as tk
from tkinter import messagebox, ttk
from typing import Any, Dict, Sequence

import mrcfile
import numpy as np
from matplotlib.path import Path
from matplotlib.widgets import LassoSelector
from pwem.protocols import EMProtocol

from ...convert.arriving import firstOf
from ...convert.particles.results import latentOf
from ...convert.reading import readJson
from ...engine.cryodl.contract import counted
from ...protocols import CryodlProtFitHeterogeneity
from .. import plots, window
from ..panels_viewer import PanelsViewer, panel, startSubset

_SHOWN = 20000  # points that are drawn at most; all of them are chosen from


class LatentWindow(window.CanvasWindow):
    """Items by two latent coordinates. protocol: whose output they are. ids, coordinates, clusters, names: see
    convert.particles.results.latentOf. output: its name. kind: of item, in words."""

    def __init__(
        self,
        parent: Any,
        protocol: EMProtocol,
        ids: Sequence[int],
        coordinates: Any,
        clusters: Any,
        names: Sequence[str],
        output: str = "outputParticles",
        kind: str = "particle",
    ) -> None:
        window.CanvasWindow.__init__(self, parent, f"Latent space: {protocol.getRunName()}")
        self._protocol, self._output, self._kind, self._names = protocol, output, kind, list(names)
        self._ids, self._coordinates, self._clusters = np.array(ids), np.array(coordinates), np.array(clusters)
        self.chosen, bar = np.zeros(len(ids), bool), self.addRow(padding=(8, 4))
        self._axes = []
        for label, value in (("x", names[0]), ("y", names[min(1, len(names) - 1)])):
            width, chosen = max(map(len, names)) + 2, tk.StringVar(self.root, value)
            self._axes.append(self.addChoice(bar, f"Latent coordinate, {label}:", chosen, names, width, self.draw))
        self.words = tk.StringVar(self.root, f"Draw around {kind}s with the mouse.")
        ttk.Button(bar, text="Create subset", command=self.createSubset).pack(side=tk.RIGHT)
        ttk.Label(bar, textvariable=self.words).pack(side=tk.LEFT, padx=12)
        self.addFigure((8, 6))
        self.draw()

    def points(self) -> Any:
        return self._coordinates[:, [self._names.index(box.get()) for box in self._axes]]

    def draw(self) -> None:
        self._figure.clear()
        axes, points = self._figure.add_subplot(), self.points()
        some, ring = slice(None, None, max(1, len(points) // _SHOWN)), dict(s=9, facecolors="none", linewidths=0.4)
        axes.scatter(*points[some].T, c=self._clusters[some], s=4, cmap="tab10")
        axes.scatter(*points[self.chosen].T, edgecolors="black", **ring)
        x, y = (f"latent coordinate {box.get()}" if box.get().isdigit() else box.get() for box in self._axes)
        motion = (line.partition(").")[0] + ")" for line in self._protocol.summary() if " found (p = " in line)
        axes.set(xlabel=x, ylabel=y, title=next(motion, ""))
        self._lasso = LassoSelector(axes, self.choose)
        self._canvas.draw_idle()

    def choose(self, corners: Any) -> None:
        self.chosen = Path(corners).contains_points(self.points())
        self.words.set(f"{counted(int(self.chosen.sum()), self._kind)} selected")
        self.draw()

    def createSubset(self) -> Any:
        """Start pwem's protocol that makes a set of the chosen items. Returns it, None if none is chosen."""
        if not self.chosen.any():
            messagebox.showinfo("Subset", f"Draw around {self._kind}s with the mouse first.", parent=self.root)
            return None
        subset, said = startSubset(self._protocol, self._output, self._ids[self.chosen].tolist(), "region", self._kind)
        self.words.set(said)
        return subset


class PathWindow(window.CanvasWindow):
    """Maps along an axis: three central slices above three projections. paths: a list of map files for each axis.
    record: of the JSON file of the engine."""

    def __init__(self, parent: Any, paths: Sequence[str], title: str, record: Sequence[Dict[str, Any]] = ()) -> None:
        window.CanvasWindow.__init__(self, parent, f"Maps along an axis: {title}")
        self._paths = [path for path in paths if path]
        self._captions = {one["map"]: _captionOf(one) for one in record}
        bar = self.addRow(padding=(8, 4))
        self._axis = tk.StringVar(self.root, "1")
        if len(self._paths) > 1:
            self.addChoice(bar, "Axis:", self._axis, range(1, len(self._paths) + 1), 3, self.draw)
        self.slider = self.addSlider(bar, 1, len(self._paths[0]), self.draw, 8, label="Map")
        self.addFigure((9, 6))
        self.draw()

    def current(self) -> Any:
        return self._paths[int(self._axis.get()) - 1][int(self.slider.get()) - 1]

    def draw(self) -> None:
        with mrcfile.open(self.current()) as mrc:
            data, pixelSize = mrc.data, float(mrc.voxel_size.x)
        self._figure.clear()
        pictures = [data.take(len(data) // 2, axis) for axis in range(3)] + [data.sum(axis) for axis in range(3)]
        for number, (picture, name) in enumerate(zip(pictures, "z y x z y x".split()), 1):
            axes = self._figure.add_subplot(2, 3, number)
            axes.imshow(picture, cmap="gray", origin="lower")
            axes.set_title(f"{'slice' if number < 4 else 'projection'} along {name}", fontsize=9)
            axes.set_axis_off()
        plots.drawBar(axes, pixelSize)
        self._figure.suptitle(self._captions.get(os.path.basename(self.current()), ""), fontsize=10)
        self._canvas.draw_idle()


def _captionOf(map: Dict[str, Any]) -> str:
    """Where a map lies, of about how many particles it is, and its resolution."""
    at = ", ".join(f"{value:.3g}" for value in map.get("coordinates") or [map["coordinate"]])
    resolution = f", {map['resolution']:.3g} Å" if map["resolution"] else ", nothing resolved"
    return f"Latent coordinate {at}: about {counted(round(map['particles']), 'particle')}{resolution}"


# {output: what its items are}
_KINDS = {"outputParticles": "particle", "outputSubtomograms": "subtomogram"}


class FittedViewer(PanelsViewer, section="Latent space", wait="There is no latent space"):
    def _data(self) -> Any:
        return self.protocol._made() if any(self.protocol.hasAttribute(name) for name in _KINDS) else None

    @panel(
        "Latent space",
        "Particles or subtomograms by two latent coordinates, coloured by cluster. Draw around some with the mouse to "
        "make a subset of them.",
    )
    def showLatent(self, made: Any) -> Any:
        output, items = next((name, one) for name, one in self.protocol.iterOutputAttributes() if name in _KINDS)
        self.needed(firstOf(items))
        return self.window(LatentWindow, self.protocol, *latentOf(items), output, _KINDS[output])

    @panel(
        "Maps along an axis",
        "Central slices and projections of the maps along the first axes of the latent space; the slider moves along "
        "an axis, lowest coordinates first, each map of about as many particles. The resolution is at FSC 0.143.",
    )
    def showPath(self, made: Any) -> Any:
        if not any(made.paths):
            raise ValueError("No maps were requested along the axes. Set *Axes with maps* to 1 or more, and run again.")
        return self.window(
            PathWindow, made.paths, self.protocol.getRunName(), readJson(made.heterogeneity, {}).get("paths", ())
        )


class LatentVolumesViewer(PanelsViewer, section="Latent volumes", wait="There are no maps", data="_made"):
    @panel("Maps along the path", "Central slices and projections of the maps; the slider moves along the path.")
    def showPath(self, made: Any) -> Any:
        return self.window(
            PathWindow, [made.volumes], self.protocol.getRunName(), readJson(made.record, {}).get("volumes", ())
        )


class CryodlHeterogeneityViewer(
    PanelsViewer, targets=[CryodlProtFitHeterogeneity], ways=(FittedViewer, LatentVolumesViewer)
):
    """What `Analyze results` opens for a latent space, and for maps along it."""
