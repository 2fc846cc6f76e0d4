# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of the evaluation of a map, and of the comparison of two models."""

import csv
import os
from typing import Any, Dict, List, Optional

from ...convert.structures import structureFileOf
from ...engine.cryodl.contract.maps.evaluating import CompareModelsOutputs
from ...protocols import CryodlProtEvaluateMap
from ..chimera import chimeraViews
from ..evaluation_words import picturesIn
from ..map_plots import drawFscAt
from ..panels_viewer import Panel, PanelsViewer
from ..pictures_window import PicturesWindow
from ..window import WindowView
from .linked_maps_window import LinkedMapsWindow
from .map_measures import drawLocalResolution, localResolutions, mapVerdictOf, readResidues, tableOf
from .residues_window import ResiduesWindow

_SCRIPT = "show.cxc"
_MAX_ROWS = 2000


class EvaluateViewer(PanelsViewer):
    """What `Analyze results` opens for an evaluation of a map."""

    _SECTION = "Evaluation"
    _PANELS = (
        Panel(
            "showMetrics",
            "Metrics and half-map test",
            "FSC, Q-score and local correlation of the map and the original map, with the same mask, and the result "
            "of the half-map test.",
        ),
        Panel(
            "showSlices", "Before and after, slice by slice", "Both maps at the same position, across all three axes."
        ),
        Panel("showFsc", "FSC curves", "FSC between map and model, of the half-maps, and of the half-map test."),
        Panel("showResidues", "Q-score per residue", "Q-score and local correlation along each chain."),
        Panel(
            "showLocal",
            "Local resolution",
            "Histogram of the local resolution, from the windowed FSC of the half-maps.",
        ),
        Panel(
            "showInChimera",
            "Map and model in ChimeraX",
            "The model coloured by Q-score (red: 0, white: 0.4, blue: 0.8), the map by local resolution.",
        ),
    )
    _WAIT = "There is no evaluation yet. Wait until the run has finished."

    def _data(self) -> Optional[Dict[str, Any]]:
        return self.protocol.getEvaluation()

    def _folder(self) -> str:
        return self.protocol.getEvaluationFolder()

    def _showMetrics(self, evaluation: Dict[str, Any]) -> List[str]:
        good, sentences = mapVerdictOf(evaluation, self.protocol.getTestOfImproving())
        return [
            WindowView(
                PicturesWindow,
                self.getTkRoot(),
                f"Evaluation: {self.protocol.getRunName()}",
                picturesIn(self._folder()),
                sentences,
                good,
                tableOf(evaluation),
            )
        ]

    def _showSlices(self, evaluation: Dict[str, Any]) -> List[WindowView]:
        before, volume = self.protocol.inputBefore.get(), self.protocol.inputVolume.get()
        group = dict({} if before is None else {"before": structureFileOf(before)}, map=structureFileOf(volume))
        return [WindowView(LinkedMapsWindow, self.getTkRoot(), {"map": group}, f"Map: {self.protocol.getRunName()}")]

    def _showFsc(self, evaluation: Dict[str, Any]) -> List[Any]:
        frequencies, curves = self.protocol.getCurves()
        plotter = self._plot("FSC")
        drawFscAt(plotter.getFigure().add_subplot(), frequencies, curves)
        return [plotter]

    def _showResidues(self, evaluation: Dict[str, Any]) -> List[str]:
        return [
            WindowView(
                ResiduesWindow,
                self.getTkRoot(),
                readResidues(self._folder()),
                f"Residues: {self.protocol.getRunName()}",
            )
        ]

    def _showLocal(self, evaluation: Dict[str, Any]) -> List[Any]:
        values = localResolutions(self._folder())
        if values is None or not values.size:
            return [
                self.infoMessage(
                    "There is no local resolution, because the map has no half-maps or they do not agree.",
                    "No local resolution",
                )
            ]
        plotter = self._plot("Local resolution", (7, 4))
        drawLocalResolution(plotter.getFigure().add_subplot(), values)
        return [plotter]

    def _showInChimera(self, evaluation: Dict[str, Any]) -> List[Any]:
        return chimeraViews(self, os.path.join(self._folder(), _SCRIPT), "script")


class CompareModelsViewer(PanelsViewer):
    """What `Analyze results` opens for a comparison of two models."""

    _SECTION = "Comparison"
    _PANELS = (Panel("showResidues", "Matched residues", "Metrics, and the list of matched residues."),)
    _WAIT = "There is no comparison yet. Wait until the run has finished."

    def _data(self) -> Optional[CompareModelsOutputs]:
        return self.protocol.getCompared()

    def _showResidues(self, made: CompareModelsOutputs) -> List[WindowView]:
        with open(self.protocol.getTable(), newline="", encoding="utf-8") as file:
            titles, *rows = list(csv.reader(file))
        words = tuple(title.capitalize().replace("_angstrom", " (Å)").replace("_", " ") for title in titles)
        lines = [line.replace("*", "") for line in self.protocol._tell(self.protocol._engineResults())]
        if len(rows) > _MAX_ROWS:
            lines.append(f"The first {_MAX_ROWS} of {len(rows)} pairs; all are in {self.protocol.getTable()}.")
        return [
            WindowView(
                PicturesWindow,
                self.getTkRoot(),
                f"Compared: {self.protocol.getRunName()}",
                {},
                lines,
                None,
                (words, rows[:_MAX_ROWS]),
            )
        ]


class CryodlEvaluateMapViewer(PanelsViewer):
    """What `Analyze results` opens for *evaluate map*."""

    _label = "map evaluation viewer"
    _targets = [CryodlProtEvaluateMap]
    WAYS = (EvaluateViewer, CompareModelsViewer)
