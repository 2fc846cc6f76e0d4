# SPDX-License-Identifier: GPL-3.0-or-later
"""What all windows of the viewers share: their place below Scipion's windows, a drawing, and how Scipion opens them."""

import os
import tkinter as tk
from tkinter import font, ttk
from typing import Any, Callable, Dict, List, Optional, Sequence

from matplotlib.backends.backend_tkagg import FigureCanvasTkAgg, NavigationToolbar2Tk
from matplotlib.figure import Figure
from pyworkflow.viewer import MSG_ERROR, MessageView, View

from ..engine.cryodl.contract import resolution_in_words
from .plots import BAD_COLOUR, GOOD_COLOUR, drawPicture

REFRESH = 3000  # ms between two looks at a run that goes on
_FRAME, _SMALLEST = 60, 200  # px: of a title and a panel of the desktop; a side of a drawing at least
_CELL_MARGIN, _FIRST_COLUMN = 24, 360  # px: beside the words of a table, and its first column at most


class Tab(ttk.Frame):
    """A page of a window with tabs, which a CanvasWindow takes as its own window."""

    def title(self, text: str) -> None:
        """It has one already."""

    def bind(self, sequence: Any = None, func: Any = None, add: Any = None) -> Any:
        """Keys are pressed anywhere in the window; they are for the tab that is seen."""
        if not str(sequence).startswith("<KeyPress"):
            return ttk.Frame.bind(self, sequence, func, add)
        return self.winfo_toplevel().bind(
            sequence, lambda event: func(event) if self.winfo_exists() and self.winfo_ismapped() else None, "+"
        )


class CanvasWindow:
    """A window that may hold one drawing. parent: tk widget; a Tab, which is filled; or None for an own window."""

    _accept: Any = None  # of wizards: function that takes what was chosen

    def __init__(self, parent: Any, title: str) -> None:
        self._own = parent is None
        self.root: Any = parent if isinstance(parent, Tab) else tk.Tk() if self._own else tk.Toplevel(parent)
        self.root.title(title)
        self._drawings: List[Any] = []  # tk's canvases

    def addRow(self, master: Any = None, padding: Any = 6, **packing: Any) -> Any:
        row = ttk.Frame(master or self.root, padding=padding)
        row.pack(**dict(dict(fill=tk.X), **packing))
        return row

    def addSlider(self, row: Any, low: float, high: float, moved: Any, padx: int = 0, **values: Any) -> Any:
        """A slider; it fills what is left of a row, unless expand=False. moved: function without arguments."""
        expand = values.pop("expand", True)
        slider = tk.Scale(row, orient=tk.HORIZONTAL, from_=low, to=high, command=lambda value: moved(), **values)
        slider.pack(side=tk.LEFT, fill=tk.X, expand=expand, padx=padx)
        return slider

    def addAnswers(self, row: Any, use: Any) -> None:
        ttk.Button(row, text="Cancel", command=self.root.destroy).pack(side=tk.RIGHT)
        ttk.Button(row, text="Use", command=use).pack(side=tk.RIGHT, padx=6)

    def addButtons(self, row: Any, names: Any, variable: Any, chosen: Any) -> None:
        """Names of which one is chosen, side by side. chosen: function without arguments."""
        for name in names:
            ttk.Radiobutton(row, text=name, value=name, variable=variable, command=chosen).pack(side=tk.LEFT)

    def addEntry(self, row: Any, width: int, variable: Any, taken: Any, **packing: Any) -> None:
        """A box to type in. taken: function without arguments, when Return was pressed or the box was left."""
        entry = ttk.Entry(row, width=width, textvariable=variable)
        entry.pack(side=tk.LEFT, **packing)
        for event in ("<Return>", "<FocusOut>"):
            entry.bind(event, lambda event: taken())

    def addFigure(self, size: Any, master: Any = None, **packing: Any) -> None:
        """Make self._figure and self._canvas. size: (width, height), inches. master: frame, default the window."""
        self._figure: Any = Figure(figsize=size, facecolor="white")
        self._canvas: Any = FigureCanvasTkAgg(self._figure, master or self.root)
        self._drawings.append(self._canvas.get_tk_widget())
        self._drawings[-1].pack(**dict(dict(fill=tk.BOTH, expand=True), **packing))

    def addChoice(self, row: Any, label: str, variable: Any, choices: Any, width: int, chosen: Any) -> Any:
        """A list to choose from with its label on the left. chosen: function without arguments. Returns the list."""
        ttk.Label(row, text=label).pack(side=tk.LEFT, padx=(0, 4))
        box = ttk.Combobox(row, textvariable=variable, values=list(choices), state="readonly", width=width)
        box.pack(side=tk.LEFT, padx=(0, 12))
        vars(box)["variable"] = variable  # Tk forgets one that nobody holds
        box.bind("<<ComboboxSelected>>", lambda event: chosen())
        return box

    def show(self) -> None:
        """Open the window; one that is asked for a value is waited for until it is closed."""
        self._fit()
        if self._own:
            self.root.mainloop()
        elif self._accept is not None:
            self.root.transient(self.root.master)
            self.root.wait_visibility()
            self.root.grab_set()
            self.root.wait_window()

    def _fit(self) -> None:
        """Open as large as the drawings want to be, but on the screen. Made smaller by the user, the window keeps what
        lies below and beside its drawings: they alone ask for little room, and get what is left."""
        top = self.root.winfo_toplevel()
        top.update_idletasks()
        wide = min(top.winfo_reqwidth(), top.winfo_screenwidth())
        high = min(top.winfo_reqheight(), top.winfo_screenheight() - _FRAME)
        for drawing in self._drawings:
            drawing.config(width=_SMALLEST, height=_SMALLEST)
        top.update_idletasks()
        top.minsize(min(wide, top.winfo_reqwidth()), min(high, top.winfo_reqheight()))
        # a tab may be shown later, in a window that is on the screen already
        wide, high = max(wide, top.winfo_width()), max(high, top.winfo_height())
        room = top.winfo_screenwidth() - wide, top.winfo_screenheight() - _FRAME - high
        left, above = (max(0, min(x, most)) for x, most in zip((top.winfo_x(), top.winfo_y()), room))
        top.geometry(f"{wide}x{high}" + f"+{left}+{above}" * bool(top.winfo_ismapped()))


class FollowingWindow(CanvasWindow):
    """A window that looks again while a run goes on."""

    finished: Callable[[], bool]  # whether the run has ended
    draw: Any  # draws what there is now

    def refresh(self) -> None:
        if self.root.winfo_exists():  # it may have been closed since the last look
            finished = self.finished()  # first: what is written between the two looks is then seen by the next one
            self.redraw()
            if not finished:
                self.root.after(REFRESH, self.refresh)

    def redraw(self) -> None:
        self.draw()
        self._canvas.draw_idle()


class PlotView(View):
    """A drawing that Scipion shows in a window, and a test or a script can save. size: (width, height), inches."""

    def __init__(self, parent: Any, title: str, size: Any = (8, 5)) -> None:
        self._parent, self._title = parent, title
        self._figure = Figure(figsize=size, facecolor="white", layout="tight")

    def getFigure(self) -> Figure:
        return self._figure

    def show(self) -> None:
        window = CanvasWindow(self._parent, self._title)
        canvas = FigureCanvasTkAgg(self._figure, window.root)
        NavigationToolbar2Tk(canvas, window.root).pack(side=tk.BOTTOM, fill=tk.X)
        canvas.get_tk_widget().pack(fill=tk.BOTH, expand=True)
        window._drawings.append(canvas.get_tk_widget())
        window.show()


class WindowView(View):
    """Opens a window when Scipion wants it. windowClass(*arguments) is made in show(), which says what is wrong."""

    def __init__(self, windowClass: type, *arguments: Any) -> None:
        self._windowClass, self._arguments = windowClass, arguments

    def show(self) -> None:
        parent: Any = self._arguments[0]
        before = parent.winfo_children() if parent else []
        try:
            self._windowClass(*self._arguments).show()
        except (OSError, ValueError) as error:
            for begun in [child for child in (parent.winfo_children() if parent else ()) if child not in before]:
                begun.destroy()
            MessageView(str(error), "Cannot be shown", MSG_ERROR, parent).show()


def addTable(parent: Any, titles: Any, rows: Any, maximum: Any = 10) -> None:
    """A table whose first column is text and the others numbers; no title is cut off. maximum: of rows on show."""
    heading, body = (
        font.Font(parent, ttk.Style(parent).lookup(name, "font") or other)
        for name, other in (("Treeview.Heading", "TkHeadingFont"), ("Treeview", "TkDefaultFont"))
    )
    table = ttk.Treeview(parent, columns=titles, show="headings", height=min(maximum, len(rows)))
    for number, title in enumerate(titles):
        table.heading(title, text=title)
        longest = max((body.measure(str(row[0])) for row in rows), default=0) + _CELL_MARGIN if not number else 0
        width = max(130, heading.measure(title) + _CELL_MARGIN, min(_FIRST_COLUMN, longest))
        table.column(title, width=width, anchor=tk.E if number else tk.W)
    for row in rows:
        table.insert("", tk.END, values=row)
    table.pack(fill=tk.X, padx=8, pady=4)


TITLES = ("Images", "Mean FRC with the ground truth", "FRC 0.5", "FRC 0.143")
_IMAGES = (("raw", "raw"), ("wiener", "Wiener filter (best linear filter)"), ("denoised", "denoised"))
_CONTROLS = (
    ("noise", "denoised pure noise, random ground truth"),
    ("unrelated", "unrelated projections, random ground truth"),
)
# File names of the engine's pictures, in the order of reading.
PICTURES = {
    "frc": "FRC with the ground truth",
    "fsc": "FSC of maps",
    "local_resolution": "Local resolution",
    "control": "Control",
    "triplets": "Triplets",
    "gallery": "Gallery",
    "slices": "Slices",
}


def tableRows(evaluation: Dict[str, Any]) -> Any:
    """Rows of TITLES: raw, filtered and denoised images, and below them the controls."""
    number = lambda value: "-" if value is None else f"{value:.3f}"
    rows, means, control = [], evaluation["mean_frc"], evaluation.get("control") or {}
    for key, label in _IMAGES:
        if key in means:
            reached = (evaluation.get("resolution") or {}).get(key) or {}
            resolutions = (resolution_in_words(reached.get(threshold)) for threshold in ("0.5", "0.143"))
            rows.append((label, number(means[key]), *resolutions))
    return rows + [("control: " + label, number(control[key]), "", "") for key, label in _CONTROLS if key in control]


def picturesIn(folder: str) -> Dict[str, Any]:
    """{name: file} of the pictures that are there, in the order of reading."""
    paths = {label: os.path.join(folder, key + ".png") for key, label in PICTURES.items()}
    return {label: path for label, path in paths.items() if os.path.exists(path)}


def verdictOf(evaluation: Dict[str, Any]) -> Any:
    """(no warning?, sentences) of the control."""
    control = evaluation.get("control") or {}
    return control.get("verdict") == "ok", list(control.get("sentences") or [])


class PicturesWindow(CanvasWindow):
    """pictures: {name: file}. sentences: list. good: the verdict, None for none. table: (titles, rows). first: name.
    drawing: (function that draws on a figure, its width and height in inches). note: last line, which can be copied."""

    def __init__(
        self,
        parent: Any,
        title: str,
        pictures: Any,
        sentences: Sequence[Any] = (),
        good: Optional[bool] = None,
        table: Any = None,
        first: Any = None,
        drawing: Any = None,
        note: str = "",
    ) -> None:
        CanvasWindow.__init__(self, parent, title)
        self._pictures = pictures
        self._name = tk.StringVar(self.root, first if first in pictures else next(iter(pictures), ""))
        if good is not None:
            words, colour = ("no warning", GOOD_COLOUR) if good else ("warning", BAD_COLOUR)
            tk.Label(self.root, text=words, fg="white", padx=8, pady=3, bg=colour).pack(anchor="w", padx=8, pady=(8, 2))
        for sentence in sentences:
            ttk.Label(self.root, text=sentence, wraplength=1000).pack(anchor=tk.W, padx=8)
        if table:
            # without pictures below there is room for more rows
            addTable(self.root, *table, **({} if pictures or drawing else {"maximum": 25}))
        if pictures:
            self.addButtons(self.addRow(padding=(8, 6, 8, 0)), pictures, self._name, self.refresh)
            self.addFigure((10.5, 5.6), padx=8, pady=8)
            self.refresh()
        if drawing:
            self.addFigure(drawing[1], padx=8, pady=8)
            drawing[0](self._figure)
            self._figure.tight_layout()
        if note:
            line = ttk.Entry(self.root, width=len(note))
            line.insert(0, note)
            line.config(state="readonly")
            line.pack(fill=tk.X, padx=8, pady=(0, 8))

    def refresh(self) -> None:
        drawPicture(self._figure, self._pictures[self._name.get()])
        self._canvas.draw_idle()
