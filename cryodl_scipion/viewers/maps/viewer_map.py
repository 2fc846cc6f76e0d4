# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of maps."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np
from pwem.objects import Volume

from ...convert.maps import halfMapsOf
from ...convert.names import withoutChecksum
from ...engine.cryodl import contract
from ...protocols import CryodlProtBackProject
from ..panels_viewer import ObjectViewer, PanelsViewer, panel
from ..plots import AXES, MARK, Axes, Figure, drawBar, drawFscOfMap, labelSphere, percentilesOf, readMap, stretchedTo
from ..window import CanvasWindow

_SAMPLED = 64  # voxels along an axis that decide the contrast
# What runs right and up on each slice, as positions in (z, y, x).
_RIGHT_UP = ((2, 1), (2, 0), (1, 0))


class LinkedSlices:
    """figure: matplotlib's. paths: {name: map file}; all are shown at one place, (z, y, x) px. fixed: {name: (black,
    white)} of maps whose values mean something by themselves. pixelSize: Å/px, for a scale bar.

    Raises ValueError if the maps have unlike sizes, and as readMap."""

    def __init__(self, figure: Figure, paths: Dict[str, str], fixed: Any = None, pixelSize: Any = None) -> None:
        self._maps = {name: readMap(path) for name, path in paths.items()}
        self.shape = next(iter(self._maps.values())).shape
        self._limits = dict(fixed or {})
        for name, data in self._maps.items():
            if data.shape != self.shape:
                found, first = (" x ".join(map(str, shape[::-1])) for shape in (data.shape, self.shape))
                raise ValueError(
                    f"{paths[name]} has {found} voxels, the first map {first}: they cannot be shown at the same "
                    "position."
                )
            some = np.array(data[tuple(slice(None, None, max(1, n // _SAMPLED)) for n in data.shape)], float)
            low, high = percentilesOf(some)  # of a map that is empty but for little, its extremes
            self._limits.setdefault(name, (low, high) if high > low else (data.min(), data.max()))
        self.position = tuple(length // 2 for length in self.shape)
        self._images, self._placed = {}, []  # functions that place a line, and the axis that it marks
        figure.clear()
        for name, row in zip(self._maps, figure.subplots(len(self._maps), 3, squeeze=False)):
            for axis, axes in enumerate(row):
                self._drawSlice(name, axis, axes)
            row[0].set_ylabel(name, fontsize=11)
            if pixelSize:
                drawBar(row[2], pixelSize)
        figure.tight_layout()

    def _drawSlice(self, name: str, axis: int, axes: Axes) -> None:
        (across, right, up), (first, second) = AXES[axis], _RIGHT_UP[axis]
        look: Any = dict(cmap="gray", vmin=0, vmax=1, origin="lower", interpolation="bilinear")
        self._images[name, axis] = axes.imshow(self._slice(name, axis), **look)
        line: Any = dict(color=MARK, linewidth=0.6, alpha=0.8)
        self._placed.append((axes.axvline(self.position[first], **line).set_xdata, first))
        self._placed.append((axes.axhline(self.position[second], **line).set_ydata, second))
        axes.set(xticks=[], yticks=[])
        axes.set_xlabel(f"{right} to the right, {up} up", fontsize=8)
        if name == next(iter(self._maps)):
            axes.set_title(f"Slice across {across}", fontsize=10)

    def _slice(self, name: str, axis: int) -> np.ndarray:
        return stretchedTo(np.take(self._maps[name], self.position[axis], axis=axis).astype(float), self._limits[name])

    def move(self, position: Tuple[int, int, int]) -> None:
        """Show another position, (z, y, x) px; what lies outside is moved inside."""
        self.position = tuple(int(min(max(p, 0), n - 1)) for p, n in zip(position, self.shape))
        for (name, axis), image in self._images.items():
            image.set_data(self._slice(name, axis))
        for place, axis in self._placed:
            place([self.position[axis]] * 2)

    def positionOf(self, axes: Any, x: float, y: float) -> Optional[Tuple[int, ...]]:
        """(z, y, x) of a point of the drawing, or None outside of the slices. x, y: of a click."""
        axis = next((axis for (_, axis), image in self._images.items() if image.axes is axes), None)
        if axis is None:
            return None
        right, up = _RIGHT_UP[axis]
        return tuple({right: round(x), up: round(y)}.get(n, here) for n, here in enumerate(self.position))


class LinkedMapsWindow(CanvasWindow):
    """groups: {name: {label: map file}}; a list offers them if there are several. notes: lines above. fixed: {label:
    (black, white)}, pixelSize: see LinkedSlices."""

    def __init__(
        self, parent: Any, groups: Any, title: str, notes: Sequence[str] = (), fixed: Any = None, pixelSize: Any = None
    ) -> None:
        CanvasWindow.__init__(self, parent, title)
        self._groups, self._look = groups, (fixed, pixelSize)
        self._name = tk.StringVar(self.root, next(iter(groups)))
        for note in notes:
            ttk.Label(self.root, text=note, wraplength=1000).pack(anchor=tk.W, padx=8, pady=(6, 0))
        if len(groups) > 1:
            self.addChoice(self.addRow(padding=(8, 6, 8, 0)), "Map", self._name, groups, 40, self.choose)
        self._scales = [self._addScale(axis) for axis in "xyz"][::-1]  # the last one is packed lowest
        # with the sliders it must fit on a screen of 1080 px
        self.addFigure((9.5, min(7.4, 0.4 + 2.9 * max(map(len, groups.values())))))
        self._canvas.mpl_connect("button_press_event", self._click)
        self.choose()

    def _addScale(self, axis: str) -> Any:
        row = self.addRow(padding=(8, 0), side=tk.BOTTOM)
        ttk.Label(row, text=f"Slice across {axis}", width=14).pack(side=tk.LEFT)
        return self.addSlider(row, 0, 1, self.move)

    def choose(self) -> None:
        self._slices = LinkedSlices(self._figure, self._groups[self._name.get()], *self._look)
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
        position = self._slices.positionOf(event.inaxes, event.xdata, event.ydata)
        if position is not None:
            self._set(position)


class CryodlVolumeViewer(ObjectViewer, name="cryodl slices", targets=[Volume]):
    def show(self, obj: Volume) -> Any:
        return mapSlicesView(self, obj)


class CryodlBackProjectViewer(
    PanelsViewer, targets=[CryodlProtBackProject], section="Map", wait="There is no map", data="outputVolume"
):
    @panel("Slices of the map and the half-maps", "Slices across the three axes, with sliders.")
    def showSlices(self, volume: Volume) -> Any:
        return mapSlicesView(self, self.needed(getattr(self.protocol, "outputVolume", None)))

    @panel(
        "FSC of the half-maps",
        "Fourier shell correlation of the half-maps, and the resolution at 0.143; with angles from a reference also "
        "that of noise with such angles, and no resolution. For denoised particles it says nothing about resolution: "
        "both half-maps show what the model learned.",
    )
    def showFsc(self, volume: Volume) -> Any:
        made, comment = self.needed(self.protocol._made()), withoutChecksum(volume.getObjComment() or "")
        return self.plot("FSC", lambda figure: drawFscOfMap(figure.add_subplot(), made, comment))

    @panel(
        "Resolution by direction",
        "Where the half-maps' FSC falls below 0.143 within 20 degrees of each axis, on an equal-area map of the "
        "sphere. In directions of poor resolution the map is smeared, since views are missing.",
    )
    def showByDirection(self, volume: Volume) -> Any:
        made = self.needed(self.protocol._made())
        return self.plot("Directions", lambda figure: drawByDirection(figure, made), (9, 5))

    @panel("Map in ChimeraX", "Opens ChimeraX, if Scipion's plugin for it is installed.")
    def showInChimera(self, volume: Volume) -> Any:
        return self.chimera(self.needed(getattr(self.protocol, "outputVolume", None)).getFileName())


VIEWS = (
    "How often the particles show each direction, over what even views give, on an equal-area map of the sphere, with "
    "the copies of the symmetry."
)


def drawViews(figure: Figure, batches: Sequence[Any]) -> None:
    """Where the particles of the outputs of one or more batches are seen from. Raises ValueError of older results."""
    if any(batch.views is None for batch in batches):
        raise ValueError("The result does not tell of its views: it is older than this panel.")
    counts = [batch.count for batch in batches]
    axes = _drawOnSphere(figure, np.average([batch.views for batch in batches], 0, counts), "Views over even ones")
    largest = max(batches, key=lambda batch: batch.count)  # a small one tells nothing of missing directions
    cone = f"missing cone{f' of {largest.count}' * (len(batches) > 1)}: {_degrees(largest)}"
    axes.set_title(f"{sum(counts)} particles; {cone}", fontsize=10)


def drawByDirection(figure: Figure, made: Any) -> None:
    """The resolution about each axis, at both of its ends. Raises ValueError if none was measured."""
    if not made.by_direction:
        raise ValueError(
            "There is no resolution by direction: the half-maps agree nowhere, or the run is older than this panel."
        )
    ends = np.array(made.by_direction, float)
    found, known = ends[:, 2], np.isfinite(ends[:, 2])
    other = np.c_[ends[:, 0] + 180, 180 - ends[:, 1], found]
    axes = _drawOnSphere(figure, np.concatenate([ends, other]), "Resolution (Å)")
    span = f"{contract.span(found[known])} Å" if known.any() else "nothing resolved"
    unknown = f"; unknown about {len(known) - known.sum()} of {len(known)} axes" * bool(not known.all())
    axes.set_title(f"{span}{unknown}; missing cone: {_degrees(made)}", fontsize=10)


def _degrees(made: Any) -> str:
    return "unknown" if made.missing_cone is None else f"{made.missing_cone:.0f}°"


def _drawOnSphere(figure: Figure, rows: Any, words: str) -> Axes:
    """rows: (n, 3) rot, tilt in degrees, number, which words explain."""
    rot, tilt, values = np.transpose(rows)
    axes = figure.add_subplot(projection="mollweide")
    longitude = np.mod(np.deg2rad(rot) + np.pi, 2 * np.pi) - np.pi
    dots = axes.scatter(longitude, np.deg2rad(90 - tilt), c=values, s=400, cmap="viridis", plotnonfinite=True)
    figure.colorbar(dots, ax=axes, shrink=0.7, label=words)
    labelSphere(axes)
    return axes


def mapSlicesView(viewer: Any, volume: Volume) -> Any:
    notes = list(filter(None, [withoutChecksum(volume.getObjComment() or "")]))
    maps = dict({"map": volume.getFileName()}, **{f"half-map {n}": p for n, p in enumerate(halfMapsOf(volume), 1)})
    return viewer.window(LinkedMapsWindow, {"map": maps}, str(volume), notes, None, volume.getSamplingRate())
