# SPDX-License-Identifier: GPL-3.0-or-later
"""What `Analyze results` opens: a window with a tab for each thing to look at."""

import collections
import inspect
import itertools
import os
import tkinter as tk
from tkinter import ttk
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from pwem.protocols import ProtUserSubSet
from pwem.viewers import Chimera, ChimeraView
from pyworkflow.viewer import DESKTOP_TKINTER, MessageView, ProtocolViewer, Viewer

from ..convert.particles.results import writeSelection
from ..engine.cryodl.contract import counted
from .window import REFRESH, PlotView, Tab, WindowView


def outputName(protocol: Any, chosen: Any) -> Any:
    """The name of an output of a run; None where there is no run, or the object is not its output."""
    if protocol is None or chosen is None:
        return None
    return next((n for n, o in protocol.iterOutputAttributes() if o.getObjId() == chosen.getObjId()), None)


def startRun(source: Any, output: str, field: str, protocolClass: type, label: str, **values: Any) -> Any:
    """Start a run on an output of another one. Returns (the run, what is wrong with it in words or '')."""
    project = source.getProject()
    protocol = project.newProtocol(protocolClass, **values)
    protocol.setObjLabel(label)
    pointer = getattr(protocol, field)
    pointer.set(source)
    pointer.setExtended(output)
    errors = protocol.validate()
    if not errors:
        project.launchProtocol(protocol)
    return protocol, " ".join(errors)


def startedRun(protocol: Any, errors: str, what: str) -> str:
    """One sentence about a run that startRun gave. what: is made, in words."""
    return errors or f"{what} is made by the run *{protocol.getRunName()}*."


def startSubset(source: Any, output: str, ids: Sequence[int], what: str, kind: str) -> Any:
    """Start pwem's protocol that makes a set of some items of an output. Returns (the run, one sentence). what: of its
    name, 'region'. kind: of item, 'particle'."""
    whole = getattr(source, output)
    path = _newFile(source, len(ids))
    writeSelection(whole, ids, path)
    protocol, errors = startRun(
        source,
        output,
        "inputObject",
        ProtUserSubSet,
        f"{what} of {source.getRunName()}",
        other="",
        sqliteFile=path + ",",
        outputClassName=whole.getClassName(),
    )
    return protocol, startedRun(protocol, errors, f"The set of {counted(len(ids), kind)}")


def itemsSubset(viewer: Any, collection: Any, kind: str) -> Any:
    """Function that starts a run which makes a set of the items with some ids, and says so in one sentence; None where
    the set is no output of the viewer's run. kind: of item, 'particle'."""
    source = viewer.protocol
    output = outputName(source, collection)
    return None if output is None else lambda ids: startSubset(source, output, ids, "part", kind)[1]


def imagesSubset(viewer: Any, classes: Any, kind: str) -> Any:
    """As itemsSubset, of the set that was classified."""
    pointer = classes.getImagesPointer()
    if pointer is None or not pointer.hasExtended() or viewer.getProject() is None:
        return None
    source = viewer.getProject().getProtocol(pointer.getObjValue().getObjId())
    return lambda ids: startSubset(source, pointer.getExtended(), ids, "part", kind)[1]


def _newFile(source: Any, count: int) -> str:
    """Path of a selection that no other run reads, now or when it is run again."""
    names = (source._getExtraPath(f"chosen_{count}_{n}.sqlite") for n in itertools.count(1))
    return next(name for name in names if not os.path.exists(name))


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


# name: of the method that shows it; label: of the tab; help: above the picture
Panel = collections.namedtuple("Panel", "name label help")


def panel(label: str, help: str) -> Callable[[Any], Any]:
    """Marks a method of a PanelsViewer that shows a tab. label, help: see Panel."""

    def marked(show: Any) -> Any:
        show.panel = Panel(show.__name__, label, help)
        return show

    return marked


class Shows:
    """Beside a viewer of pyworkflow: the views that it gives."""

    getTkRoot: Callable[[], Any]
    infoMessage: Callable[..., Any]
    protocol: Any
    _SECTION = ""

    def title(self, what: str = "") -> str:
        """What is shown, and of which run."""
        return f"{what or self._SECTION}: {self.protocol.getRunName()}"

    def window(self, windowClass: type, *arguments: Any) -> WindowView:
        """windowClass(parent, *arguments)."""
        return WindowView(windowClass, self.getTkRoot(), *arguments)

    def plot(self, what: str, draw: Callable[[Any], Any], size: Any = (8, 5), tight: bool = True) -> PlotView:
        """A drawing. draw: function of the figure. size: (width, height), inches. tight: see PlotView."""
        view = PlotView(self.getTkRoot(), self.title(what), size, tight)
        draw(view.getFigure())
        return view

    def chimera(self, path: str, what: str = "map") -> Any:
        """A view that opens a map or a script, or that says what is missing."""
        program = Chimera.getProgram()
        if program and os.path.exists(program):
            return ChimeraView(path)
        return self.infoMessage(
            f"ChimeraX is not at {program}. Install Scipion's plugin scipion-em-chimera, or set CHIMERA_HOME in "
            f"Scipion's configuration. A ChimeraX installed elsewhere can open the {what}: {os.path.abspath(path)}",
            "No ChimeraX",
        )


class ObjectViewer(Shows, Viewer):
    """What a double click opens. A child gives show(obj), which returns a view, and says in its head:

    name: in Scipion's menu. targets: classes. only: function that says which objects of them.
    """

    _only: Any = None

    def __init_subclass__(cls, name: str, targets: Sequence[type], only: Optional[Callable[[Any], Any]] = None) -> None:
        cls._name, cls._targets, cls._only = name, list(targets), only and staticmethod(only)

    @classmethod
    def can_handle_this_instance(cls, instance: Any) -> bool:
        return cls._only is None or bool(cls._only(instance))

    def _visualize(self, obj: Any, **kwargs: Any) -> List[Any]:
        return [self.show(obj)]

    def show(self, obj: Any) -> Any:
        """The view of an object."""
        raise NotImplementedError


class PanelsViewer(Shows, ProtocolViewer):
    """A child has a method marked @panel for each tab: it takes what _data() gives, and returns one of pyworkflow's
    views. ValueError and OSError become messages. It says in its head:

    targets: protocols. section: of the title. wait: sentence for a run that has nothing to show yet. data: name of the
    output, or of the protocol's method, that gives what the tabs show; without it, they show the protocol. ways: of a
    protocol that does one of several things (one_of.py), a viewer for each; it becomes that one.
    """

    _environments = [DESKTOP_TKINTER]
    WAYS: Sequence[type] = ()
    _PANELS: Tuple[Panel, ...] = ()
    _WAIT = _DATA = ""

    def __init_subclass__(
        cls,
        section: Optional[str] = None,
        wait: Optional[str] = None,
        data: Optional[str] = None,
        targets: Optional[Sequence[type]] = None,
        ways: Optional[Sequence[type]] = None,
    ) -> None:
        for name, value in dict(_SECTION=section, _WAIT=wait, _DATA=data, _targets=targets, WAYS=ways).items():
            if value is not None:
                setattr(cls, name, value)
        cls._PANELS += tuple(member.panel for member in vars(cls).values() if hasattr(member, "panel"))

    def setProtocol(self, protocol: Any) -> None:
        if self.WAYS:
            self.__class__ = self.WAYS[protocol.getChoice()]
        super().setProtocol(protocol)

    def visualize(self, obj: Any, **args: Any) -> None:
        """Open the window; the first panel is seen at once. windows: Scipion's window. panel: name of another one to
        begin with."""
        self.setProtocol(obj)
        scipion = args.get("windows")
        root = scipion.getRoot() if scipion else None
        window = ResultsWindow(root, self.title(), self._PANELS, self._viewsIn, lambda: obj.isActive())
        if args.get("panel"):
            window.select(args["panel"])
        window.show()

    def _viewsIn(self, name: str, tab: Tab) -> List[Any]:
        """What a panel shows, in a tab."""
        self._tkRoot = tab
        if self.protocol.isActive() and self.getProject() is not None:
            self.getProject()._updateProtocol(self.protocol)  # it may have outputs since the window was opened
        return self._show(name)

    def _getVisualizeDict(self) -> Dict[str, Callable[..., Any]]:
        return {one.name: self._show for one in self._PANELS}

    def _show(self, name: str) -> List[Any]:
        try:
            data = self._data()
            return [self.infoMessage(self._WAIT, "Nothing yet") if data is None else getattr(self, name)(data)]
        except (OSError, ValueError) as error:
            return [self.errorMessage(str(error), "Cannot be shown")]

    def _data(self) -> Any:
        """What the panels show, None if there is nothing yet."""
        found = getattr(self.protocol, self._DATA, None) if self._DATA else self.protocol
        return found() if inspect.ismethod(found) else found
