# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of maps."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pwem.objects import Volume

from ...convert.names import withoutChecksum
from ...protocols import CryodlProtBackProject
from ..panels_viewer import ObjectViewer, PanelsViewer, panel
from ..plots import AXES, MARK, drawFscOfMap, percentilesOf, readMap, stretchedTo
from ..window import CanvasWindow, WindowView

_SAMPLED = 64  # voxels along an axis that decide the contrast
# What runs right and up on each slice, as positions in (z, y, x).
_RIGHT_UP = ((2, 1), (2, 0), (1, 0))


class LinkedSlices:
    """figure: matplotlib's. paths: {name: map file}; all are shown at one place, (z, y, x) px. fixed: {name: (black,
    white)} of maps whose values mean something by themselves.

    Raises ValueError if the maps have unlike sizes, and as readMap.
    """

    def __init__(self, figure: Figure, paths: Dict[str, str], fixed: Any = None) -> None:
        self._maps = {name: readMap(path) for name, path in paths.items()}
        self.shape = next(iter(self._maps.values())).shape
        for name, data in self._maps.items():
            if data.shape != self.shape:
                raise ValueError(
                    f"{paths[name]} has {' x '.join(map(str, data.shape[::-1]))} voxels, the first map "
                    f"{' x '.join(map(str, self.shape[::-1]))}: they cannot be shown at the same position."
                )
        self._limits = {name: (fixed or {}).get(name) or _limitsOf(data) for name, data in self._maps.items()}
        self.position = tuple(length // 2 for length in self.shape)
        self._figure, self._images, self._lines = figure, {}, []
        self._draw()

    def _draw(self) -> None:
        self._figure.clear()
        rows = self._figure.subplots(len(self._maps), 3, squeeze=False)
        for number, (name, row) in enumerate(zip(self._maps, rows)):
            for axis, (axes, (across, right, up)) in enumerate(zip(row, AXES)):
                first, second = _RIGHT_UP[axis]
                self._images[name, axis] = axes.imshow(
                    self._slice(name, axis), cmap="gray", vmin=0, vmax=1, origin="lower", interpolation="bilinear"
                )
                line = dict(color=MARK, linewidth=0.6, alpha=0.8)
                self._lines.append((axes.axvline(self.position[first], **line), first, 0))
                self._lines.append((axes.axhline(self.position[second], **line), second, 1))
                axes.set_xticks([])
                axes.set_yticks([])
                axes.set_xlabel(f"{right} to the right, {up} up", fontsize=8)
                if number == 0:
                    axes.set_title(f"Slice across {across}", fontsize=10)
            row[0].set_ylabel(name, fontsize=11)
        self._figure.tight_layout()

    def _slice(self, name: str, axis: int) -> np.ndarray:
        return stretchedTo(
            np.array(np.take(self._maps[name], self.position[axis], axis=axis), float), self._limits[name]
        )

    def move(self, position: Tuple[int, int, int]) -> None:
        """Show another position, (z, y, x) px; what lies outside is moved inside."""
        self.position = tuple(int(min(max(p, 0), n - 1)) for p, n in zip(position, self.shape))
        for (name, axis), image in self._images.items():
            image.set_data(self._slice(name, axis))
        for line, axis, vertical in self._lines:
            (line.set_ydata if vertical else line.set_xdata)([self.position[axis]] * 2)

    def positionOf(self, axes: Union[Axes, object], x: float, y: float) -> Optional[Tuple[int, ...]]:
        """(z, y, x) of a point of the drawing, or None outside of the slices. x, y: of a click."""
        for (_, axis), image in self._images.items():
            if image.axes is axes:
                position = list(self.position)
                right, up = _RIGHT_UP[axis]
                position[right], position[up] = round(x), round(y)
                return tuple(position)
        return None


def _limitsOf(data: np.ndarray) -> Tuple[float, float]:
    """Black and white value of a map, from some of its voxels; of a map that is empty but for little, its extremes."""
    some = np.array(data[tuple(slice(None, None, max(1, n // _SAMPLED)) for n in data.shape)], float)
    low, high = percentilesOf(some)
    return (low, high) if high > low else (data.min(), data.max())


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
            self.addChoice(row, "Map", self._name, groups, 40, self.choose)
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


class CryodlVolumeViewer(ObjectViewer, name="cryodl slices", targets=[Volume]):
    """Slices of a map and of its half-maps."""

    def show(self, obj: Volume) -> Any:
        return mapSlicesView(self.getTkRoot(), obj)


class CryodlBackProjectViewer(
    PanelsViewer,
    targets=[CryodlProtBackProject],
    section="Map",
    wait="There is no map yet. Wait until the run has finished.",
    data="outputVolume",
):
    """What `Analyze results` opens for a back-projection."""

    @panel("Slices of the map and the half-maps", "Slices across the three axes, with sliders.")
    def showSlices(self, volume: Volume) -> Any:
        return mapSlicesView(self.getTkRoot(), volume)

    @panel(
        "FSC of the half-maps",
        "Fourier shell correlation of the half-maps, and the resolution at 0.143. For denoised particles it says "
        "nothing about resolution: both half-maps show what the model learned.",
    )
    def showFsc(self, volume: Volume) -> Any:
        made, comment = self.protocol._made(), withoutChecksum(volume.getObjComment() or "")
        return self.plot("FSC", lambda figure: drawFscOfMap(figure.add_subplot(), made, comment))

    @panel("Map in ChimeraX", "Opens ChimeraX, if Scipion's plugin for it is installed.")
    def showInChimera(self, volume: Volume) -> Any:
        return self.chimera(volume.getFileName())


def mapSlicesView(root: Any, volume: Volume) -> Any:
    note = withoutChecksum(volume.getObjComment() or "")
    return WindowView(LinkedMapsWindow, root, {"map": mapsOf(volume)}, str(volume), [note] * bool(note))


def mapsOf(volume: Volume) -> Dict[str, Any]:
    """{name: file} of a Volume and its half-maps."""
    halves = [path for path in (volume.getHalfMaps() or "").split(",") if path]
    return dict({"map": volume.getFileName()}, **{f"half-map {n}": path for n, path in enumerate(halves, 1)})
