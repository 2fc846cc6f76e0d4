# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences, a table, and below them pictures that the engine has drawn, one at a time, or a drawing."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Optional, Sequence

from pwem.objects import SetOfMicrographs

from .micrographs.assessment_plots import BAD_COLOUR, GOOD_COLOUR
from .plots import drawPicture
from .window import CanvasWindow, addTable

_ROWS_ALONE = 25  # of a table without pictures below


class PicturesWindow(CanvasWindow):
    """pictures: {name: file}. sentences: list. good: the verdict, None for none. table: (titles, rows). first: name.
    drawing: (function that draws on a figure, its width and height in inches). note: last line, which can be copied."""

    def __init__(
        self,
        parent: Any,
        title: str,
        pictures: Any,
        sentences: Sequence[Any] = (),
        good: Optional[SetOfMicrographs] = None,
        table: Any = None,
        first: Any = None,
        drawing: Any = None,
        note: str = "",
    ) -> None:
        CanvasWindow.__init__(self, parent, title)
        self._pictures = pictures
        self._name = tk.StringVar(self.root, first if first in pictures else next(iter(pictures), ""))
        if good is not None:
            tk.Label(
                self.root,
                text="no warning" if good else "warning",
                fg="white",
                padx=8,
                pady=3,
                bg=GOOD_COLOUR if good else BAD_COLOUR,
            ).pack(anchor=tk.W, padx=8, pady=(8, 2))
        for sentence in sentences:
            ttk.Label(self.root, text=sentence, wraplength=1000).pack(anchor=tk.W, padx=8)
        if table:
            addTable(self.root, *table, **({} if pictures or drawing else {"maximum": _ROWS_ALONE}))
        if pictures:
            self._addPictures()
        if drawing:
            self.addFigure(drawing[1], padx=8, pady=8)
            drawing[0](self._figure)
            self._figure.tight_layout()
        if note:
            line = ttk.Entry(self.root, width=len(note))
            line.insert(0, note)
            line.config(state="readonly")
            line.pack(fill=tk.X, padx=8, pady=(0, 8))

    def _addPictures(self) -> None:
        row = ttk.Frame(self.root, padding=(8, 6, 8, 0))
        row.pack(fill=tk.X)
        for name in self._pictures:
            ttk.Radiobutton(row, text=name, value=name, variable=self._name, command=self.refresh).pack(side=tk.LEFT)
        self.addFigure((10.5, 5.6), padx=8, pady=8)
        self.refresh()

    def refresh(self) -> None:
        drawPicture(self._figure, self._pictures[self._name.get()])
        self._canvas.draw_idle()
