# SPDX-License-Identifier: GPL-3.0-or-later
"""What `Analyze results` opens: the main picture at once, and a tab for everything else there is to see."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Callable, Sequence

from pyworkflow.viewer import MessageView

from .window import PlotView, Tab, WindowView

_WRAP = 900  # px of a line of text


class ResultsWindow:
    """A tab is filled when it is first seen.

    parent: tk widget, or None for a window of its own. panels: sequence of Panel. views: function that gives
    pyworkflow's views of a panel by its name, with the tab as their parent. goesOn: whether the run has not ended.
    """

    def __init__(
        self,
        parent: Any,
        title: str,
        panels: Sequence[Any],
        views: Callable[[str, Tab], Any],
        goesOn: Callable[[], bool],
    ) -> None:
        self._own = parent is None
        self.root: Any = tk.Tk() if self._own else tk.Toplevel(parent)
        self.root.title(title)
        self._panels, self._views, self._filled = list(panels), views, set[str]()
        if goesOn():
            row = ttk.Frame(self.root, padding=(8, 6, 8, 0))
            row.pack(fill=tk.X)
            ttk.Label(row, text="The run is still active; these are its results so far.").pack(side=tk.LEFT)
            ttk.Button(row, text="Refresh", command=self.lookAgain).pack(side=tk.RIGHT)
        self._notebook = ttk.Notebook(self.root)
        for panel in self._panels:
            self._notebook.add(Tab(self._notebook), text=panel.label)
        self._notebook.pack(fill=tk.BOTH, expand=True, padx=4, pady=4)
        self._fill()
        self._notebook.bind("<<NotebookTabChanged>>", lambda event: self._fill())

    def select(self, name: str) -> None:
        """Show the tab of a panel."""
        self._notebook.select([panel.name for panel in self._panels].index(name))
        self._fill()

    def lookAgain(self) -> None:
        """Read anew what the run has made."""
        self._filled.clear()
        self._fill()

    def show(self) -> None:
        if self._own:
            self.root.mainloop()

    def _fill(self) -> None:
        """Draw the tab that is seen, if that has not been done."""
        panel = self._panels[self._notebook.index("current")]
        if panel.name in self._filled:
            return
        self._filled.add(panel.name)
        tab: Any = self._notebook.nametowidget(self._notebook.select())
        for old in tab.winfo_children():
            old.destroy()
        ttk.Label(tab, text=panel.help.replace("*", ""), wraplength=_WRAP, foreground="#444444").pack(
            anchor=tk.W, padx=8, pady=(6, 0)
        )
        for view in self._views(panel.name, tab):
            _position(view, tab, panel.label)


def _position(view: Any, tab: Tab, label: str) -> None:
    """Show a view of pyworkflow in a tab: a window or a drawing of ours fills it, a message is read in it, and another
    program has a button."""
    if isinstance(view, MessageView):
        ttk.Label(tab, text=view.getMessage(), wraplength=_WRAP).pack(anchor=tk.W, padx=8, pady=20)
    elif isinstance(view, (WindowView, PlotView)):
        view.show()
    else:
        ttk.Button(tab, text=f"Open: {label}", command=view.show).pack(anchor=tk.W, padx=8, pady=20)
