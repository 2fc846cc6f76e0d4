# SPDX-License-Identifier: GPL-3.0-or-later
"""A comparison of sets of coordinates: the table of metrics, the agreement, the curves."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Dict

from ..window import CanvasWindow, addTable
from .group_plots import drawComparison

_METRICS = (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"), ("average_precision", "Average precision"))


def comparisonRows(comparison: Dict[str, Any]) -> Any:
    """[(set, picks, metrics as texts ...)], best F1 first; metrics are left out without a reference."""
    rows = []
    for name in comparison["sets"]:
        metrics = comparison["metrics"].get(name)
        rows.append(
            (name, comparison["counts"][name])
            + (tuple(f"{metrics[key]:.3f}" for key, _ in _METRICS) if metrics else ())
        )
    return sorted(rows, key=lambda row: row[4], reverse=True) if comparison["metrics"] else rows


class ComparisonWindow(CanvasWindow):
    """comparison: the engine's dict. curvesFile: picture, or None without a reference. parent: tk widget or None."""

    def __init__(self, parent: Any, comparison: Dict[str, Any], curvesFile: str, title: str) -> None:
        CanvasWindow.__init__(self, parent, title)
        ttk.Label(self.root, text=self._headline(comparison)).pack(anchor=tk.W, padx=8, pady=(8, 2))
        self._addTable(comparison)
        for note in comparison["notes"]:
            ttk.Label(self.root, text=note, wraplength=1000).pack(anchor=tk.W, padx=8)
        self.addFigure((11 if curvesFile else 6, 4.8), padx=8, pady=8)
        drawComparison(self._figure, comparison, curvesFile)

    def _headline(self, comparison: Dict[str, Any]) -> Any:
        text = (
            f"{comparison['micrographs']} micrographs; picks matched one to one within "
            f"{comparison['match_distance_px']:.1f} px ({comparison['tolerance']:g} particle radii)"
        )
        return text if comparison["metrics"] else text + ". Without a reference, only the agreement is shown."

    def _addTable(self, comparison: Dict[str, Any]) -> None:
        rows = comparisonRows(comparison)
        titles = ["Set", "Picks"] + ([title for _, title in _METRICS] if comparison["metrics"] else [])
        addTable(self.root, titles, rows)
