# SPDX-License-Identifier: GPL-3.0-or-later
"""What `Analyze results` opens: a window with a tab for each thing to look at."""

import collections
import os
import tkinter as tk
from tkinter import ttk
from typing import Any, Callable, Dict, List, Sequence, Set, Tuple

from pwem.viewers import Chimera, ChimeraView
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form
from pyworkflow.viewer import DESKTOP_TKINTER, MessageView, ProtocolViewer

from .window import REFRESH, PlotView, Tab, WindowView


def chimeraViews(viewer: "PanelsViewer", path: str, what: str = "file") -> List[Any]:
    """pyworkflow's views that open a map or a script, or that say what is missing. viewer: for messages."""
    program = Chimera.getProgram()
    if program and os.path.exists(program):
        return [ChimeraView(path)]
    return [
        viewer.infoMessage(
            f"ChimeraX is not at {program}. Install Scipion's plugin scipion-em-chimera, or set CHIMERA_HOME in "
            f"Scipion's configuration. A ChimeraX installed elsewhere can open the {what}: {os.path.abspath(path)}",
            "No ChimeraX",
        )
    ]


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
        self._panels, self._views, self._goesOn = list(panels), views, goesOn
        self._filled: Set[str] = set()
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
        if not self.root.winfo_exists():
            return
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
        views = list(self._views(panel.name, tab))
        for view in views:
            _position(view, tab, panel.label)
        if self._goesOn() and all(isinstance(view, MessageView) for view in views):  # nothing to see yet
            self.root.after(REFRESH, self.lookAgain)


def _position(view: Any, tab: Tab, label: str) -> None:
    """Show a view of pyworkflow in a tab: a window or a drawing of ours fills it, a message is read in it, and another
    program has a button."""
    if isinstance(view, MessageView):
        ttk.Label(tab, text=view.getMessage(), wraplength=_WRAP).pack(anchor=tk.W, padx=8, pady=20)
    elif isinstance(view, (WindowView, PlotView)):
        view.show()
    else:
        ttk.Button(tab, text=f"Open: {label}", command=view.show).pack(anchor=tk.W, padx=8, pady=20)


# name: of the method that shows it, with a leading underscore; label: of the tab; help: above the picture
Panel = collections.namedtuple("Panel", "name label help")


class PanelsViewer(ProtocolViewer):
    """A child gives _SECTION, _PANELS, _WAIT, _data() and one method per panel.

    A panel's method takes what _data() gives, and returns pyworkflow's views. ValueError and OSError become messages.
    WAYS: of a protocol that does one of several things (one_of.py), a viewer for each; it becomes that one.
    """

    _environments = [DESKTOP_TKINTER]
    WAYS: Tuple[type, ...] = ()
    _SECTION = ""
    _PANELS: Tuple[Panel, ...] = ()
    # Sentence for a run that has nothing to show yet, which is one without this output.
    _WAIT = _OUTPUT = ""

    def setProtocol(self, protocol: Any) -> None:
        if self.WAYS:
            self.__class__ = self.WAYS[protocol.getChoice()]
        super().setProtocol(protocol)

    def _defineParams(self, form: Form) -> None:
        form.addSection(label=self._SECTION)
        for panel in self._PANELS:
            form.addParam(panel.name, params.LabelParam, default=True, label=panel.label, help=panel.help)

    def visualize(self, obj: Any, **args: Any) -> None:
        """Open the window; the first panel is seen at once. windows: Scipion's window. panel: name of another one to
        begin with."""
        self.setProtocol(obj)
        scipion = args.get("windows")
        window = ResultsWindow(
            scipion.getRoot() if scipion else None,
            f"{self._SECTION}: {obj.getRunName()}",
            self._PANELS,
            self._viewsIn,
            lambda: obj.isActive(),
        )
        if args.get("panel"):
            window.select(args["panel"])
        window.show()

    def _viewsIn(self, name: str, tab: Tab) -> List[Any]:
        """What a panel shows, in a tab."""
        self._tkRoot = tab
        if self.protocol.isActive() and self.getProject() is not None:
            self.getProject()._updateProtocol(self.protocol)  # it may have outputs since the window was opened
        return self._getVisualizeDict()[name](name)

    def _plot(self, what: str, size: Any = (8, 5), tight: bool = True) -> PlotView:
        """An empty drawing. size: (width, height), inches. tight: see PlotView."""
        return PlotView(self.getTkRoot(), f"{what}: {self.protocol.getRunName()}", size, tight)

    def _getVisualizeDict(self) -> Dict[str, Callable[..., Any]]:
        return {panel.name: self._show for panel in self._PANELS}

    def _show(self, name: str) -> List[Any]:
        try:
            data = self._data()
            if data is None:
                return [self.infoMessage(self._WAIT, "Nothing yet")]
            return getattr(self, "_" + name)(data)
        except (OSError, ValueError) as error:
            return [self.errorMessage(str(error), "Cannot be shown")]

    def _data(self) -> Any:
        """What the panels show, None if there is nothing yet."""
        return getattr(self.protocol, self._OUTPUT, None) if self._OUTPUT else self.protocol
