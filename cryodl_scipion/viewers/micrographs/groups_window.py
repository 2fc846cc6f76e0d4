# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks on their micrographs, each group with its colour."""

from typing import Any, List

from matplotlib.axes import Axes

from ...engine.cryodl.contract import counted
from ..micrograph_window import MicrographWindow
from .group_plots import drawGroups


class GroupsWindow(MicrographWindow):
    """data: GroupedPicks."""

    def __init__(self, parent: Any, data: Any, title: str) -> None:
        self._data = data
        MicrographWindow.__init__(
            self, parent, title, data.names, data.paths, data.slider, data.value, data.firstToShow()
        )

    def refresh(self) -> None:
        MicrographWindow.refresh(self)
        self.updateLabels()

    def _micrographLabels(self) -> List[str]:
        return [f"{count:5d}   {name}" for count, name in zip(self._data.counts(self.value.get()), self._names)]

    def _drawOn(self, axes: Axes) -> None:
        drawGroups(axes, self._data.picks(self.index(), self.value.get()), self._data.labels, self._data.diameter)

    def _text(self) -> str:
        if self.index() is None:
            return "There are no micrographs."
        counts = self._data.counts(self.value.get())
        return (
            f"{counted(counts[self.index()], 'pick')} on this micrograph, {counts.sum()} on all {len(counts)}, "
            f"{self._data.words(self.value.get())}"
        )
