# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks on their micrographs, with a slider for the score."""
import tkinter as tk

from pyworkflow.viewer import View

from ..convert.picks import counted
from .micrograph_window import MicrographWindow
from .plots import drawPicks


class PicksWindow(MicrographWindow):
    """data: PicksData. accept: for wizards, see MicrographWindow. value: score to begin with, default the set's."""

    def __init__(self, parent, data, title="Picks", accept=None, value=None):
        self._data = data
        slider = dict(from_=0, to=1, resolution=0.0001, label="Score threshold")
        MicrographWindow.__init__(self, parent, title, data.names, data.paths, slider,
                                  data.threshold if value is None else value, data.firstToShow(), accept)

    def refresh(self):
        MicrographWindow.refresh(self)
        self._updateLabels()

    def _updateLabels(self):
        labels, chosen, top = self._micrographLabels(), self.index(), self._list.yview()[0]
        self._list.delete(0, tk.END)
        self._list.insert(tk.END, *labels)
        if chosen is not None:
            self._list.selection_set(chosen)
        self._list.yview_moveto(top)

    def _micrographLabels(self):
        return ['%5d   %s' % (count, name) for count, name in zip(self._data.counts(self.value.get()), self._names)]

    def _drawOn(self, axes):
        drawPicks(axes, self._data.picks(self.index(), self.value.get()), self._data.diameter)

    def _text(self):
        counts = self._data.counts(self.value.get())
        if self.index() is None:
            return "There are no micrographs."
        text = "%s on this micrograph, %d on all %d" % (counted(counts[self.index()], 'pick'), counts.sum(), len(counts))
        return text if self._data.hasScores else text + " (these coordinates have no scores: all are shown)"


class PicksView(View):
    """parent: tk root or None. data: PicksData."""

    def __init__(self, parent, data, title):
        self._parent, self._data, self._title = parent, data, title

    def show(self):
        PicksWindow(self._parent, self._data, self._title).show()
