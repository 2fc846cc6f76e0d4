# SPDX-License-Identifier: GPL-3.0-or-later
"""A comparison of sets of coordinates: the table of figures, the agreement, the curves."""
import tkinter as tk
from tkinter import ttk

from matplotlib.backends.backend_tkagg import FigureCanvasTkAgg
from matplotlib.figure import Figure
from pyworkflow.viewer import View

from .group_plots import drawComparison

_FIGURES = (('precision', "Precision"), ('recall', "Recall"), ('f1', "F1"), ('average_precision', "Average precision"))


def tableRows(comparison):
    """[(set, picks, figures as texts ...)], best F1 first; figures are left out without a reference."""
    rows = []
    for name in comparison['sets']:
        figures = comparison['figures'].get(name)
        rows.append((name, comparison['counts'][name])
                    + (tuple('%.3f' % figures[key] for key, _ in _FIGURES) if figures else ()))
    return sorted(rows, key=lambda row: row[4], reverse=True) if comparison['figures'] else rows


class ComparisonWindow:
    """comparison: the engine's dict. curvesFile: picture, or None without a reference. parent: tk widget or None."""

    def __init__(self, parent, comparison, curvesFile, title):
        self._own = parent is None
        self.root = tk.Tk() if self._own else tk.Toplevel(parent)
        self.root.title(title)
        ttk.Label(self.root, text=self._headline(comparison)).pack(anchor=tk.W, padx=8, pady=(8, 2))
        self._addTable(comparison)
        for note in comparison['notes']:
            ttk.Label(self.root, text=note, wraplength=1000).pack(anchor=tk.W, padx=8)
        self._figure = Figure(figsize=(11 if curvesFile else 6, 4.8), facecolor='white')
        drawComparison(self._figure, comparison, curvesFile)
        self._canvas = FigureCanvasTkAgg(self._figure, self.root)
        self._canvas.get_tk_widget().pack(fill=tk.BOTH, expand=True, padx=8, pady=8)

    def _headline(self, comparison):
        text = "%d micrographs; picks matched one to one within %.1f px (%g particle radii)" % (
            comparison['micrographs'], comparison['match_distance_px'], comparison['tolerance'])
        return text if comparison['figures'] else text + ". Without a reference there is only the agreement."

    def _addTable(self, comparison):
        rows = tableRows(comparison)
        titles = ["Set", "Picks"] + ([title for _, title in _FIGURES] if comparison['figures'] else [])
        table = ttk.Treeview(self.root, columns=titles, show='headings', height=min(10, len(rows)))
        for title in titles:
            table.heading(title, text=title)
            table.column(title, width=360 if title == "Set" else 130, anchor=tk.W if title == "Set" else tk.E)
        for row in rows:
            table.insert('', tk.END, values=row)
        table.pack(fill=tk.X, padx=8)

    def show(self):
        if self._own:
            self.root.mainloop()


class ComparisonView(View):
    """See ComparisonWindow."""

    def __init__(self, parent, comparison, curvesFile, title):
        self._arguments = parent, comparison, curvesFile, title

    def show(self):
        ComparisonWindow(*self._arguments).show()
