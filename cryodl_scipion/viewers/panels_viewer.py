# SPDX-License-Identifier: GPL-3.0-or-later
"""What `Analyze results` opens: a window with a tab for each thing to look at."""

import collections
from typing import Any, Callable, Dict, List, Tuple

from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form
from pyworkflow.viewer import DESKTOP_TKINTER, ProtocolViewer

from .results_window import ResultsWindow
from .window import PlotView, Tab

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
    # Sentence for a run that has nothing to show yet.
    _WAIT = ""

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
        return self.protocol
