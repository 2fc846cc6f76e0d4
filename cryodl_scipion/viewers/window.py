# SPDX-License-Identifier: GPL-3.0-or-later
"""What all windows of the viewers share: their place below Scipion's windows, a drawing, and how Scipion opens them."""

import tkinter as tk
from tkinter import font, ttk
from typing import Any, Callable

from matplotlib.backends.backend_tkagg import FigureCanvasTkAgg, NavigationToolbar2Tk
from matplotlib.figure import Figure
from pyworkflow.viewer import View

REFRESH = 3000  # ms between two looks at a run that goes on
_CELL_MARGIN = 24  # px beside the words of a table


class Tab(ttk.Frame):
    """A page of a window with tabs, which a CanvasWindow takes as its own window."""

    def title(self, text: str) -> None:
        """The tab has its name already."""

    def bind(self, sequence: Any = None, func: Any = None, add: Any = None) -> Any:
        """Keys are pressed anywhere in the window; they are for the tab that is seen."""
        if not str(sequence).startswith("<KeyPress"):
            return ttk.Frame.bind(self, sequence, func, add)
        return self.winfo_toplevel().bind(
            sequence, lambda event: func(event) if self.winfo_exists() and self.winfo_ismapped() else None, "+"
        )


class CanvasWindow:
    """A window that may hold one drawing. parent: tk widget; a Tab, which is filled; or None for a window of its
    own."""

    _accept: Any = None  # of wizards: function that takes what was chosen

    def __init__(self, parent: Any, title: str) -> None:
        self._own = parent is None
        if isinstance(parent, Tab):
            self.root: Any = parent
        else:
            self.root = tk.Tk() if self._own else tk.Toplevel(parent)
        self.root.title(title)

    def addFigure(self, size: Any, master: Any = None, **packing: Any) -> None:
        """Make self._figure and self._canvas. size: (width, height), inches. master: frame, default the window."""
        self._figure = Figure(figsize=size, facecolor="white")
        self._canvas = FigureCanvasTkAgg(self._figure, master or self.root)
        self._canvas.get_tk_widget().pack(**dict(dict(fill=tk.BOTH, expand=True), **packing))

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
        if self._own:
            self.root.mainloop()
        elif self._accept is not None:
            self.root.transient(self.root.master)
            self.root.wait_visibility()
            self.root.grab_set()
            self.root.wait_window()


class FollowingWindow(CanvasWindow):
    """A window that looks again while a run goes on."""

    finished: Callable[[], bool]  # whether the run has ended

    def draw(self) -> None:
        """Draw what there is now."""
        raise NotImplementedError

    def refresh(self) -> None:
        if not self.root.winfo_exists():
            return  # closed since the last look
        finished = self.finished()  # first: what is written between the two looks is then seen by the next one
        self.draw()
        self._canvas.draw_idle()
        if not finished:
            self.root.after(REFRESH, self.refresh)


class PlotWindow(CanvasWindow):
    """A drawing with matplotlib's buttons: zoom, move, save. figure: matplotlib's."""

    def __init__(self, parent: Any, title: str, figure: Figure) -> None:
        CanvasWindow.__init__(self, parent, title)
        self._figure, self._canvas = figure, FigureCanvasTkAgg(figure, self.root)
        NavigationToolbar2Tk(self._canvas, self.root).pack(side=tk.BOTTOM, fill=tk.X)
        self._canvas.get_tk_widget().pack(fill=tk.BOTH, expand=True)


class PlotView(View):
    """A drawing that Scipion shows in a window, and a test or a script can save. size: (width, height), inches. tight:
    False for a drawing of several figures, which places its axes itself."""

    def __init__(self, parent: Any, title: str, size: Any = (8, 5), tight: bool = True) -> None:
        self._parent, self._title = parent, title
        self._figure = Figure(figsize=size, facecolor="white", layout="tight" if tight else None)

    def getFigure(self) -> Figure:
        return self._figure

    def savefig(self, path: str) -> None:
        self._figure.savefig(path)

    def show(self) -> None:
        PlotWindow(self._parent, self._title, self._figure).show()


class WindowView(View):
    """Opens a window when Scipion wants it. windowClass(*arguments) is made in show()."""

    def __init__(self, windowClass: type, *arguments: Any) -> None:
        self._windowClass, self._arguments = windowClass, arguments

    def show(self) -> None:
        self._windowClass(*self._arguments).show()


def addTable(parent: Any, titles: Any, rows: Any, first: Any = 360, maximum: Any = 10) -> None:
    """A table whose first column is text, at most `first` px wide, and the others numbers; no title is cut off. most:
    rows that are seen at once."""
    style = ttk.Style(parent)
    heading, body = (
        font.Font(parent, style.lookup(name, "font") or other)
        for name, other in (("Treeview.Heading", "TkHeadingFont"), ("Treeview", "TkDefaultFont"))
    )
    table = ttk.Treeview(parent, columns=titles, show="headings", height=min(maximum, len(rows)))
    for number, title in enumerate(titles):
        table.heading(title, text=title)
        needed = heading.measure(title) + _CELL_MARGIN
        if not number:
            longest = max([str(row[0]) for row in rows] + [""], key=len)
            needed = max(needed, min(first, body.measure(longest) + _CELL_MARGIN))
        table.column(title, width=max(130, needed), anchor=tk.E if number else tk.W)
    for row in rows:
        table.insert("", tk.END, values=row)
    table.pack(fill=tk.X, padx=8, pady=4)
