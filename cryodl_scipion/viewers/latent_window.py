# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows on a latent space: items to be chosen with a lasso, and maps along an axis with a slider."""

import tkinter as tk
from tkinter import messagebox, ttk
from typing import Any, Sequence

import mrcfile
import numpy as np
from matplotlib.path import Path
from matplotlib.widgets import LassoSelector
from pwem.objects import SetOfCoordinates
from pwem.protocols import EMProtocol

from ..engine.cryodl.contract import counted
from .subsets import startSubset
from .window import CanvasWindow

_SHOWN = 20000  # points that are drawn at most; all of them are chosen from


class LatentWindow(CanvasWindow):
    """Items by two latent coordinates. protocol: whose output they are. ids, coordinates, clusters, names: see
    convert.latent.latentOf. output: its name. kind: of item, in words."""

    def __init__(
        self,
        parent: Any,
        protocol: EMProtocol,
        ids: Sequence[int],
        coordinates: SetOfCoordinates,
        clusters: Any,
        names: Sequence[str],
        output: str = "outputParticles",
        kind: str = "particle",
    ) -> None:
        CanvasWindow.__init__(self, parent, f"Latent space: {protocol.getRunName()}")
        self._protocol, self._ids = protocol, np.array(ids)
        self._output, self._kind = output, kind
        self._coordinates, self._clusters = np.array(coordinates), np.array(clusters)
        self.chosen = np.zeros(len(ids), bool)
        bar = ttk.Frame(self.root)
        bar.pack(fill=tk.X, padx=8, pady=4)
        self._names = list(names)
        self._axes = []
        for label, value in (("x", names[0]), ("y", names[min(1, len(names) - 1)])):
            ttk.Label(bar, text=f"Latent coordinate, {label}:").pack(side=tk.LEFT, padx=4)
            box = ttk.Combobox(bar, values=self._names, width=max(map(len, names)) + 2, state="readonly")
            box.set(value)
            box.bind("<<ComboboxSelected>>", lambda event: self.draw())
            box.pack(side=tk.LEFT)
            self._axes.append(box)
        self.words = tk.StringVar(self.root, f"Draw around {kind}s with the mouse.")
        ttk.Label(bar, textvariable=self.words).pack(side=tk.LEFT, padx=12)
        ttk.Button(bar, text="Create subset", command=self.createSubset).pack(side=tk.RIGHT)
        self.addFigure((8, 6))
        self.draw()

    def points(self) -> Any:
        """(n, 2) the coordinates on show."""
        return self._coordinates[:, [self._names.index(box.get()) for box in self._axes]]

    def draw(self) -> None:
        self._figure.clear()
        axes, points = self._figure.add_subplot(), self.points()
        some = slice(None, None, max(1, len(points) // _SHOWN))
        axes.scatter(points[some, 0], points[some, 1], c=self._clusters[some], s=4, cmap="tab10")
        axes.scatter(
            points[self.chosen, 0], points[self.chosen, 1], s=9, facecolors="none", edgecolors="black", linewidths=0.4
        )
        words = [f"latent coordinate {box.get()}" if box.get().isdigit() else box.get() for box in self._axes]
        axes.set_xlabel(words[0])
        axes.set_ylabel(words[1])
        self._lasso = LassoSelector(axes, self.choose)
        self._canvas.draw_idle()

    def choose(self, corners: Any) -> None:
        """Choose the items within a polygon of the drawing."""
        self.chosen = Path(corners).contains_points(self.points())
        self.words.set(f"{counted(int(self.chosen.sum()), self._kind)} selected")
        self.draw()

    def createSubset(self) -> Any:
        """Start pwem's protocol that makes a set of the chosen items. Returns it, None if none is chosen."""
        if not self.chosen.any():
            messagebox.showinfo(
                f"No {self._kind}s", f"Draw around {self._kind}s with the mouse first.", parent=self.root
            )
            return None
        chosen = self._ids[self.chosen].tolist()
        subset, said = startSubset(self._protocol, self._output, chosen, "region", self._kind)
        self.words.set(said)
        return subset


class PathWindow(CanvasWindow):
    """Maps along an axis: three central slices above three projections. paths: a list of map files for each axis."""

    def __init__(self, parent: Any, paths: Sequence[str], title: str) -> None:
        CanvasWindow.__init__(self, parent, f"Maps along an axis: {title}")
        self._paths = [path for path in paths if path]
        bar = ttk.Frame(self.root)
        bar.pack(fill=tk.X, padx=8, pady=4)
        self._axis = ttk.Combobox(
            bar, values=[str(n) for n in range(1, len(self._paths) + 1)], width=3, state="readonly"
        )
        self._axis.set("1")
        self._axis.bind("<<ComboboxSelected>>", lambda event: self.draw())
        ttk.Label(bar, text="Axis:").pack(side=tk.LEFT)
        self._axis.pack(side=tk.LEFT, padx=4)
        self.slider = tk.Scale(
            bar, from_=1, to=len(self._paths[0]), orient=tk.HORIZONTAL, label="Map", command=lambda value: self.draw()
        )
        self.slider.pack(side=tk.LEFT, fill=tk.X, expand=True, padx=8)
        self.addFigure((9, 6))
        self.draw()

    def current(self) -> Any:
        """File of the map on show."""
        return self._paths[int(self._axis.get()) - 1][int(self.slider.get()) - 1]

    def draw(self) -> None:
        data = mrcfile.read(self.current())
        self._figure.clear()
        pictures = [data[len(data) // 2], data[:, len(data) // 2], data[:, :, len(data) // 2]]
        pictures += [data.sum(axis=axis) for axis in range(3)]
        for number, (picture, name) in enumerate(zip(pictures, "z y x z y x".split()), 1):
            axes = self._figure.add_subplot(2, 3, number)
            axes.imshow(picture, cmap="gray", origin="lower")
            axes.set_title(f"{'slice' if number < 4 else 'projection'} along {name}", fontsize=9)
            axes.axis("off")
        self._canvas.draw_idle()
