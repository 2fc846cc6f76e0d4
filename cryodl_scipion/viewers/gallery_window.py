# SPDX-License-Identifier: GPL-3.0-or-later
"""Many particles at a time, raw beside denoised, sorted by what is known of them; a click shows one large."""

import functools
import os
import re
import tkinter as tk
from tkinter import ttk
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
from pwem.objects import SetOfClasses2D, SetOfCTF, SetOfMicrographs, SetOfParticles
from pwem.viewers.viewers_data import RegistryViewerConfig

from ..convert.arriving import firstOf
from ..convert.micrographs import ctfs
from ..convert.particles import classes2d, denoised, results
from ..convert.particles.particles import locationOf, rowsOf
from ..convert.reading import mapped
from ..engine.cryodl.contract import absent, counted
from . import plots, window


def drawTiles(
    axes: plots.Axes, tiles: Any, captions: Sequence[str], columns: Any, pale: Any = None, seen: Any = None
) -> Any:
    """Tiles in rows, each with its caption below. tiles: list of lists of (h, w) images that stand side by side. pale:
    which of them are. seen: Å from side to side of one image, for a scale bar on the first one.

    Returns (width, height) of a tile with its strip, in the axes' units, for tileAt."""
    axes.clear()
    axes.set_axis_off()
    if not tiles:
        axes.text(0.5, 0.5, "No particles", ha="center", transform=axes.transAxes)
        return 1, 1
    pictures = [sideBySide(images) for images in tiles]
    height, width = pictures[0].shape
    gap = max(4, width // 24)
    tile = width + gap, height + int(height * 0.16) + gap  # a strip for the caption
    page = np.ones((-(-len(pictures) // columns) * tile[1], columns * tile[0]))
    for position, (picture, caption) in enumerate(zip(pictures, captions)):
        x, y = position % columns * tile[0], position // columns * tile[1]
        left = 0.3 if pale and pale[position] else 1.0  # of the contrast
        page[y : y + height, x : x + width] = 1 - left + left * picture
        axes.text(x + width / 2, y + height + gap / 4, caption, ha="center", va="top", fontsize=8)
    axes.imshow(page, cmap="gray", vmin=0, vmax=1, interpolation="antialiased")
    axes.set(xlim=(-0.5, page.shape[1] - 0.5), ylim=(page.shape[0] - 0.5, -0.5))
    if seen:
        first = tiles[0][0].shape[1]
        plots.drawBar(axes, seen / first, (0, 1 - height / len(page), first / page.shape[1], height / len(page)))
    return tile


def tileAt(x: float, y: float, tile: Any, columns: Any, count: Any) -> Any:
    column, row = int(x // tile[0]), int(y // tile[1])
    position = row * columns + column
    return position if 0 <= column < columns and 0 <= position < count else None


def readParticle(name: str) -> Any:
    """(h, w) float32 image of '000012@stack.mrcs', read from the disk alone, whatever the stack's size.

    Raises FileNotFoundError, or ValueError that names the image and what is wrong."""
    number, path = locationOf(name)
    if not os.path.exists(path):
        raise FileNotFoundError(f"The image stack {path} {absent(path)}.")
    try:
        data = mapped(path)
        images = [] if data is None else data if data.ndim == 3 else data[None]
        if number > len(images):
            raise ValueError(f"it holds {len(images)} images")
        return np.array(images[number - 1], np.float32)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"Image {number} of {path} cannot be read: {error}") from None


def lowPass(image: np.ndarray, resolution: Optional[float], pixelSize: float) -> Any:
    """The image without detail finer than `resolution` Å (a soft edge of a fifth of it); 0 or None leaves all."""
    if not resolution:
        return image
    ys, xs = np.fft.fftfreq(image.shape[0], pixelSize)[:, None], np.fft.rfftfreq(image.shape[1], pixelSize)[None]
    keep = 0.5 + 0.5 * np.cos(np.pi * np.clip((np.hypot(ys, xs) * resolution - 0.9) / 0.2, 0, 1))
    return np.fft.irfft2(np.fft.rfft2(image) * keep, s=image.shape)


def sideBySide(images: Sequence[np.ndarray]) -> Any:
    """(h, w) in [0, 1]: images of one height in a row, each stretched to its own greys, white lines between."""
    return np.hstack([part for image in images for part in (plots.stretch(image), np.ones((image.shape[0], 2)))][:-1])


def meanOf(names: Sequence[str]) -> Any:
    """(h, w) mean of images; what all particles have in common before they are aligned. names: '000012@stack.mrcs'."""
    return sum(readParticle(name) for name in names) / max(1, len(names))


# Columns of the engine that say how sure an orientation is, and that the image shows the structure, in words.
SCORES = {
    "cryodlScore": "Score",
    "cryodlMargin": "Margin to the runner-up",
    "rlnMaxValueProbDistribution": "Probability of the orientation",
    "cryodlExplained": "Explained by the structure",
}
RAW, DENOISED, GROUND_TRUTH = "raw", "denoised", "ground truth"
# Attributes of items that a gallery is sorted by, the largest value first.
_LABELS = dict(
    {"_" + name: label for name, label in SCORES.items()}, _cryodlDenoisedStrength="Strength of the denoised image"
)
_PROBABILITY = re.compile(r"_cryodlProbability(\d+)$")
# Scipion's table of a set hides what is not named here; what a set has not got, it leaves out.
for made, columns in (
    (SetOfClasses2D, (classes2d.SCORE, classes2d.RESOLUTION)),
    (SetOfParticles, (*_LABELS, classes2d.SIGNAL, *(results.PROBABILITY % n for n in range(1, 10)))),
    (SetOfCTF, (ctfs.STRENGTH,)),
    (SetOfMicrographs, (*ctfs.METRICS, ctfs.REASON)),
):
    table = RegistryViewerConfig.getConfig(made) or {}
    table.update({what: " ".join((table[what], *columns)) for what in ("order", "visible") if what in table})
_OTHERS_SIDE = 512  # px; larger images are averaged for the window


class Gallery:
    """names: {kind: [image names]}, kinds in the order in which they stand side by side. ids: (n,) of the particles.

    pixelSize: Å/px. metrics: {label: (n,) numbers}. groups: (n,) int or None; groupNames: of the groups 1, 2, ..."""

    # Words of the window: what an item is, what its group is, and what the filter is for ('' for no filter).
    ITEM, GROUP, FILTER = "Particle", "Composition", "Low-pass filter of raw images (Å, 0: none)"
    WORDS = {
        RAW: "raw (the data)",
        DENOISED: "denoised (the denoiser's prediction)",
        GROUND_TRUTH: "ground truth (no noise, no CTF)",
    }

    # Å from side to side of the image that was read last.
    seen: Any = None
    # Whether the first row is at the bottom, as of tomograms and maps (engine/cryodl/contract/frames.py).
    UPWARDS = False

    def __init__(
        self, names: Any, ids: Any, pixelSize: Any, metrics: Any = None, groups: Any = None, groupNames: Any = ()
    ) -> None:
        self.names, self.ids, self.pixelSize = names, np.asarray(ids), pixelSize
        self.metrics, self.groups, self.groupNames = metrics or {}, groups, list(groupNames)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def ofSet(cls, particles: SetOfParticles, groupNames: Any = (), ground_truth: Any = None) -> Any:
        """Of a SetOfParticles; its items are asked in one query, since a set may have a million.

        groupNames: names of classes 1, 2, ..., if the items' classes are to be told apart. ground_truth: SetOfParticles
        with the same ids, clean images to stand beside. Raises ValueError for an empty set."""
        first = firstOf(particles)
        if first is None:
            raise ValueError("The set of particles is empty.")
        known = [name for name, _ in first.getAttributes()]
        # what says most comes first: it is what a window sorts by
        named = sorted(known, key=lambda n: (not (groupNames and _PROBABILITY.match(n)), [*_LABELS, n].index(n)))
        labels = {name: label for name, label in ((n, _labelOf(n, groupNames)) for n in named) if label}
        rows = rowsOf(particles, [*labels, *(n for n in (denoised.RAW_IMAGE, "_classId") if n in known)])
        names = {RAW: [row[denoised.RAW_IMAGE] for row in rows]} if denoised.RAW_IMAGE in known else {}
        names[DENOISED if names else RAW] = [row["image"] for row in rows]
        if ground_truth is not None:
            names[GROUND_TRUTH] = [row["image"] for row in rowsOf(ground_truth)]
        metrics = {label: np.array([row[name] for row in rows], float) for name, label in labels.items()}
        groups = np.array([row["_classId"] or 0 for row in rows], int) if groupNames else None
        return cls(names, [row["id"] for row in rows], particles.getSamplingRate(), metrics, groups, groupNames)

    def order(self, figure: Any = None, group: int = 0) -> np.ndarray:
        """Positions of the particles, best first. figure: label, None for the set's order. group: 0 for all."""
        chosen = np.arange(len(self)) if not group else np.flatnonzero(self.groups == group)
        if figure is None:
            return chosen
        return chosen[np.argsort(-np.nan_to_num(self.metrics[figure][chosen], nan=-np.inf), kind="stable")]

    def pictures(self, position: int, resolution: Optional[float] = None, side: float = _OTHERS_SIDE) -> Any:
        """As images, with the row first that is drawn on top."""
        return [image[:: -1 if self.UPWARDS else 1] for image in self.images(position, resolution, side)]

    def images(self, position: Any, resolution: Any = None, side: Any = _OTHERS_SIDE) -> Any:
        """The images of one particle, in the order of the kinds; the raw one filtered to `resolution` Å if given."""
        found = [readParticle(names[position]) for names in self.names.values()]
        found[0] = lowPass(found[0], resolution, self.pixelSize)
        self.seen = found[0].shape[1] * self.pixelSize
        return [plots.shrunk(image, side) for image in found]

    def lines(self, position: int) -> List[str]:
        lines = [f"{self.ITEM} {self.ids[position]}", *self._positions(position)]
        lines += [f"{label}: {values[position]:.4g}" for label, values in self.metrics.items()]
        if self.groups is not None and 0 < self.groups[position] <= len(self.groupNames):
            lines.append(f"{self.GROUP}: {self.groupNames[self.groups[position] - 1]}")
        return lines

    def _positions(self, position: int) -> List[str]:
        return [f"{kind.capitalize()} image: {placeOf(names[position])}" for kind, names in self.names.items()]

    def caption(self, position: Any, figure: Any) -> str:
        return f"{self.ids[position]}" + ("" if figure is None else f"   {shortNumber(self.metrics[figure][position])}")


def placeOf(name: str) -> str:
    """'12 of particles.mrcs' of '000012@Runs/.../particles.mrcs': folders of runs say nothing to a user."""
    number, at, path = name.rpartition("@")
    return f"{int(number)} of {os.path.basename(path)}" if at else os.path.basename(path)


def shortNumber(value: float) -> str:
    """Three digits, or as many as stand before the point: '0.83', '2830'; never '2.83e+03'."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def pageOf(order: Any, page: int, size: int) -> Any:
    """Part of `order` on a page (0, 1, ...), the number of pages, at least 1, and the page; past the end the last."""
    pages = max(1, -(-len(order) // size))
    page = min(max(0, page), pages - 1)
    return order[page * size : (page + 1) * size], pages, page


def _labelOf(attribute: str, groupNames: Sequence[str]) -> Optional[str]:
    """What an attribute is called in a gallery, None if it is no figure."""
    match = _PROBABILITY.match(attribute)
    if not match:
        return _LABELS.get(attribute)
    number = int(match.group(1))
    return f"Probability of {groupNames[number - 1] if number <= len(groupNames) else f'composition {number}'}"


_AS_THEY_ARE, _ALL = "as in the set", "all"
_GRID = {1: (10, 5), 2: (6, 6), 3: (4, 6)}  # columns and rows of a page, by the images that stand side by side


class PagedWindow(window.CanvasWindow):
    """Tiles on pages. A child gives, beside _addControls(row, the frame below it):

    _grid(number of all tiles): columns and rows of a page. order(): positions of what is shown. _tileOf(number in the
    order, position): images side by side, and the caption. _words(): the message. _counted(order): what follows the
    number of pages. _isPale(position): whether it is not kept. open(position): of what was clicked."""

    _addControls: Any
    _grid: Any
    order: Any
    _tileOf: Any
    _words: Any
    open: Any
    _counted: Any = staticmethod(lambda order: "")
    _isPale: Any = staticmethod(lambda position: False)

    def __init__(self, parent: Any, data: Any, title: str, size: Tuple[float, float]) -> None:
        window.CanvasWindow.__init__(self, parent, title)
        self._data, self._page, self._columns, self._shown, self._tile = data, 0, 1, [], (1, 1)
        self.message, self._position = tk.StringVar(self.root), tk.StringVar(self.root)
        row = self.addRow()
        self._addControls(row, self.addRow(padding=0))
        for text, step in (("Next", 1), ("Back", -1)):
            ttk.Button(row, text=text, command=functools.partial(self.turn, step)).pack(side=tk.RIGHT, padx=2)
        ttk.Label(row, textvariable=self._position).pack(side=tk.RIGHT, padx=8)
        self.addFigure(size)
        self._axes = self._figure.add_axes((0.01, 0.01, 0.98, 0.98))
        self._canvas.mpl_connect("button_press_event", self._clicked)
        self.refresh()

    def _clicked(self, event: Any) -> None:
        if event.inaxes is self._axes and event.xdata is not None:
            place = tileAt(event.xdata, event.ydata, self._tile, self._columns, len(self._shown))
            if place is not None:
                self.open(self._shown[place])

    def turn(self, step: int) -> None:
        self._page += step
        self.refresh()

    def refresh(self) -> None:
        order = self.order()
        self._columns, rows = self._grid(len(order))
        size = self._columns * rows
        self._shown, pages, self._page = pageOf(order, self._page, size)
        self._position.set(f"Page {self._page + 1} of {pages}{self._counted(order)}")
        self.message.set(self._words())
        try:
            found = [self._tileOf(number, i) for number, i in enumerate(self._shown, self._page * size)]
        except (ValueError, OSError) as error:
            self._shown = []
            self._axes.clear()
            self._axes.text(0.5, 0.5, str(error), ha="center", wrap=True)
        else:
            tiles, captions = [images for images, _ in found], [caption for _, caption in found]
            pale = [self._isPale(position) for position in self._shown]
            self._tile = drawTiles(self._axes, tiles, captions, self._columns, pale, self._data.seen)
        self._canvas.draw_idle()


class GalleryWindow(PagedWindow):
    """data: Gallery. figure: label to sort by at first, None for the set's order. subset: function of ids that starts a
    run which makes a set of them, and says so in one sentence; None for none."""

    def __init__(self, parent: Any, data: Any, title: str, figure: Any = None, subset: Any = None) -> None:
        self._subset, self._figureFirst = subset, figure
        PagedWindow.__init__(self, parent, data, title, (12, 7.6))

    def _addControls(self, row: Any, below: Any) -> None:
        self._first = tk.IntVar(self.root, len(self._data))
        self._sortedBy = tk.StringVar(self.root, self._figureFirst or _AS_THEY_ARE)
        self._group, self._filter = tk.StringVar(self.root, _ALL), tk.StringVar(self.root, "0")
        self.addChoice(row, "Sorted by", self._sortedBy, [_AS_THEY_ARE, *self._data.metrics], 26, self.again)
        if self._data.groupNames:
            self.addChoice(row, self._data.GROUP, self._group, [_ALL, *self._data.groupNames], 26, self.again)
        kinds = [self._data.WORDS[kind] for kind in self._data.names]
        text = f"From left to right: {', '.join(kinds)}. " if len(kinds) > 1 else ""
        text += f"Click a {self._data.ITEM.lower()} to enlarge it."
        line = self.addRow(below, 0)
        ttk.Label(line, text=text).pack(side=tk.LEFT, padx=8)
        if self._data.FILTER:
            ttk.Label(line, text=self._data.FILTER).pack(side=tk.LEFT, padx=(12, 4))
            self.addEntry(line, 6, self._filter, self.refresh)
        if self._subset is not None:
            self._addSubset(below)

    def _addSubset(self, below: Any) -> None:
        row = self.addRow(below, (6, 2))
        ttk.Label(row, text="Keep the first").pack(side=tk.LEFT)
        self.addEntry(row, 8, self._first, self.refresh, padx=4)
        look = dict(variable=self._first, showvalue=False, length=260, expand=False)
        self._scale = self.addSlider(row, 1, max(1, len(self._data)), self.refresh, 4, **look)
        ttk.Button(row, text="Create subset", command=self.createSubset).pack(side=tk.LEFT, padx=6)
        ttk.Label(row, textvariable=self.message).pack(side=tk.LEFT, padx=6)

    def kept(self) -> int:
        """How many of the items, in the order on show, the slider keeps; a text that is no number keeps all."""
        try:
            number = self._first.get()
        except (tk.TclError, ValueError):
            number = len(self._data)
        return min(max(1, number), len(self.order()))

    def createSubset(self) -> None:
        self.message.set(self._subset([int(self._data.ids[i]) for i in self.order()[: self.kept()]]))

    def again(self) -> None:
        self._first.set(len(self.order()))
        if self._subset is not None:
            self._scale.config(to=max(1, len(self.order())))
        self.turn(-self._page)

    def resolution(self) -> Any:
        """Å that raw images are filtered to; 0 for none. A text that is no such number becomes 0."""
        try:
            value = float(self._filter.get())
        except ValueError:
            value = 0
        value = value if 0 < value < 1e6 else 0
        self._filter.set(f"{value:g}")
        return value

    def _metricLabel(self) -> Any:
        return self._sortedBy.get() if self._sortedBy.get() in self._data.metrics else None

    def order(self) -> Any:
        group = self._group.get()
        return self._data.order(self._metricLabel(), 0 if group == _ALL else self._data.groupNames.index(group) + 1)

    def _grid(self, count: int) -> Tuple[int, int]:
        return _GRID[len(self._data.names)]

    def _counted(self, order: Any) -> str:
        return f", {counted(len(order), self._data.ITEM.lower())}"

    def _tileOf(self, number: int, position: int) -> Tuple[Any, str]:
        caption = self._data.caption(position, self._metricLabel())
        caption += "" if self._subset is None or number < self.kept() else "  (left out)"
        return self._data.pictures(position, self.resolution(), 128), caption

    def _words(self) -> str:
        order, label, kept = self.order(), self._metricLabel(), self.kept()
        text = f"{kept} of {counted(len(order), self._data.ITEM.lower())}"
        if label is not None and len(order):
            text += f", {label.lower()} at least {shortNumber(self._data.metrics[label][order[kept - 1]])}"
        return text

    def open(self, position: int) -> None:
        ParticleWindow(self.root.winfo_toplevel(), self._data, position, self.resolution()).show()


class ParticleWindow(window.CanvasWindow):
    """One particle of a Gallery, each of its images stretched to its own greys, with the place of its raw image."""

    def __init__(self, parent: Any, data: Any, position: int, resolution: float) -> None:
        window.CanvasWindow.__init__(self, parent, f"{data.ITEM} {data.ids[position]}")
        lines, titles = data.lines(position), [data.WORDS[kind] for kind in data.names]
        text = tk.Text(self.root, height=len(lines), font="TkFixedFont", relief=tk.FLAT, padx=8, pady=6)
        text.insert(tk.END, "\n".join(lines))  # a text, so that the position can be copied
        text.config(state=tk.DISABLED)
        text.pack(side=tk.BOTTOM, fill=tk.X)
        self.addFigure((4.6 * len(titles), 4.6))
        titles[0] += f", to {resolution:g} Å" if resolution else ""
        # with so many px no image is averaged
        drawParticle(self._figure, data.pictures(position, resolution, 1 << 20), titles, data.pixelSize)


def drawParticle(figure: plots.Figure, images: Sequence[np.ndarray], titles: Sequence[str], pixelSize: float) -> None:
    for axes, image, title in zip(figure.subplots(1, len(images), squeeze=False)[0], images, titles):
        axes.imshow(plots.stretch(image), cmap="gray", vmin=0, vmax=1, interpolation="antialiased")
        axes.set_title(title)
        axes.set_axis_off()
    plots.drawBar(axes, pixelSize)
    figure.tight_layout()
