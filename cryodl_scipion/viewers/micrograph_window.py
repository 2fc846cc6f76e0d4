# SPDX-License-Identifier: GPL-3.0-or-later
"""A window with a list of micrographs, one micrograph, and a slider; what is drawn on it is the children's."""

import math
import tkinter as tk
from tkinter import ttk
from typing import Any, Callable, Optional, Sequence, Tuple

from matplotlib.axes import Axes

from .looking import Looking
from .plots import drawMicrograph
from .preview import loadPreview
from .window import CanvasWindow


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
