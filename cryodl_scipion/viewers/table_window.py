# SPDX-License-Identifier: GPL-3.0-or-later
"""A table in a window of its own."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Sequence

from .window import CanvasWindow, addTable


class TableWindow(CanvasWindow):
    """titles: of the columns. rows: of texts. note: line below, which can be copied."""

    def __init__(
        self, parent: Any, title: str, titles: Sequence[str], rows: Sequence[Sequence[Any]], note: str = ""
    ) -> None:
        CanvasWindow.__init__(self, parent, title)
        addTable(self.root, titles, rows, 220, maximum=28)
        if note:
            line = ttk.Entry(self.root, width=len(note))
            line.insert(0, note)
            line.config(state="readonly")
            line.pack(fill=tk.X, padx=8, pady=(0, 8))
