# SPDX-License-Identifier: GPL-3.0-or-later
"""Picks on their micrographs, each group with its colour."""

import functools
import tkinter as tk
from tkinter import ttk
from typing import Any, Callable, List, Optional

from matplotlib.axes import Axes

from ...engine.cryodl.contract import counted
from ..micrograph_window import MicrographWindow
from .group_plots import colourOf, drawGroups

_KEYS = 9  # groups that have a key


class GroupsWindow(MicrographWindow):
    """data: GroupedPicks. Each group is switched on and off by its name, or by the key of its number. subset: function
    that starts a run which keeps what is seen at a value of the slider, and says so in one sentence; None for none."""

    def __init__(self, parent: Any, data: Any, title: str, subset: Optional[Callable[[float], str]] = None) -> None:
        self._data, self._pixelSize, self._subset = data, data.pixelSize, subset
        MicrographWindow.__init__(
            self, parent, title, data.names, data.paths, data.slider, data.value, data.firstToShow()
        )

    def _addControls(self, slider: Any) -> None:
        row = ttk.Frame(self.root)
        row.pack(fill=tk.X, padx=6, pady=(4, 0))
        if self._data.modes:
            ttk.Label(row, text="Colours").pack(side=tk.LEFT)
            self.mode = tk.StringVar(self.root, self._data.modes[0])
            width = max(len(mode) for mode in self._data.modes)
            box = ttk.Combobox(row, textvariable=self.mode, values=self._data.modes, state="readonly", width=width)
            box.bind("<<ComboboxSelected>>", lambda event: self.changeMode())
            box.pack(side=tk.LEFT, padx=6)
        self._switches = ttk.Frame(row)
        self._switches.pack(side=tk.LEFT)
        for number in range(1, _KEYS + 1):
            flip = functools.partial(self._flip, number - 1)
            self.root.bind(f"<KeyPress-{number}>", lambda event, flip=flip: self._key(event, flip))
        self._addSwitches()
        MicrographWindow._addControls(self, slider)
        if self._subset is not None and slider is not None:
            button = ttk.Button(self._sliderRow, text="Create subset", command=self.createSubset)
            button.pack(side=tk.RIGHT, padx=(6, 0))

    def _addSwitches(self) -> None:
        """A box to tick for each group, with its colour."""
        for old in self._switches.winfo_children():
            old.destroy()
        self._on = [tk.BooleanVar(self.root, True) for _ in self._data.labels]
        for number, (on, label) in enumerate(zip(self._on, self._data.labels), 1):
            colour = colourOf(number, self._data.colours)
            swatch = tk.Frame(self._switches, width=12, height=12, background=colour, borderwidth=1, relief=tk.SOLID)
            swatch.pack(side=tk.LEFT, padx=(8, 2))
            text = f"{label} ({number})" if number <= _KEYS else label
            ttk.Checkbutton(self._switches, text=text, variable=on, command=self.choose).pack(side=tk.LEFT)

    def changeMode(self) -> None:
        """Let the colours mean what was chosen."""
        self._data.choose(self.mode.get())
        self._addSwitches()
        self.refresh()

    def createSubset(self) -> None:
        """Start a run that keeps what the slider shows."""
        if self._subset is not None and self.settle():
            self.message.set(self._subset(self.value.get()))

    def _flip(self, index: int) -> None:
        if index < len(self._on):
            self._on[index].set(not self._on[index].get())
            self.choose()

    def choose(self) -> None:
        """Draw the groups that are on."""
        self._data.off = {number for number, on in enumerate(self._on, 1) if not on.get()}
        self.refresh()

    def refresh(self) -> None:
        MicrographWindow.refresh(self)
        self.updateLabels()

    def _micrographLabels(self) -> List[str]:
        return [f"{count:5d}   {name}" for count, name in zip(self._data.counts(self.value.get()), self._names)]

    def _drawOn(self, axes: Axes) -> None:
        picks = self._data.picks(self.index(), self.value.get())
        drawGroups(axes, picks, self._data.labels, self._data.diameter, self._data.colours)

    def _text(self) -> str:
        if self.index() is None:
            return "There are no micrographs."
        counts = self._data.counts(self.value.get())
        return (
            f"{counted(counts[self.index()], 'pick')} on this micrograph, {counts.sum()} on all {len(counts)}, "
            f"{self._data.words(self.value.get())}"
        )
