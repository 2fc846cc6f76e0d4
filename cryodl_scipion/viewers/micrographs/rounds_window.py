# SPDX-License-Identifier: GPL-3.0-or-later
"""The rounds of automatic picking, drawn and in words; live while they are made."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Dict, List, Sequence

from ...convert.micrographs.rounds import bestRound, readRounds, roundInWords
from ..plots import drawRounds
from ..window import FollowingWindow


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
