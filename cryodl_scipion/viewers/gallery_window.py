# SPDX-License-Identifier: GPL-3.0-or-later
"""Many particles at a time, raw beside denoised, sorted by what is known of them; a click shows one large."""

import functools
import tkinter as tk
from tkinter import ttk
from typing import Any, Callable, Optional, Sequence

from ..engine.cryodl.contract import counted
from .gallery_data import pageOf, shortNumber
from .particle_images import drawParticle, drawTiles, tileAt
from .window import CanvasWindow

_AS_THEY_ARE, _ALL = "as in the set", "all"
_GRID = {1: (10, 5), 2: (6, 6), 3: (4, 6)}  # columns and rows of a page, by the images that stand side by side
_TILE_SIDE = 128  # px


class GalleryWindow(CanvasWindow):
    """data: Gallery. figure: label to sort by at first, None for the set's order. subset: function of ids that starts a
    run which makes a set of them, and says so in one sentence; None for none."""

    def __init__(
        self,
        parent: Any,
        data: Any,
        title: str,
        figure: Any = None,
        subset: Optional[Callable[[Sequence[int]], str]] = None,
    ) -> None:
        CanvasWindow.__init__(self, parent, title)
        self._subset = subset
        self._first, self.message = tk.IntVar(self.root, len(data)), tk.StringVar(self.root)
        self._data, self._page, self._shown, self._tile = data, 0, [], (1, 1)
        self._columns, self._rows = _GRID[len(data.names)]
        self._sortedBy = tk.StringVar(self.root, figure or _AS_THEY_ARE)
        self._group = tk.StringVar(self.root, _ALL)
        self._filter, self._position = tk.StringVar(self.root, "0"), tk.StringVar(self.root)
        self._addControls()
        self.addFigure((12, 7.6))
        self._axes = self._figure.add_axes((0.01, 0.01, 0.98, 0.98))
        self._canvas.mpl_connect("button_press_event", self._clicked)
        self.refresh()

    # ----- parts
    def _addControls(self) -> None:
        row = ttk.Frame(self.root, padding=6)
        row.pack(fill=tk.X)
        self.addChoice(row, "Sorted by", self._sortedBy, [_AS_THEY_ARE, *self._data.metrics], 26, self.again)
        if self._data.groupNames:
            self.addChoice(row, self._data.GROUP, self._group, [_ALL, *self._data.groupNames], 26, self.again)
        if self._data.FILTER:
            ttk.Label(row, text=self._data.FILTER).pack(side=tk.LEFT, padx=(12, 4))
            entry = ttk.Entry(row, width=6, textvariable=self._filter)
            entry.pack(side=tk.LEFT)
            for event in ("<Return>", "<FocusOut>"):
                entry.bind(event, lambda event: self.refresh())
        for text, step in (("Next", 1), ("Back", -1)):
            ttk.Button(row, text=text, command=functools.partial(self.turn, step)).pack(side=tk.RIGHT, padx=2)
        ttk.Label(row, textvariable=self._position).pack(side=tk.RIGHT, padx=8)
        kinds = [self._data.WORDS[kind] for kind in self._data.names]
        text = f"From left to right: {', '.join(kinds)}. " if len(kinds) > 1 else ""
        text += f"Click a {self._data.ITEM.lower()} to enlarge it."
        ttk.Label(self.root, text=text).pack(anchor=tk.W, padx=8)
        if self._subset is not None:
            self._addSubset()

    def _addSubset(self) -> None:
        row = ttk.Frame(self.root, padding=(6, 2))
        row.pack(fill=tk.X)
        ttk.Label(row, text="Keep the first").pack(side=tk.LEFT)
        entry = ttk.Entry(row, width=8, textvariable=self._first)
        entry.pack(side=tk.LEFT, padx=4)
        entry.bind("<Return>", lambda event: self.refresh())
        self._scale = tk.Scale(
            row,
            variable=self._first,
            from_=1,
            to=max(1, len(self._data)),
            orient=tk.HORIZONTAL,
            showvalue=False,
            length=260,
            command=lambda value: self.refresh(),
        )
        self._scale.pack(side=tk.LEFT, padx=4)
        ttk.Button(row, text="Create subset", command=self.createSubset).pack(side=tk.LEFT, padx=6)
        ttk.Label(row, textvariable=self.message).pack(side=tk.LEFT, padx=6)

    def kept(self) -> int:
        """How many of the items, in the order on show, the slider keeps; a text that is no number keeps all."""
        try:
            number = int(self._first.get())
        except (tk.TclError, ValueError):
            number = len(self._data)
        return min(max(1, number), len(self.order()))

    def createSubset(self) -> None:
        """Start a run that makes a set of the items that the slider keeps."""
        if self._subset is not None:
            self.message.set(self._subset([int(self._data.ids[i]) for i in self.order()[: self.kept()]]))

    # ----- what happens
    def again(self) -> None:
        """Begin anew with another order or group, of which all are kept."""
        self._first.set(len(self.order()))
        if self._subset is not None:
            self._scale.config(to=max(1, len(self.order())))
        self.turn(-self._page)

    def turn(self, step: int) -> None:
        """Go some pages forwards or backwards."""
        self._page += step
        self.refresh()

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

    def refresh(self) -> None:
        order = self.order()
        size = self._rows * self._columns
        self._shown, pages = pageOf(order, self._page, size)
        self._page = min(max(0, self._page), pages - 1)
        self._position.set(f"Page {self._page + 1} of {pages}, {counted(len(order), self._data.ITEM.lower())}")
        self.message.set(self._words())
        try:
            tiles = [self._data.pictures(i, self.resolution(), _TILE_SIDE) for i in self._shown]
            captions = [self._caption(number, i) for number, i in enumerate(self._shown, self._page * size)]
        except (ValueError, OSError) as error:
            self._shown = []
            self._axes.clear()
            self._axes.text(0.5, 0.5, str(error), ha="center", wrap=True)
        else:
            self._tile = drawTiles(self._axes, tiles, captions, self._columns)
        self._canvas.draw_idle()

    def _caption(self, number: int, position: int) -> str:
        """What stands below a tile, and whether the slider leaves it out. number: in the order on show."""
        caption = self._data.caption(position, self._metricLabel())
        return caption if self._subset is None or number < self.kept() else f"{caption}  (left out)"

    def _words(self) -> str:
        """What the slider keeps."""
        order, label = self.order(), self._metricLabel()
        text = f"{self.kept()} of {counted(len(order), self._data.ITEM.lower())}"
        if label is None or not len(order):
            return text
        return text + f", {label.lower()} at least {shortNumber(self._data.metrics[label][order[self.kept() - 1]])}"

    def _clicked(self, event: Any) -> None:
        if event.inaxes is self._axes and event.xdata is not None:
            place = tileAt(event.xdata, event.ydata, self._tile, self._columns, len(self._shown))
            if place is not None:
                self.open(self._shown[place])

    def open(self, position: int) -> None:
        """Show one particle large."""
        ParticleWindow(self.root, self._data, position, self.resolution()).show()


class ParticleWindow(CanvasWindow):
    """One particle of a Gallery, with the place of its raw image."""

    def __init__(self, parent: Any, data: Any, position: int, resolution: float) -> None:
        CanvasWindow.__init__(self, parent, f"{data.ITEM} {data.ids[position]}")
        text = tk.Text(self.root, height=len(data.lines(position)), font="TkFixedFont", relief=tk.FLAT, padx=8, pady=6)
        text.insert(tk.END, "\n".join(data.lines(position)))  # a text, so that the position can be copied
        text.config(state=tk.DISABLED)
        text.pack(side=tk.BOTTOM, fill=tk.X)
        self.addFigure((4.6 * len(data.names), 4.6))
        titles = [data.WORDS[kind] for kind in data.names]
        if resolution:
            titles[0] += f", to {resolution:g} Å"
        drawParticle(self._figure, data.pictures(position, resolution), titles)
