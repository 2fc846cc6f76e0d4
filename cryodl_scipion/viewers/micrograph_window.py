# SPDX-License-Identifier: GPL-3.0-or-later
"""A window with a list of micrographs, one micrograph, and a slider; what is drawn on it is the children's."""

import math
import tkinter as tk
from tkinter import ttk
from typing import Any, Callable, List, Optional, Sequence, Tuple

from matplotlib import patheffects
from matplotlib.axes import Axes

from .plots import drawMicrograph, loadPreview, view
from .window import CanvasWindow

_ZOOM = 1.25  # of one click of the mouse wheel
_CONTRAST = 1.3  # of one press of the key
_DRAG = 4  # px of the screen; less is a click
_BAR = "scale bar"  # name of the bar among what is drawn
HINT = "Wheel: zoom. Drag: move. 0: whole image. c, C: contrast. h: hide overlays."


def barLength(width: float) -> float:
    """Å of a scale bar: 1, 2 or 5 times a power of ten, at most a third of the width (Å)."""
    lengths = [factor * 10.0**power for power in range(-1, 6) for factor in (1, 2, 5)]
    return max((length for length in lengths if length <= width / 3), default=width / 3)


def drawBar(axes: Any, pixelSize: float) -> None:
    """A scale bar in the lower right corner of what is seen; replaces that of an earlier call. pixelSize: Å/px."""
    for old in [artist for artist in (*axes.lines, *axes.texts) if artist.get_gid() == _BAR]:
        old.remove()
    seen = abs(axes.get_xlim()[1] - axes.get_xlim()[0]) * pixelSize
    length = barLength(seen)
    edge = [patheffects.withStroke(linewidth=3, foreground="black")]  # seen on any grey
    ends, style = (0.97 - length / seen, 0.97), dict(transform=axes.transAxes, path_effects=edge, gid=_BAR, zorder=5)
    axes.plot(ends, (0.035, 0.035), color="white", linewidth=3, **style)
    axes.text(sum(ends) / 2, 0.05, f"{length:g} Å", color="white", ha="center", va="bottom", fontsize=11, **style)


class Looking:
    """Beside MicrographWindow, whose canvas, axes and preview it takes."""

    _HINT = HINT
    _PAN_BUTTONS: Tuple[int, ...] = (1, 2)  # of the mouse: left, middle

    root: Any
    _canvas: Any
    _axes: Any
    _preview: Any
    _pixelSize: Any = None  # Å/px of the picture; None: no scale bar
    _hidden, _contrast, _held = False, 1.0, None

    def _addHand(self) -> None:
        """Listen to mouse and keys."""
        for event, listener in (
            ("scroll_event", self._scroll),
            ("button_press_event", self._press),
            ("motion_notify_event", self._drag),
            ("button_release_event", self._release),
        ):
            self._canvas.mpl_connect(event, listener)
        for key, function in (("c", self._more), ("C", self._less), ("h", self._hide), ("0", self._whole)):
            self.root.bind(f"<KeyPress-{key}>", lambda event, function=function: self._key(event, function))

    def _key(self, event: Any, function: Any) -> None:
        """Do what a key means, unless it is typed into a box."""
        typed = isinstance(event.widget, (tk.Entry, ttk.Entry, tk.Text))
        if not typed and self._preview is not None:
            function()
            self._canvas.draw_idle()

    # ----- zoom and move
    def _scroll(self, event: Any) -> None:
        """The mouse wheel zooms around the pointer, out to the whole micrograph."""
        if event.inaxes is not self._axes or self._preview is None:
            return
        self._zoom((event.xdata, event.ydata), self._span() * (_ZOOM if event.button == "down" else 1 / _ZOOM))
        self._seen()

    def _press(self, event: Any) -> None:
        if event.button in self._PAN_BUTTONS and event.inaxes is self._axes and self._preview is not None:
            self._held = event.x, event.y, self._middle()

    def _drag(self, event: Any) -> None:
        if self._held is None or max(abs(event.x - self._held[0]), abs(event.y - self._held[1])) < _DRAG:
            return
        x, y, middle = self._held
        perPixel = self._span() / self._axes.get_window_extent().width
        down = -1 if self._axes.yaxis_inverted() else 1
        self._zoom((middle[0] - (event.x - x) * perPixel, middle[1] - down * (event.y - y) * perPixel), self._span())
        self._seen()

    def _release(self, event: Any) -> None:
        self._held = None

    def _middle(self) -> Any:
        """(x, y) in the middle of what is seen."""
        return tuple(sum(limits) / 2 for limits in (self._axes.get_xlim(), self._axes.get_ylim()))

    def _whole(self) -> None:
        self._zoom(self._middle(), max(self._preview.width, self._preview.height))
        self._seen()

    def _zoom(self, centre: Any, span: Any) -> None:
        view(self._axes, self._preview, centre, span)

    def _span(self) -> Any:
        """Px of the micrograph from left to right."""
        left, right = self._axes.get_xlim()
        return right - left

    def _seen(self) -> None:
        """Draw what depends on the part that is seen."""
        if self._pixelSize and self._axes is not None:
            drawBar(self._axes, self._pixelSize)
        self._canvas.draw_idle()

    # ----- contrast, and what is drawn
    def _pictures(self) -> List[Any]:
        """The pictures whose contrast is changed; what lies over them is not."""
        return self._axes.images[:1]

    def _more(self) -> None:
        self._setContrast(self._contrast * _CONTRAST)

    def _less(self) -> None:
        self._setContrast(self._contrast / _CONTRAST)

    def _setContrast(self, contrast: float) -> None:
        """1: as the picture was read; greater: fewer greys."""
        self._contrast = contrast
        for picture in self._pictures():
            picture.set_clim(0.5 - 0.5 / contrast, 0.5 + 0.5 / contrast)

    def _hide(self) -> None:
        self._hidden = not self._hidden
        self._showDrawn()

    def _showDrawn(self) -> None:
        """Hide or show all that is drawn on the picture."""
        axes = self._axes
        drawn = [*axes.collections, *axes.patches, *axes.lines, *axes.texts, *axes.images[1:]]
        for artist in drawn + ([axes.get_legend()] if axes.get_legend() else []):
            if artist.get_gid() != _BAR:
                artist.set_visible(not self._hidden)


class MicrographWindow(Looking, CanvasWindow):
    """Children give _drawOn(axes), _text() and may give _micrographLabels(), _load(index) and _pixelSize.

    parent: tk widget, or None for a window of its own. slider: dict of from_, to, resolution, label, or None for none.
    accept: function that takes the slider's value; with it there are the buttons Use and Cancel, and show() waits.
    """

    _SIZE: Tuple[float, float] = (8, 7.2)  # of the drawing, inches
    _LIST = "Micrographs"  # above the list of names

    def __init__(
        self,
        parent: Any,
        title: str,
        names: Sequence[str],
        paths: Sequence[str],
        slider: Any,
        value: float,
        first: int = 0,
        accept: Optional[Callable[..., Any]] = None,
    ) -> None:
        CanvasWindow.__init__(self, parent, title)
        self._names, self._paths, self._accept = names, paths, accept
        self._preview = self._axes = None
        self.value = tk.DoubleVar(self.root, value)
        # The box has a text of its own: Tk's slider cannot hold half a number.
        self._slider, self._typed = slider, tk.StringVar(self.root)
        self.message = tk.StringVar(self.root)
        self._addList()
        self._addCanvas()
        self._addControls(slider)
        if names:
            self._list.selection_set(first)
            self._list.see(first)
        self.showMicrograph()

    # ----- parts
    def _addList(self) -> None:
        frame = ttk.Frame(self.root)
        frame.pack(side=tk.LEFT, fill=tk.Y, padx=(6, 0), pady=6)
        ttk.Label(frame, text=self._LIST).pack(anchor=tk.W)
        down, across = ttk.Scrollbar(frame), ttk.Scrollbar(frame, orient=tk.HORIZONTAL)
        down.pack(side=tk.RIGHT, fill=tk.Y)
        across.pack(side=tk.BOTTOM, fill=tk.X)
        self._list = tk.Listbox(
            frame, width=36, exportselection=False, yscrollcommand=down.set, xscrollcommand=across.set
        )
        self._list.pack(fill=tk.BOTH, expand=True)
        down.config(command=self._list.yview)
        across.config(command=self._list.xview)
        self._list.bind("<<ListboxSelect>>", lambda event: self.showMicrograph())
        self._list.insert(tk.END, *self._micrographLabels())

    def _addCanvas(self) -> None:
        frame = ttk.Frame(self.root)
        frame.pack(fill=tk.BOTH, expand=True, padx=6, pady=(6, 0))
        self.addFigure(self._SIZE, frame)
        self._addHand()

    def _addControls(self, slider: Any) -> None:
        frame = ttk.Frame(self.root)
        frame.pack(fill=tk.X, padx=6, pady=6)
        ttk.Label(frame, textvariable=self.message, wraplength=100 * self._SIZE[0]).pack(anchor=tk.W)  # not wider
        ttk.Label(frame, text=self._HINT, foreground="#666666").pack(anchor=tk.W)
        if slider is None:
            return
        self._sliderRow = row = ttk.Frame(frame)
        row.pack(fill=tk.X)
        ttk.Label(row, text=slider["label"]).pack(side=tk.LEFT)
        if self._accept is not None:
            ttk.Button(row, text="Cancel", command=self.root.destroy).pack(side=tk.RIGHT)
            ttk.Button(row, text="Use", command=self.use).pack(side=tk.RIGHT, padx=6)
        entry = ttk.Entry(row, width=8, textvariable=self._typed)
        entry.pack(side=tk.LEFT, padx=6)
        entry.bind("<Return>", lambda event: self.settle())
        entry.bind("<FocusOut>", lambda event: self.settle())
        tk.Scale(
            row,
            variable=self.value,
            orient=tk.HORIZONTAL,
            showvalue=False,
            from_=slider["from_"],
            to=slider["to"],
            resolution=slider["resolution"],
            command=lambda value: self.refresh(),
        ).pack(side=tk.LEFT, fill=tk.X, expand=True)

    # ----- what happens
    def use(self) -> None:
        if self.settle():
            self._accept(self.value.get())
            self.root.destroy()

    def settle(self) -> bool:
        """Take what was typed; a wrong number becomes the last good one again, and the line above says so. True if
        taken."""
        typed, low, high = self._typed.get(), self._slider["from_"], self._slider["to"]
        if typed == self._shown():
            return True
        try:
            number = float(typed)
        except ValueError:
            number = math.nan
        taken = low <= number <= high
        if taken:
            self.value.set(number)
        self.refresh()
        if not taken:
            self.message.set(f"{typed!r} was typed; it must be a number from {low:g} to {high:g}.")
        return taken

    def _shown(self) -> str:
        return f"{self.value.get():.10g}"

    def index(self) -> Any:
        """Position of the chosen micrograph, None if there is none."""
        chosen = self._list.curselection()
        return chosen[0] if chosen else None

    def showMicrograph(self) -> None:
        """Read and draw the chosen micrograph."""
        self._figure.clear()
        self._axes, self._preview = self._figure.add_axes((0, 0, 1, 1)), None
        self._axes.set_axis_off()
        if self.index() is not None:
            try:
                self._preview = self._load(self.index())
                drawMicrograph(self._axes, self._preview, self._upwards())
                self._look()
            except (ValueError, OSError) as error:
                self._axes.text(0.5, 0.5, str(error), ha="center", wrap=True)
        self.refresh()

    def _load(self, index: int) -> Any:
        """Preview of the picture with this number. Raises ValueError or OSError that names the file."""
        return loadPreview(self._paths[index])

    def refresh(self) -> None:
        """Draw anew what depends on the slider."""
        self._typed.set(self._shown())
        if self._preview is not None:
            self._drawOn(self._axes)
            self._setContrast(self._contrast)
            self._showDrawn()
            self._seen()
        self.message.set(self._text())
        self._canvas.draw_idle()

    def updateLabels(self) -> None:
        """Write the list anew, for labels that follow the slider."""
        labels, chosen, top = self._micrographLabels(), self.index(), self._list.yview()[0]
        self._list.delete(0, tk.END)
        self._list.insert(tk.END, *labels)
        if chosen is not None:
            self._list.selection_set(chosen)
        self._list.yview_moveto(top)

    def _micrographLabels(self) -> Any:
        return self._names

    def _upwards(self) -> bool:
        """Whether the first row is at the bottom, as of tomograms (engine/cryodl/contract/frames.py)."""
        return False

    def _look(self) -> None:
        """Choose what part of a new micrograph is seen; here all of it."""

    def _drawOn(self, axes: Axes) -> None:
        """Draw on the micrograph, whose pixels are the axes' units."""

    def _text(self) -> str:
        """One line under the micrograph."""
        return ""
