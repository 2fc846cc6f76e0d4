# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks on their micrographs, each group with its colour."""
import tkinter as tk

from pyworkflow.viewer import View

from ..convert.picks import counted
from .group_plots import drawGroups
from .micrograph_window import MicrographWindow


class GroupsWindow(MicrographWindow):
    """data: GroupedPicks."""

    def __init__(self, parent, data, title):
        self._data = data
        MicrographWindow.__init__(self, parent, title, data.names, data.paths, data.slider, data.value, data.firstToShow())

    def refresh(self):
        MicrographWindow.refresh(self)
        labels, chosen, top = self._micrographLabels(), self.index(), self._list.yview()[0]
        self._list.delete(0, tk.END)
        self._list.insert(tk.END, *labels)
        if chosen is not None:
            self._list.selection_set(chosen)
        self._list.yview_moveto(top)

    def _micrographLabels(self):
        return ['%5d   %s' % (count, name) for count, name in zip(self._data.counts(self.value.get()), self._names)]

    def _drawOn(self, axes):
        drawGroups(axes, self._data.picks(self.index(), self.value.get()), self._data.labels, self._data.diameter)

    def _text(self):
        if self.index() is None:
            return "There are no micrographs."
        counts = self._data.counts(self.value.get())
        return "%s on this micrograph, %d on all %d, %s" % (counted(counts[self.index()], 'pick'), counts.sum(), len(counts),
                                                           self._data.words(self.value.get()))


class GroupsView(View):
    """See GroupsWindow."""

    def __init__(self, parent, data, title):
        self._arguments = parent, data, title

    def show(self):
        GroupsWindow(*self._arguments).show()
