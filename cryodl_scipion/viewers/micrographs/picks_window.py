# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks on their micrographs, with a slider for the score."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Callable, List, Optional

from matplotlib.axes import Axes

from ...engine.cryodl.contract import counted
from ..micrograph_window import MicrographWindow
from ..plots import drawPicks
from .assessment_plots import drawAreas


class PicksWindow(MicrographWindow):
    """data: PicksData. accept: for wizards, see MicrographWindow. value: score to begin with, default the set's.
    correct: function that opens the window in which picks are corrected, and says so in one sentence; None where there
    is no project to keep the corrected picks in. subset: function that starts a run which keeps the picks from a score,
    and says so; None likewise."""

    def __init__(
        self,
        parent: Any,
        data: Any,
        title: str = "Picks",
        accept: Optional[Callable[..., Any]] = None,
        value: Optional[float] = None,
        correct: Optional[Callable[[], str]] = None,
        subset: Optional[Callable[[float], str]] = None,
    ) -> None:
        self._data, self._correct, self._subset, self._pixelSize = data, correct, subset, data.pixelSize
        slider = dict(from_=0, to=1, resolution=0.0001, label="Score threshold") if data.hasScores else None
        MicrographWindow.__init__(
            self,
            parent,
            title,
            data.names,
            data.paths,
            slider,
            data.threshold if value is None else value,
            data.firstToShow(),
            accept,
        )

    def _addControls(self, slider: Any) -> None:
        MicrographWindow._addControls(self, slider)
        if self._correct is not None:
            self.correctButton = ttk.Button(self._list.master, text="Correct picks", command=self.correct)
            self.correctButton.pack(fill=tk.X, pady=(2, 4), before=self._list)
        if self._subset is not None:
            ttk.Button(self._sliderRow, text="Create subset", command=self.createSubset).pack(
                side=tk.RIGHT, padx=(6, 0)
            )

    def correct(self) -> None:
        """Open the window in which picks are added, moved and removed."""
        if self._correct is not None:
            self.correctButton.config(state=tk.DISABLED)  # a second window would write the same files
            self.root.update_idletasks()
            self.message.set(self._correct())

    def createSubset(self) -> None:
        """Start a run that keeps the picks from the slider's score."""
        if self._subset is not None and self.settle():
            self.message.set(self._subset(self.value.get()))

    def refresh(self) -> None:
        MicrographWindow.refresh(self)
        self.updateLabels()

    def _micrographLabels(self) -> List[str]:
        return [f"{count:5d}   {name}" for count, name in zip(self._data.counts(self.value.get()), self._names)]

    def _drawOn(self, axes: Axes) -> None:
        drawAreas(axes, self._data.areas(self.index()), self._preview)
        drawPicks(axes, self._data.picks(self.index(), self.value.get()), self._data.diameter)

    def _text(self) -> str:
        counts = self._data.counts(self.value.get())
        if self.index() is None:
            return "There are no micrographs."
        text = f"{counted(counts[self.index()], 'pick')} on this micrograph, {counts.sum()} on all {len(counts)}"
        if self._data.areas(self.index()) is not None:
            text += "; avoided: contaminated areas in red, carbon in blue"
        return text if self._data.hasScores else text + " (these coordinates have no scores)"
