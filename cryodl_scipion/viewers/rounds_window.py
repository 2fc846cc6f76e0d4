# SPDX-License-Identifier: GPL-3.0-or-later
"""The rounds of automatic picking, drawn and in words; live while they are made."""
import tkinter as tk
from tkinter import ttk

from matplotlib.backends.backend_tkagg import FigureCanvasTkAgg
from matplotlib.figure import Figure
from pyworkflow.viewer import View

from ..convert.rounds import bestRound, readRounds, roundInWords
from .model_window import REFRESH
from .plots import drawRounds


def roundLines(rounds):
    """What each round did, one line each. rounds: of readRounds."""
    if not rounds:
        return ["No round is finished yet. Round 0 is the first model, before any training."]
    best = bestRound(rounds)
    lines = ["Round %d%s: %s." % (entry['round'], " (best)" if entry['round'] == best else "", roundInWords(entry))
             for entry in rounds]
    return lines + ["The best round picks all micrographs."]


class RoundsWindow:
    """parent: tk widget or None. folder: of the picks, with rounds.csv. finished: function, True when no more will come."""

    def __init__(self, parent, folder, title, finished):
        self._own, self._folder, self._finished = parent is None, folder, finished
        self.root = tk.Tk() if self._own else tk.Toplevel(parent)
        self.root.title(title)
        self._figure = Figure(figsize=(8, 4.6), facecolor='white')
        self._canvas = FigureCanvasTkAgg(self._figure, self.root)
        self._text = ttk.Label(self.root, padding=8, font='TkFixedFont')
        self._text.pack(side=tk.BOTTOM, anchor=tk.W)
        self._canvas.get_tk_widget().pack(fill=tk.BOTH, expand=True)
        self.refresh()

    def refresh(self):
        """Draw what there is, and come back while the rounds go on."""
        if not self.root.winfo_exists():
            return  # closed since the last look
        rounds = readRounds(self._folder)
        self._figure.clear()
        if rounds:
            drawRounds(self._figure.subplots(), rounds)
            self._figure.tight_layout()
        self._canvas.draw_idle()
        self._text.config(text='\n'.join(roundLines(rounds)))
        if not self._finished():
            self.root.after(REFRESH, self.refresh)

    def show(self):
        if self._own:
            self.root.mainloop()


class RoundsView(View):
    """See RoundsWindow."""

    def __init__(self, *arguments):
        self._arguments = arguments

    def show(self):
        RoundsWindow(*self._arguments).show()
