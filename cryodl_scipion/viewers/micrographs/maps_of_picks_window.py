# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of several sets of picks: the table of resolutions and the FSC curves."""

import tkinter as tk
from tkinter import ttk
from typing import Any, List, Tuple

from matplotlib.figure import Figure

from ...engine.cryodl.contract import resolution_in_words
from ..map_plots import drawFsc
from ..plots import shortened
from ..window import CanvasWindow, addTable

_TITLES = ("Set", "Particles", "FSC 0.143", "Loss", "Images of noise", "FSC 0.5 with the structure")


def resolutionRows(made: Any) -> List[Tuple[Any, ...]]:
    """[(set, particles, resolutions as texts ...)], in the order of the sets. made: the engine's outputs."""
    rows = []
    for name in made.sets:
        loss = "" if made.loss[name] is None else f"{made.loss[name]:+.1f} %"
        reached, structure = (
            resolution_in_words(values[name]) for values in (made.resolution, made.structure_resolution)
        )
        noise = resolution_in_words(made.noise_resolution[name], "nothing agrees")
        rows.append((name, made.particles[name], reached, loss, noise, structure))
    return rows


def drawFscsOfSets(figure: Figure, made: Any) -> None:
    """FSC of the half-maps, and of the maps with the structure, a curve for each set."""
    for axes, curves, title, threshold in zip(
        figure.subplots(1, 2), (made.fsc, made.structure_fsc), ("Half-maps", "Map and structure"), (0.143, 0.5)
    ):
        drawFsc(
            axes,
            {shortened(name): curves[name] for name in made.sets},
            made.pixel_size,
            made.box,
            thresholds=(threshold,),
        )
        axes.axvline(1 / made.search_resolution, color="grey", linestyle="--", linewidth=1)
        axes.set_title(title, fontsize=10)


class MapsOfPicksWindow(CanvasWindow):
    """made: the engine's outputs. parent: tk widget or None."""

    def __init__(self, parent: Any, made: Any, title: str) -> None:
        CanvasWindow.__init__(self, parent, title)
        headline = (
            f"{made.micrographs} micrographs. Loss: by how much the resolution is worse than that of "
            f"{made.measured_by}. Dashed line: {made.search_resolution:.1f} Å; particles were oriented by coarser "
            "detail, so agreement beyond does not come from the structure."
        )
        ttk.Label(self.root, text=headline, wraplength=1000).pack(anchor=tk.W, padx=8, pady=(8, 2))
        addTable(self.root, _TITLES, resolutionRows(made))
        for note in made.notes:
            ttk.Label(self.root, text=note, wraplength=1000).pack(anchor=tk.W, padx=8)
        self.addFigure((11, 4.8), padx=8, pady=8)
        drawFscsOfSets(self._figure, made)
        self._figure.tight_layout()
