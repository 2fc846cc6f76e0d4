# SPDX-License-Identifier: GPL-3.0-or-later
"""What `Analyze results` opens: a window with a tab for each thing to look at."""

import collections
import inspect
import itertools
import os
import tkinter as tk
from pathlib import Path
from tkinter import ttk
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from pwem.objects import SetOfClasses
from pwem.protocols import ProtUserSubSet
from pwem.viewers import Chimera, ChimeraView
from pyworkflow.project.project import PROJECT_LOGS
from pyworkflow.viewer import MessageView, ProtocolViewer, Viewer

from ..convert.arriving import ALIVE, stateOfRun
from ..engine.cryodl.contract import counted, say_if, score_text
from .gallery_window import GalleryWindow
from .window import REFRESH, FollowingWindow, PlotView, Tab, WindowView


def outputName(protocol: Any, chosen: Any) -> Any:
    """The name of an output of a run; None where there is no run, or the object is not its output."""
    outputs = () if protocol is None or chosen is None else protocol.iterOutputAttributes()
    return next((name for name, one in outputs if one.getObjId() == chosen.getObjId()), None)


def whyEnded(run: Any) -> str:
    """Why a run that has ended has nothing; '' while it goes on."""
    gone = "The run has finished, and what it made is gone. Restart makes it again." if run.isFinished() else ""
    stopped = "The run was stopped. Continue it." if run.isAborted() else gone
    return f"The run failed: {run.getErrorMessage()}" if run.isFailed() else stopped


def launchedRun(project: Any, protocol: Any, label: str, said: str) -> str:
    """Name and start a run. said: a sentence, with {} for the run's name. Returns it, or what is wrong with the run."""
    protocol.setObjLabel(label)
    errors = " ".join(
        say_if(project.openedAsReadOnly(), "The project was opened for reading only.") or protocol.validate()
    )
    if not errors:
        project.launchProtocol(protocol)
        getattr(project, "showRuns", bool)()  # see Shows.window
    return errors or said.format(protocol.getRunName())


def startRun(source: Any, output: str, field: str, protocolClass: type, label: str, said: str, **values: Any) -> Any:
    """Start a run on an output of another one. Returns (the run, what launchedRun says)."""
    project = source.getProject()
    protocol = project.newProtocol(protocolClass, **values)
    pointer = getattr(protocol, field)
    pointer.set(source)
    pointer.setExtended(output)
    return protocol, launchedRun(project, protocol, label, said)


def startFromScore(source: Any, output: str, field: str, protocolClass: type, what: str, threshold: float) -> str:
    """Start a run that keeps what has at least a score. Returns what happened, in words. what: it is, 'picks'."""
    score = score_text(threshold)
    label = f"{what} of {source.getRunName()} from {score}"
    said = f"The set of {what} with a score of at least {score} is made by the run {{}}."
    return startRun(source, output, field, protocolClass, label, said, threshold=threshold)[1]


def startSubset(source: Any, output: str, ids: Sequence[int], what: str, kind: str) -> Any:
    """Start pwem's protocol that makes a set of some items of an output. Returns (the run, one sentence). what: of its
    name, 'region'. kind: of item, 'particle'."""
    # beside those of Scipion's own windows: a folder of a run is emptied when the run is restarted
    paths = (os.path.join(PROJECT_LOGS, f"selection_{len(ids)}_{n}.txt") for n in itertools.count(1))
    path = next(path for path in paths if not os.path.exists(path))  # no other run reads it, now or when run again
    Path(path).write_text(" ".join(map(str, ids)), encoding="utf-8")
    label, said = f"{what} of {source.getRunName()}", f"The set of {counted(len(ids), kind)} is made by the run {{}}."
    values = dict(other="", sqliteFile=path + ",", outputClassName=getattr(source, output).getClassName())
    return startRun(source, output, "inputObject", ProtUserSubSet, label, said, **values)


def itemsSubset(viewer: Any, items: Any, kind: str) -> Any:
    """Function that starts a run which makes a set of the items with some ids, and says so in one sentence; None where
    the set is no output of a run. items: a set of the viewer's run, or classes of one. kind: 'particle'."""
    source, output = viewer.protocol, outputName(viewer.protocol, items)
    if isinstance(items, SetOfClasses):
        project, pointer = viewer.getProject(), items.getImagesPointer()
        output = pointer.getExtended() if project is not None and pointer is not None else None
        source = project.getProtocol(pointer.getObjValue().getObjId()) if output else None
    return (lambda ids: startSubset(source, output, ids, "part", kind)[1]) if output else None


_WRAP = 900  # px of a line of text


class ResultsWindow(FollowingWindow):
    """A tab is filled when it is first seen.

    parent: tk widget, or None for a window of its own. panels: sequence of Panel. views: function that gives
    pyworkflow's views of a panel by its name, with the tab as their parent. goesOn: whether the run has not ended."""

    def __init__(self, parent: Any, title: str, panels: Any, views: Any, goesOn: Any) -> None:
        FollowingWindow.__init__(self, parent, title)
        self._panels, self._views, self.finished = list(panels), views, lambda: not goesOn()
        self._filled: Set[str] = set()
        if goesOn():
            self.state = tk.StringVar(self.root, "The run is still active; these are its results so far.")
            row = self.addRow(padding=(8, 6, 8, 0))
            ttk.Label(row, textvariable=self.state).pack(side=tk.LEFT)
            ttk.Button(row, text="Refresh", command=self.lookAgain).pack(side=tk.RIGHT)
            self.root.after(REFRESH, self.refresh)
        self._notebook = ttk.Notebook(self.root)
        for panel in self._panels:
            self._notebook.add(Tab(self._notebook), text=panel.label)
        self._notebook.pack(fill=tk.BOTH, expand=True, padx=4, pady=4)
        self._fill()
        self._notebook.bind("<<NotebookTabChanged>>", lambda event: self._fill())

    def select(self, name: str) -> None:
        self._notebook.select([panel.name for panel in self._panels].index(name))
        self._fill()

    def lookAgain(self) -> None:
        self._filled.clear()
        self._fill()

    def redraw(self) -> None:
        """What is seen stays, so that nobody loses a zoom or a choice; a tab that had nothing to show is filled."""
        if self._waits:
            self.lookAgain()
        if self.finished():
            self.state.set("The run has ended. Refresh shows its last results.")

    def _fill(self) -> None:
        panel = self._panels[self._notebook.index("current")]
        if panel.name in self._filled:
            return
        self._filled.add(panel.name)
        tab: Any = self._notebook.nametowidget(self._notebook.select())
        for old in tab.winfo_children():
            old.destroy()
        text = ttk.Label(tab, text=panel.help.replace("*", ""), wraplength=_WRAP, foreground="#444444")
        text.pack(anchor=tk.W, padx=8, pady=(6, 0))
        views = list(self._views(panel.name, tab))
        for view in views:
            if isinstance(view, MessageView):
                ttk.Label(tab, text=view.getMessage().replace("*", ""), wraplength=_WRAP).pack(
                    anchor=tk.W, padx=8, pady=20
                )
            elif isinstance(view, (WindowView, PlotView)):  # ours fill the tab
                view.show()
            else:  # another program
                ttk.Button(tab, text=f"Open: {panel.label}", command=view.show).pack(anchor=tk.W, padx=8, pady=20)
        self._waits = all(isinstance(view, MessageView) for view in views)


# name: of the method that shows it; label: of the tab; help: above the picture
Panel = collections.namedtuple("Panel", "name label help")


def panel(label: str, help: str) -> Callable[[Any], Any]:
    """Marks a method of a PanelsViewer that shows a tab. label, help: see Panel."""

    def marked(show: Any) -> Any:
        show.panel = Panel(show.__name__, label, help)
        return show

    return marked


class NothingYet(ValueError):
    """There is nothing to show: the run goes on, or it ended without."""


class Shows(Viewer):
    _SECTION = _WAIT = ""

    def title(self, what: str = "") -> str:
        return f"{what or self._SECTION}: {self.protocol.getRunName()}"

    def window(self, windowClass: type, *arguments: Any) -> WindowView:
        # by itself Scipion's window may show a new run after half an hour only
        self.getProject().showRuns = lambda: getattr(getattr(self.formWindow, "viewWidget", 0), "refreshRuns", bool)()
        return WindowView(windowClass, self.getTkRoot(), *arguments)

    def plot(self, what: str, draw: Callable[[Any], Any], size: Any = (8, 5)) -> PlotView:
        """A drawing. draw: function of the figure. size: (width, height), inches."""
        view = PlotView(self.getTkRoot(), self.title(what), size)
        draw(view.getFigure())
        return view

    def shown(self, show: Callable[..., Any], *arguments: Any) -> List[Any]:
        """[the view that a function returns], or a message that says why there is none."""
        try:
            return [show(*arguments)]
        except NothingYet as nothing:
            return [self.infoMessage(str(nothing), "Nothing to show")]
        except (OSError, ValueError) as error:
            return [self.errorMessage(str(error), "Cannot be shown")]

    def needed(self, found: Any, run: Any = None, wait: str = "") -> Any:
        """What is found; NothingYet if None. run, wait: else the viewer's. wait: 'There is no ... yet. Wait ...'."""
        if found is None:
            why, wait = whyEnded(run or self.protocol), wait or self._WAIT
            raise NothingYet(f"{wait.partition(' yet. ')[0]}. {why}" if why else wait)
        return found

    def gallery(self, data: Any, title: str, items: Any = None, sortedBy: Optional[str] = None) -> WindowView:
        """The window of a Gallery. items: its set, of whose items subsets can be made; None for none."""
        subset = None if items is None else itemsSubset(self, items, data.ITEM.lower())
        return self.window(GalleryWindow, data, title, sortedBy, subset)

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


class ObjectViewer(Shows):
    """What a double click opens. A child gives show(obj), which returns a view, and says in its head:

    name: in Scipion's menu. targets: classes. only: function that says which objects of them."""

    show: Any
    _only: Any

    def __init_subclass__(
        cls, name: str, targets: Sequence[type], only: Callable[[Any], Any] = lambda obj: True
    ) -> None:
        cls._name, cls._targets, cls._only = name, list(targets), staticmethod(only)

    @classmethod
    def can_handle_this_instance(cls, instance: Any) -> bool:
        return bool(cls._only(instance))

    def _visualize(self, obj: Any, **kwargs: Any) -> List[Any]:
        return self.shown(self.show, obj)


class PanelsViewer(Shows, ProtocolViewer):
    """A child has a method marked @panel for each tab: it takes what _data() gives, and returns one of pyworkflow's
    views. ValueError and OSError become messages. It says in its head:

    targets: protocols. section: of the title. wait, until: what there is not yet, and until when. data: name of the
    output, or of the protocol's method, that gives what the tabs show; without it, they show the protocol. ways: of a
    protocol that does one of several things (one_of.py), a viewer for each; it becomes that one."""

    WAYS: Sequence[type] = ()
    _PANELS: Tuple[Panel, ...] = ()
    _DATA = ""

    def __init_subclass__(
        cls,
        section: Optional[str] = None,
        wait: Optional[str] = None,
        until: str = "the run has finished",
        data: Optional[str] = None,
        targets: Optional[Sequence[type]] = None,
        ways: Optional[Sequence[type]] = None,
    ) -> None:
        wait = wait and f"{wait} yet. Wait until {until}."
        for name, value in dict(_SECTION=section, _WAIT=wait, _DATA=data, _targets=targets, WAYS=ways).items():
            if value is not None:
                setattr(cls, name, value)
        cls._PANELS += tuple(member.panel for member in vars(cls).values() if hasattr(member, "panel"))

    def setProtocol(self, protocol: Any) -> None:
        if self.WAYS:
            self.__class__ = self.WAYS[protocol.getChoice()]
        super().setProtocol(protocol)

    def visualize(self, obj: Any, **args: Any) -> None:
        """Open the window; the first panel is seen at once. windows: Scipion's window. panel: name of another."""
        self.setProtocol(obj)
        scipion = self.formWindow = args.get("windows")
        root = scipion.getRoot() if scipion else None
        # what Scipion knows of the run may be older than its files
        goesOn = lambda: obj.isActive() and stateOfRun(obj._getPath("")) == ALIVE
        window = ResultsWindow(root, self.title(), self._PANELS, self._viewsIn, goesOn)
        if args.get("panel"):
            window.select(args["panel"])
        window.show()

    def _viewsIn(self, name: str, tab: Tab) -> List[Any]:
        self._tkRoot = tab
        if self.protocol.isActive() and self.getProject() is not None:
            self.getProject()._updateProtocol(self.protocol)  # it may have outputs since the window was opened
        return self._show(name)

    def _getVisualizeDict(self) -> Dict[str, Callable[..., Any]]:
        return {one.name: self._show for one in self._PANELS}

    def _show(self, name: str) -> List[Any]:
        return self.shown(lambda: getattr(self, name)(self.needed(self._data())))

    def _data(self) -> Any:
        found = getattr(self.protocol, self._DATA, None) if self._DATA else self.protocol
        return found() if inspect.ismethod(found) else found
