# SPDX-License-Identifier: GPL-3.0-or-later
"""A window with a list of micrographs, one micrograph, and a slider; what is drawn on it is the children's."""

import functools
import math
import tkinter as tk
from tkinter import ttk
from typing import Any, List, Tuple

import numpy as np

from . import plots, window

_ZOOM = 1.25  # of one click of the mouse wheel
_CONTRAST = 1.3  # of one press of the key
HINT = "Wheel: zoom. Drag: move. 0: whole image. c, C: contrast. h: hide overlays."


class Pictures:
    """What a MicrographWindow shows. paths: of the micrographs. pixelSize: Å/px, None for no scale bar. first: index to
    begin with. slider: of a MicrographWindow, None for none. threshold: its value to begin with."""

    pixelSize: Any = None
    slider: Any = None
    threshold: Any = 0
    first = 0

    def __init__(self, names: Any, paths: Any = ()) -> None:
        self.names, self.paths = names, paths

    def counts(self, value: float) -> Any:
        """How much each shows at a value of the slider; None where nothing is counted."""

    def preview(self, index: int) -> Any:
        """Preview of the picture with this number. Raises ValueError or OSError that names the file."""
        return plots.loadPreview(self.paths[index])


class MicrographWindow(window.CanvasWindow):
    """Children may give _drawOn(axes), after which all that an earlier call drew is gone, _text(), _labels(), _look().

    parent: tk widget, or None for a window of its own. data: Pictures. slider: dict of from_, to, resolution, label, or
    None for none. accept: function that takes the slider's value; with it there are the buttons Use and Cancel, and
    show() waits. subset: starts a run which keeps what is seen at the slider's value, and says so; or None."""

    _HINT = HINT
    _PAN_BUTTONS: Tuple[int, ...] = (1, 2)  # of the mouse: left, middle
    _SIZE: Tuple[float, float] = (8, 7.2)  # of the drawing, inches
    _LIST = "Micrographs"  # above the list of names
    _NONE = "There are no micrographs."  # the line under the picture where the list is empty
    _UPWARDS = False  # whether the first row is at the bottom, as of tomograms (engine/cryodl/contract/frames.py)

    _axes: Any = None
    _preview: Any = None
    _hidden, _contrast, _held = False, 1.0, None

    def __init__(
        self,
        parent: Any,
        data: Any,
        title: str,
        slider: Any = None,
        value: float = 0,
        accept: Any = None,
        subset: Any = None,
    ) -> None:
        window.CanvasWindow.__init__(self, parent, title)
        self._data, self._accept, self._slider, self._subset = data, accept, slider, subset
        self._beside: List[Any] = []  # (axes, Preview) of pictures that are moved with the first
        self.value, self.message = tk.DoubleVar(self.root, value), tk.StringVar(self.root)
        self._typed = tk.StringVar(self.root)  # the box has a text of its own: Tk's slider cannot hold half a number
        self._addList()
        self.addFigure(self._SIZE, self.addRow(padding=(6, 6, 6, 0), fill=tk.BOTH, expand=True))
        self._listen()
        self._addControls(slider)
        if data.names:
            self._list.selection_set(data.first)
            self._list.see(data.first)
        self.showMicrograph()

    def _addList(self) -> None:
        frame = self.addRow(padding=(6, 6, 0, 6), side=tk.LEFT, fill=tk.Y)
        ttk.Label(frame, text=self._LIST).pack(anchor=tk.W)
        down, across = ttk.Scrollbar(frame), ttk.Scrollbar(frame, orient=tk.HORIZONTAL)
        down.pack(side=tk.RIGHT, fill=tk.Y)
        across.pack(side=tk.BOTTOM, fill=tk.X)
        scrolled: Any = dict(yscrollcommand=down.set, xscrollcommand=across.set)
        self._list = tk.Listbox(frame, width=36, exportselection=False, **scrolled)
        self._list.pack(fill=tk.BOTH, expand=True)
        down.config(command=self._list.yview)
        across.config(command=self._list.xview)
        self._list.bind("<<ListboxSelect>>", lambda event: self.showMicrograph())
        self._list.insert(tk.END, *self._labels())

    def _listen(self) -> None:
        for event, listener in (
            ("scroll_event", self._scroll),
            ("button_press_event", self._press),
            ("motion_notify_event", self._drag),
            ("button_release_event", self._release),
        ):
            self._canvas.mpl_connect(event, listener)
        more, less = (functools.partial(self._changeContrast, factor) for factor in (_CONTRAST, 1 / _CONTRAST))
        for key, function in (("c", more), ("C", less), ("h", self._hide), ("0", self._whole)):
            self.root.bind(f"<KeyPress-{key}>", functools.partial(self._key, function))

    def _addControls(self, slider: Any) -> None:
        frame = self.addRow()
        ttk.Label(frame, textvariable=self.message, wraplength=100 * self._SIZE[0]).pack(anchor=tk.W)  # not wider
        ttk.Label(frame, text=self._HINT, foreground="#666666").pack(anchor=tk.W)
        if slider is None:
            return
        row = self._sliding = self.addRow(frame, 0)
        ttk.Label(row, text=slider["label"]).pack(side=tk.LEFT)
        if self._accept is not None:
            self.addAnswers(row, self.use)
        if self._subset is not None:
            ttk.Button(row, text="Create subset", command=self.createSubset).pack(side=tk.RIGHT, padx=(6, 0))
        self.addEntry(row, 8, self._typed, self.settle, padx=6)
        look = dict(resolution=slider["resolution"], variable=self.value, showvalue=False)
        self.addSlider(row, slider["from_"], slider["to"], self.refresh, **look)

    def _key(self, function: Any, event: Any) -> None:
        if self._preview is not None and not isinstance(event.widget, (tk.Entry, ttk.Entry, tk.Text)):
            function()
            self._canvas.draw_idle()

    def _scroll(self, event: Any) -> None:
        if self._preview is not None and event.inaxes is self._axes:
            self._zoom((event.xdata, event.ydata), self._span() * (_ZOOM if event.button == "down" else 1 / _ZOOM))

    def _press(self, event: Any) -> None:
        if event.button in self._PAN_BUTTONS and event.inaxes is self._axes and self._preview is not None:
            self._held = event.x, event.y, (sum(self._axes.get_xlim()) / 2, sum(self._axes.get_ylim()) / 2)

    def _drag(self, event: Any) -> None:
        if self._held is None or max(abs(event.x - self._held[0]), abs(event.y - self._held[1])) < 4:
            return  # so few px of the screen are a click
        x, y, middle = self._held
        perPixel = self._span() / self._axes.get_window_extent().width
        down = -1 if self._axes.yaxis_inverted() else 1
        self._zoom((middle[0] + (x - event.x) * perPixel, middle[1] + down * (y - event.y) * perPixel), self._span())

    def _release(self, event: Any) -> None:
        self._held = None

    def _span(self) -> Any:
        return np.ptp(self._axes.get_xlim())

    def _whole(self) -> None:
        self._zoom((0, 0), max(self._preview.width, self._preview.height))

    def _zoom(self, centre: Any, span: Any) -> None:
        for axes, preview in self._shown():
            plots.view(axes, preview, centre, span)
        self._seen()

    def _seen(self) -> None:
        if self._data.pixelSize:
            plots.drawBar(self._axes, self._data.pixelSize)
        self._canvas.draw_idle()

    def _shown(self) -> Any:
        return [(self._axes, self._preview), *self._beside]

    def _changeContrast(self, factor: float) -> None:
        self._contrast *= factor
        for axes, _ in self._shown():
            axes.images[0].set_clim(0.5 - 0.5 / self._contrast, 0.5 + 0.5 / self._contrast)

    def _drawn(self) -> Any:
        """All that is drawn on the picture, but for the scale bar."""
        axes = self._axes
        drawn = [*axes.collections, *axes.patches, *axes.lines, *axes.texts, *axes.images[1:], axes.get_legend()]
        return [artist for artist in drawn if artist is not None and artist.get_gid() != plots.BAR]

    def _hide(self) -> None:
        self._hidden = not self._hidden
        for artist in self._drawn():
            artist.set_visible(not self._hidden)

    def use(self) -> None:
        if self.settle():
            self._accept(self.value.get())
            self.root.destroy()

    def createSubset(self) -> None:
        if self.settle():
            self.message.set(self._subset(self.value.get()))

    def settle(self) -> bool:
        """Whether what was typed is taken; a wrong number becomes the last good one, and the line above says so."""
        typed, low, high = self._typed.get(), self._slider["from_"], self._slider["to"]
        if typed == self._number():
            return True
        try:
            number = float(typed)
        except ValueError:
            number = math.nan
        taken = low <= number <= high
        self.value.set(number if taken else self.value.get())
        self.refresh()
        if not taken:
            self.message.set(f"{typed!r} was typed; it must be a number from {low:g} to {high:g}.")
        return taken

    def _number(self) -> str:
        return f"{self.value.get():.10g}"

    def index(self) -> Any:
        return next(iter(self._list.curselection()), None)

    def showMicrograph(self) -> None:
        self._figure.clear()
        self._axes, self._preview, self._beside = None, None, []
        if self.index() is not None:
            try:
                self._preview = self._load(self.index())
                self._axes = self._draw()
                self._look()
            except (ValueError, OSError) as error:
                self._preview = None
                self._figure.text(0.5, 0.5, str(error), ha="center", wrap=True)
        self.refresh()

    def _load(self, index: int) -> Any:
        return self._data.preview(index)

    def _draw(self) -> Any:
        axes = self._figure.add_axes((0, 0, 1, 1))
        plots.drawMicrograph(axes, self._preview, self._UPWARDS)
        return axes

    def _look(self) -> None:
        """Choose what part of a new micrograph is seen; here all of it."""

    def refresh(self) -> None:
        self._typed.set(self._number())
        if self._preview is not None:
            for artist in self._drawn():
                artist.remove()
            self._drawOn(self._axes)
            self._changeContrast(1)
            for artist in self._drawn():
                artist.set_visible(not self._hidden)
            self._seen()
        self.message.set(self._NONE if self.index() is None else self._text())
        self.updateLabels()
        self._canvas.draw_idle()

    def updateLabels(self) -> None:
        chosen, top = self._list.curselection(), self._list.yview()[0]
        self._list.delete(0, tk.END)
        self._list.insert(tk.END, *self._labels())
        for index in chosen:
            self._list.selection_set(index)
            self._list.activate(index)
        self._list.yview_moveto(top)

    def _labels(self) -> Any:
        counts, names = self._data.counts(self.value.get()), self._data.names
        return names if counts is None else [f"{count:5d}   {name}" for count, name in zip(counts, names)]

    def _drawOn(self, axes: Any) -> None:
        """Draw on the micrograph, whose pixels are the axes' units."""

    def _text(self) -> str:
        return ""
