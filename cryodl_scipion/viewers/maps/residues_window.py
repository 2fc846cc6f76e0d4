# SPDX-License-Identifier: GPL-3.0-or-later
"""Q-score and local correlation along the chains of a model."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Dict

from ..window import CanvasWindow
from .map_measures import MEASURES, drawResidues


class ResiduesWindow(CanvasWindow):
    """chains: of readResidues."""

    def __init__(self, parent: Any, chains: Dict[str, Any], title: str) -> None:
        CanvasWindow.__init__(self, parent, title)
        self._chains = chains
        self._chain, self._measure = (tk.StringVar(self.root, next(iter(names))) for names in (chains, MEASURES))
        row = ttk.Frame(self.root, padding=8)
        row.pack(fill=tk.X)
        for measure in MEASURES:
            ttk.Radiobutton(row, text=measure, value=measure, variable=self._measure, command=self.refresh).pack(
                side=tk.LEFT
            )
        ttk.Label(row, text="Chain").pack(side=tk.LEFT, padx=(16, 4))
        box = ttk.Combobox(row, textvariable=self._chain, values=list(chains), state="readonly", width=12)
        box.pack(side=tk.LEFT)
        box.bind("<<ComboboxSelected>>", lambda event: self.refresh())
        self.addFigure((10.5, 4.8))
        self.refresh()

    def refresh(self) -> None:
        self._figure.clear()
        drawResidues(self._figure.add_subplot(), self._chains[self._chain.get()], self._measure.get())
        self._figure.tight_layout()
        self._canvas.draw_idle()
