# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences, a table, and below them pictures that the engine has drawn, one at a time, or a drawing."""

import os
import tkinter as tk
from tkinter import ttk
from typing import Any, Dict, Optional, Sequence

from pwem.objects import SetOfMicrographs

from ..engine.cryodl.contract import resolution_in_words
from .plots import BAD_COLOUR, GOOD_COLOUR, drawPicture
from .window import CanvasWindow, addTable

TITLES = ("Images", "Mean FRC with the ground truth", "FRC 0.5", "FRC 0.143")
_IMAGES = (("raw", "raw"), ("wiener", "Wiener filter (best linear filter)"), ("denoised", "denoised"))
_CONTROLS = (
    ("noise", "denoised pure noise, random ground truth"),
    ("unrelated", "unrelated projections, random ground truth"),
)
# File names of the engine's pictures, in the order of reading.
PICTURES = {
    "frc": "FRC with the ground truth",
    "fsc": "FSC of maps",
    "control": "Control",
    "triplets": "Triplets",
    "gallery": "Gallery",
    "q_score": "Q-score",
    "slices": "Slices",
    "local_resolution": "Local resolution",
}


def tableRows(evaluation: Dict[str, Any]) -> Any:
    """Rows of TITLES: raw, filtered and denoised images, and below them the controls."""
    rows = []
    for key, label in _IMAGES:
        if key in evaluation["mean_frc"]:
            reached = (evaluation.get("resolution") or {}).get(key) or {}
            rows.append(
                (
                    label,
                    _number(evaluation["mean_frc"][key]),
                    resolution_in_words(reached.get("0.5")),
                    resolution_in_words(reached.get("0.143")),
                )
            )
    control = evaluation.get("control") or {}
    return rows + [("control: " + label, _number(control[key]), "", "") for key, label in _CONTROLS if key in control]


def _number(value: float) -> str:
    return "-" if value is None else f"{value:.3f}"


def picturesIn(folder: str) -> Dict[str, Any]:
    """{name: file} of the pictures that are there, in the order of reading."""
    paths = [(label, os.path.join(folder, key + ".png")) for key, label in PICTURES.items()]
    return {label: path for label, path in paths if os.path.exists(path)}


def verdictOf(evaluation: Dict[str, Any]) -> Any:
    """(no warning?, sentences) of the control."""
    control = evaluation.get("control") or {}
    return control.get("verdict") == "ok", list(control.get("sentences") or [])


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
