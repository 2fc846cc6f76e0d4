# SPDX-License-Identifier: GPL-3.0-or-later
"""The rounds of automatic picking, drawn and in words; live while they are made."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Callable, Dict, List, Sequence

from ...convert.micrographs.rounds import bestRound, readRounds, roundInWords
from ..plots import drawRounds
from ..window import FollowingWindow
from .picks_window import PicksWindow


def roundLines(rounds: Sequence[Dict[str, Any]]) -> List[str]:
    """What each round did, one line each. rounds: of readRounds."""
    if not rounds:
        return ["No round is finished yet. Round 0 is the first model, before any training."]
    best = bestRound(rounds)
    lines = [
        f"Round {entry['round']}{' (best)' if entry['round'] == best else ''}: {roundInWords(entry)}."
        for entry in rounds
    ]
    return lines + ["The best round picks all micrographs."]


class RoundsWindow(FollowingWindow):
    """parent: tk widget or None. folder: of the picks, with rounds.csv. finished: function, True when no more will
    come."""

    def __init__(self, parent: Any, folder: str, title: str, finished: Any) -> None:
        FollowingWindow.__init__(self, parent, title)
        self._folder, self.finished = folder, finished
        self._text = ttk.Label(self.root, padding=8, font="TkFixedFont")
        self._text.pack(side=tk.BOTTOM, anchor=tk.W)
        self.addFigure((8, 4.6))
        self.refresh()

    def draw(self) -> None:
        rounds = readRounds(self._folder)
        self._figure.clear()
        if rounds:
            drawRounds(self._figure.subplots(), rounds)
            self._figure.tight_layout()
        self._text.config(text="\n".join(roundLines(rounds)))


class RoundPicksWindow(PicksWindow):
    """picksOf: function that gives the PicksData of a round. rounds: their numbers. best: the one to begin with."""

    def __init__(
        self, parent: Any, picksOf: Callable[[int], Any], rounds: Sequence[int], best: int, title: str = "Rounds"
    ) -> None:
        self._picksOf, self._rounds, self._best = picksOf, rounds, best
        PicksWindow.__init__(self, parent, picksOf(best), title)

    def _addControls(self, slider: Any) -> None:
        PicksWindow._addControls(self, slider)
        row = ttk.Frame(self._list.master)
        row.pack(fill=tk.X, pady=(2, 4), before=self._list)
        ttk.Label(row, text="Round").pack(side=tk.LEFT)
        names = [f"{number} (best)" if number == self._best else str(number) for number in self._rounds]
        self.chooser = ttk.Combobox(row, values=names, state="readonly", width=10)
        self.chooser.current(list(self._rounds).index(self._best))
        self.chooser.pack(side=tk.LEFT, padx=6)
        self.chooser.bind("<<ComboboxSelected>>", lambda event: self.showRound())

    def showRound(self) -> None:
        """Show the picks of the chosen round."""
        self._data = self._picksOf(self._rounds[self.chooser.current()])
        self._names, self._paths = self._data.names, self._data.paths
        self.value.set(self._data.threshold)
        self.refresh()
