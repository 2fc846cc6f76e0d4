# SPDX-License-Identifier: GPL-3.0-or-later
"""Tomograms slice by slice, with labels, scores or coordinates over them."""

import collections
import math
import tkinter as tk
from tkinter import ttk
from typing import Any, Dict, List, Optional, Sequence, Tuple

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch
from pwem.objects import EMSet
from tomo.constants import BOTTOM_LEFT_CORNER
from tomo.objects import SetOfCoordinates3D

from ...convert.tomograms.tomograms import (
    THRESHOLD,
    Q,
    byId,
    clonesOf,
    featureOf,
    featuresOf,
    idOf,
    speciesOf,
    tomogramFileOf,
)
from ...engine.cryodl.contract import counted
from ..micrograph_window import MicrographWindow, Pictures
from ..plots import LARGEST_SIDE, PICK_COLOUR, Axes, Preview, drawCircles, percentilesOf, readMap, stretchedTo

# Paul Tol's bright colours, for the colour-blind; as in the engine's scripts for ChimeraX, so that both look alike.
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
CROWD, _DOT = 200, 1.5  # circles in a slice; px of the tomogram


def labelColour(label: int) -> str:
    """label: 1, 2, ...; 255 is what nobody annotated."""
    return "#888888" if label == NOT_ANNOTATED else COLOURS[(label - 1) % len(COLOURS)]


def labelName(label: int, names: Sequence[str]) -> str:
    named = f"{label} {names[label - 1]}" if label <= len(names) else f"label {label}"
    return "not annotated" if label == NOT_ANNOTATED else named


def drawLabels(axes: Any, labels: np.ndarray, names: Any, extent: Any, opacity: float) -> None:
    """A slice of labels, each in its colour, 0 clear; and a legend of those that are named or seen.

    labels: (h, w) int. extent: of matplotlib, the tomogram's. opacity: 0 to 1."""
    seen, rgba = [label for label in np.unique(labels) if label > 0], np.zeros(labels.shape + (4,))
    for label in seen:
        rgba[labels == label] = to_rgb(labelColour(label)) + (opacity,)
    axes.imshow(rgba, extent=extent, interpolation="nearest")
    listed = sorted(set(range(1, len(names) + 1)) | set(seen))
    _addLegend(axes, [(labelColour(label), labelName(label, names)) for label in listed])


def _addLegend(axes: Any, lines: Sequence[Tuple[Any, str]]) -> None:
    handles, look = [Patch(color=colour, label=text) for colour, text in lines], dict(facecolor="black", framealpha=0.7)
    if handles:
        axes.legend(handles=handles, loc="upper right", labelcolor="white", **look)


def drawScores(axes: Any, scores: np.ndarray, name: str, extent: Any, opacity: float, threshold: float) -> None:
    """A slice of scores as a heat map of those that reach the threshold. scores: (h, w) 0 to 1."""
    shown, heat = np.ma.masked_less(np.nan_to_num(scores), max(threshold, 1e-6)), matplotlib.colormaps["inferno"]
    axes.imshow(shown, cmap=heat, vmin=0, vmax=1, alpha=opacity, extent=extent, interpolation="nearest")
    values = np.unique(np.round([threshold, (1 + threshold) / 2, 1.0], 2))
    _addLegend(axes, [(heat(value), f"{name} {value:.2f}") for value in values])


def drawPoints(axes: Axes, circles: Any, species: Sequence[int] = (), names: Sequence[str] = ()) -> None:
    """Positions near a slice, in a colour for each species, with a legend where there are several.

    circles: (n, 3) x, y, radius in px; dots are drawn if there are more than CROWD of them, which would hide the slice.
    species: (n,) positions in names. names: of all species of the tomograms."""
    several = len(names) > 1
    colours: Any = [labelColour(number + 1) for number in species] if several else PICK_COLOUR
    if len(circles) > CROWD:
        drawCircles(axes, [(x, y, min(radius, _DOT)) for x, y, radius in circles], colours, colours, 0.4)
    else:
        drawCircles(axes, circles, colours)
    if several and axes.get_legend() is None:
        _addLegend(axes, [(labelColour(number), name) for number, name in enumerate(names, 1)])


LABELS, SCORES = "labels", "scores"
PLANES = {"z": 0, "y": 1, "x": 2}  # name of the axis that a slice lies across: axis of the array
_SAMPLED = 3  # slices whose greys decide the contrast of all
NOT_ANNOTATED = 255

# name: in the list; kind: LABELS or SCORES; files: {tsId: path}; names: of labels 1, 2, ...; threshold: of scores
Layer = collections.namedtuple("Layer", "name kind files names threshold")


def layerOf(masks: EMSet, name: Optional[str] = None) -> Any:
    """Layer of a SetOfTomoMasks. name: in the list, default what the set says of itself."""
    feature, files = featureOf(masks), {idOf(item): item.getFileName().split(":")[0] for item in clonesOf(masks)}
    if feature:
        return Layer(name or feature, SCORES, files, [feature], masks.getAttributeValue(THRESHOLD, 0.5))
    return Layer(name or "labels", LABELS, files, featuresOf(masks), None)


class TomogramSlices(Pictures):
    """What a window on tomograms shows.

    files: {tsId: path of the tomogram, None if nobody knows it}. layers: [Layer]. points: {tsId: (n, 3) x, y, z px}.
    pixelSize: Å/px. diameter: of the circles at points, px. species, q: {tsId: [name or q-value of each point]}, of
    points that say what they are, or have q-values; of these is the slider, unless there are scores."""

    def __init__(
        self,
        files: Dict[str, Optional[str]],
        layers: Sequence["Layer"] = (),
        points: Optional[Dict[str, np.ndarray]] = None,
        pixelSize: float = 1.0,
        diameter: int = 10,
        species: Optional[Dict[str, List[str]]] = None,
        q: Optional[Dict[str, List[float]]] = None,
    ) -> None:
        Pictures.__init__(self, list(files))
        self.files, self.layers, self.points = files, list(layers), points or {}
        self._species, self._contrasts = species or {}, {}
        self.speciesNames = sorted({name for names in self._species.values() for name in names})
        self.pixelSize, self.diameter = pixelSize, diameter
        self._q = {} if any(layer.kind == SCORES for layer in layers) else q or {}
        if self._q:
            # four decimals, which a slider can hold; not below a q-value, so that its point is still kept
            low, high = (math.ceil(end(map(end, self._q.values())) * 1e4 - 1e-6) / 1e4 for end in (min, max))
            look = dict(resolution=0.0001, label="Maximum share of look-alikes (q)")
            self.slider, self.threshold = dict(from_=low, to=high, **look), high

    @classmethod
    def ofTomograms(cls, tomograms: EMSet, masks: EMSet = (), coordinates: Optional[SetOfCoordinates3D] = None) -> Any:
        """Of a SetOfTomograms, with sets of masks (or Layers) of it and a SetOfCoordinates3D."""
        layers = [one if isinstance(one, Layer) else layerOf(one) for one in masks]
        files = {idOf(item): tomogramFileOf(item) for item in clonesOf(tomograms)}
        points, *known = [{}] if coordinates is None else pointsOf(coordinates)
        diameter = 10 if coordinates is None else coordinates.getBoxSize() or 10
        return cls(files, layers, points, tomograms.getSamplingRate(), diameter, *known)

    @classmethod
    def ofCoordinates(cls, coordinates: SetOfCoordinates3D, masks: EMSet = ()) -> Any:
        """In their tomograms, or masks, which they may belong to themselves."""
        return cls.ofTomograms(coordinates.getPrecedents(), masks, coordinates)

    def layer(self, name: str) -> Optional["Layer"]:
        return next((layer for layer in self.layers if layer.name == name), None)

    def shape(self, tsId: str) -> Tuple[int, int, int]:
        """(z, y, x) of a tomogram; without one, of the first layer that has it."""
        return self._volume(tsId).shape

    def slice(self, tsId: str, axis: int, index: int) -> Any:
        """Preview of a slice of the tomogram, in greys that are those of the whole. axis: of the array [z, y, x]."""
        volume = self._volume(tsId)
        image, step = sliceOf(volume, axis, index, average=True)
        if self.files[tsId] is None:
            image = np.zeros(image.shape)
        height, width = np.delete(volume.shape, axis)
        return Preview(stretchedTo(image, self._contrast(tsId)), step, int(width), int(height))

    def overlay(self, tsId: str, layer: "Layer", axis: int, index: int) -> Optional[np.ndarray]:
        """(h, w) labels, or scores from 0 to 1, at a slice; None where the layer has no volume of this tomogram."""
        if layer is None or tsId not in layer.files:
            return None
        own, volume = self.shape(tsId), readMap(layer.files[tsId])
        # masks of other packages may be binned otherwise than the tomogram; the two cover the same space
        position = min(volume.shape[axis] - 1, int((index + 0.5) * volume.shape[axis] / own[axis]))
        image, _ = sliceOf(volume, axis, position, average=False)
        if layer.kind == LABELS:
            return image.astype(int)
        return image / 100 if np.issubdtype(volume.dtype, np.integer) else image  # int8 scores go from 0 to 100

    def counts(self, value: float) -> Any:
        return np.array([self.kept(name, value).sum() for name in self.names]) if self._q else None

    def kept(self, tsId: str, q: float) -> np.ndarray:
        """(n,) bool: which points of a tomogram have at most this q-value; all if they have none."""
        return np.array(self._q.get(tsId, [-1.0] * len(self.points.get(tsId, ()))), float) <= q

    def near(self, tsId: str, axis: int, index: int, q: float = 1.0) -> Tuple[np.ndarray, List[int]]:
        """Kept points whose circles a slice cuts: (n, 3) position from left to right and from top to bottom, and radius
        of the circle here (px); and [place in speciesNames], 0 for all where the points do not say what they are."""
        points, names = np.reshape(self.points.get(tsId, ()), (-1, 3)), self._species.get(tsId)
        away = points[:, 2 - axis] - index
        near = np.flatnonzero((np.abs(away) < self.diameter / 2) & self.kept(tsId, q))
        across, down = [n for n in (2, 1, 0) if n != axis]  # axes of the array that run right and down
        radii = np.sqrt((self.diameter / 2) ** 2 - away[near] ** 2)
        species = [self.speciesNames.index(names[n]) if names else 0 for n in near]
        return np.column_stack([points[near, 2 - across], points[near, 2 - down], radii]), species

    def _volume(self, tsId: str) -> np.ndarray:
        path = self.files[tsId] or next((layer.files[tsId] for layer in self.layers if tsId in layer.files), None)
        if path is None:
            raise ValueError(f"There is neither a tomogram nor a mask of {tsId}.")
        return readMap(path)

    def _contrast(self, tsId: str) -> Tuple[float, float]:
        """Black and white value of a tomogram, from some of its slices: one slice alone would flicker."""
        if tsId not in self._contrasts:
            volume = self._volume(tsId)
            positions = np.linspace(0, len(volume) - 1, _SAMPLED + 2).astype(int)[1:-1]
            self._contrasts[tsId] = percentilesOf(np.array([sliceOf(volume, 0, p, average=True)[0] for p in positions]))
        return self._contrasts[tsId]


def sliceOf(volume: np.ndarray, axis: int, index: int, average: bool, maximum: int = LARGEST_SIDE) -> Any:
    """((h, w) float32 of at most `maximum` px a side, px of the volume per px of it) of a slice.

    volume: memory-mapped. average: over blocks; else, and across x, where neighbours lie far apart, each n-th voxel."""
    image = np.moveaxis(volume, axis, 0)[int(np.clip(index, 0, volume.shape[axis] - 1))]
    step = max(1, -(-max(image.shape) // maximum))
    if axis == 2 or not average or step == 1:
        return np.array(image[::step, ::step], np.float32), step
    height, width = (-(-side // step) for side in image.shape)
    padded = np.pad(image, ((0, height * step - image.shape[0]), (0, width * step - image.shape[1])), mode="edge")
    return padded.reshape(height, step, width, step).mean(axis=(1, 3), dtype=np.float32), step


def pointsOf(coordinates: SetOfCoordinates3D) -> Any:
    """({tsId: (n, 3) x, y, z px of the tomogram, from the first voxel's centre}, {tsId: [species of each]}, {tsId:
    [q-value of each]}) of a SetOfCoordinates3D; the second or third is {} if an item does not have it."""
    tomograms, rows = byId(coordinates.getPrecedents()), {}
    for item in coordinates.iterItems():
        if item.getTomoId() in tomograms:
            item.setVolume(tomograms[item.getTomoId()])
            row = item.getPosition(BOTTOM_LEFT_CORNER), speciesOf(item, None), item.getAttributeValue("_" + Q, None)
            rows.setdefault(item.getTomoId(), []).append(row)
    points, *known = ({tsId: [row[n] for row in found] for tsId, found in rows.items()} for n in range(3))
    known = [{} if any(None in values for values in each.values()) else each for each in known]
    return {tsId: np.array(positions, float) for tsId, positions in points.items()}, *known


_NOTHING = "nothing"
_AXES = {"z": "x to the right, y up", "y": "x to the right, z up", "x": "y to the right, z up"}


def addPlanes(window: Any, row: Any, text: str) -> Any:
    """Buttons for the axis that slices lie across, and a slider for the slice; window.turn and window.move are called
    when they change. Returns Tk's variables of both, and the slider."""
    across, number = tk.StringVar(window.root, "z"), tk.IntVar(window.root)
    ttk.Label(row, text=text).pack(side=tk.LEFT)
    window.addButtons(row, PLANES, across, window.turn)
    return across, number, window.addSlider(row, 0, 1, window.move, 6, variable=number)


class SlicesWindow(MicrographWindow):
    """data: TomogramSlices. accept: for wizards, takes {name of a score layer: threshold}. first: name of the layer to
    show first, default the first one. subset: see MicrographWindow."""

    _LIST, _NONE, _UPWARDS = "Tomograms", "There are no tomograms.", True

    _position: Any = None
    _problem: Any = None
    _shownId: Any = None
    _view: Any = None

    def __init__(
        self, parent: Any, data: Any, title: str, accept: Any = None, first: Any = None, subset: Any = None
    ) -> None:
        self._data, self._plane, names = data, "z", [layer.name for layer in data.layers]
        self._thresholds = {layer.name: layer.threshold for layer in data.layers if layer.kind == SCORES}
        self._layer = first or (names[0] if names else _NOTHING)
        slider = dict(from_=0, to=1, resolution=0.01, label="Score threshold") if self._thresholds else data.slider
        take = accept and (lambda value: accept(dict(self._thresholds)))
        MicrographWindow.__init__(self, parent, data, title, slider, self._threshold(), take, subset)

    def _addControls(self, slider: Any) -> None:
        self._chosen, self._opacity = tk.StringVar(self.root, self._layer), tk.DoubleVar(self.root, 0.5)
        row = self.addRow(padding=(6, 4, 6, 0))
        self._across, self._slice, self._scale = addPlanes(self, row, "Slices across")
        if self._data.layers:
            row, names = self.addRow(padding=(6, 0)), [layer.name for layer in self._data.layers] + [_NOTHING]
            self.addChoice(row, "Overlay", self._chosen, names, 24, self.choose)
            ttk.Label(row, text="Opacity").pack(side=tk.LEFT, padx=(12, 4))
            opacity = ttk.Scale(row, variable=self._opacity, from_=0, to=1, command=lambda value: self.refresh())
            opacity.pack(side=tk.LEFT, fill=tk.X, expand=True)
        MicrographWindow._addControls(self, slider)

    def turn(self) -> None:
        self._plane, self._position, self._view = self._across.get(), None, None
        self.showMicrograph()

    def move(self) -> None:
        if self._slice.get() != self._position and self._axes is not None:
            self._position, self._view = self._slice.get(), (self._axes.get_xlim(), self._axes.get_ylim())
            self.showMicrograph()

    def choose(self) -> None:
        self._layer = self._chosen.get()
        self.value.set(self._threshold())
        self.refresh()

    def refresh(self) -> None:
        if self._layer in self._thresholds:
            self._thresholds[self._layer] = self.value.get()
            self._sliding.pack(fill=tk.X)
        elif self._thresholds and self._accept is None:
            self._sliding.pack_forget()  # labels have no threshold
        MicrographWindow.refresh(self)

    def _threshold(self) -> Any:
        return self._thresholds.get(self._layer, next(iter(self._thresholds.values()), self._data.threshold))

    def _load(self, index: int) -> Any:
        tsId = self._data.names[index]
        if tsId != self._shownId:
            self._shownId, self._view = tsId, None
        slices = self._data.shape(tsId)[PLANES[self._plane]]
        self._position = slices // 2 if self._position is None else min(self._position, slices - 1)
        self._scale.config(to=slices - 1)
        self._slice.set(self._position)
        return self._data.slice(tsId, PLANES[self._plane], self._position)

    def _look(self) -> None:
        if self._view is not None:
            for axes, _ in self._shown():
                axes.set(xlim=self._view[0], ylim=self._view[1])

    def _drawOn(self, axes: Axes) -> None:
        layer, here = self._data.layer(self._layer), (self._shownId, PLANES[self._plane], self._position)
        extent = (-0.5, self._preview.width - 0.5, self._preview.height - 0.5, -0.5)
        try:
            image, self._problem = self._data.overlay(self._shownId, layer, *here[1:]), None
        except (ValueError, OSError) as error:
            image, self._problem = None, str(error)
        if image is not None and layer.kind == SCORES:
            drawScores(axes, image, layer.name, extent, self._opacity.get(), self.value.get())
        elif image is not None:
            drawLabels(axes, image, layer.names, extent, self._opacity.get())
        circles, species = self._near = self._data.near(*here, self.value.get())
        drawPoints(axes, circles, species, self._data.speciesNames)

    def _text(self) -> str:
        if self._preview is None:
            return ""
        tsId = self._shownId
        parts = [
            f"{self._plane} = {self._position} of {self._data.shape(tsId)[PLANES[self._plane]]} (px of "
            f"{self._data.pixelSize:.4g} Å), {_AXES[self._plane]}"
        ]
        if self._data.points:
            kept = counted(self._data.kept(tsId, self.value.get()).sum(), "point")
            parts.append(f"{len(self._near[0])} of {kept} in this slice")
        if self._data.slider is not None:
            kept, every = self._data.counts(self.value.get()), sum(map(len, self._data.points.values()))
            parts.append(f"{kept.sum()} of {every} kept in all tomograms")
        layer = self._data.layer(self._layer)
        if layer is not None and tsId not in layer.files:
            parts.append(f"{layer.name}: none for this tomogram")
        if self._data.files[tsId] is None:
            parts.append("the tomogram's file does not exist")
        return "; ".join(parts + [self._problem] * bool(self._problem))
