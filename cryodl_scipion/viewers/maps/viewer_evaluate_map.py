# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of the evaluation of a map, and of the comparison of two models."""

import csv
import os
import tkinter as tk
from typing import Any, Dict

import numpy as np

from ...convert.maps import structureFileOf
from ...convert.reading import readCsv
from ...engine.cryodl.contract import (
    MAP_METRICS,
    CompareModelsOutputs,
    half_map_resolutions,
    half_map_verdict,
    resolution_in_words,
)
from ...protocols.maps.protocol_evaluate_map import RESIDUES, CryodlProtEvaluateMap
from .. import plots, window
from ..panels_viewer import PanelsViewer, panel
from .viewer_map import LinkedMapsWindow

TITLES = ("Measure", "Map")
# Columns of residues.csv in words; the column of the map before ends with _before.
MEASURES = {"Q-score": "q_score", "Local correlation": "local_correlation"}
_NOW, _THEN = "#4477aa", "#999999"


def tableOf(evaluation: Dict[str, Any]) -> Any:
    """(titles, rows) of an evaluation.json, for a table."""
    before, halves = evaluation.get("before"), evaluation.get("half_maps") or {}
    maps = [evaluation, before] if before else [evaluation]
    inWords = lambda name, value: resolution_in_words(value) if name.endswith("angstrom") else f"{value:.3f}"
    measured = {name: words for name, words in MAP_METRICS.items() if name in evaluation}
    rows = [(words, *(inWords(name, each[name]) for each in maps)) for name, words in measured.items()]
    empty = ("",) * (len(maps) - 1)  # half-maps have no map before
    if halves:
        rows.append(("Half-maps, FSC 0.143", resolution_in_words(halves["resolution_angstrom"]), *empty))
    local = halves.get("local_resolution_angstrom")
    if local:
        words = "{median:.2f} Å ({p10:.2f} to {p90:.2f})".format(**local)
        rows.append(("Local resolution, median (10 % to 90 %)", words, *empty))
    return (*TITLES, *(["Original map"] if before else [])), rows


def mapVerdictOf(evaluation: Dict[str, Any]) -> Any:
    """(good, sentences) of the half-map test; (None, a sentence) without one."""
    if evaluation.get("half_map_test"):
        return half_map_verdict(half_map_resolutions(evaluation["half_map_test"]))
    return None, ["No half-map test here: it needs processed half-maps. See the run that improved the map, if one did."]


def readResidues(folder: str) -> Dict[str, Dict[str, Any]]:
    """{chain: {'names': ['12 ALA', ...], column of residues.csv: (n,) array}}, chains in the model's order."""
    chains: Dict[str, Dict[str, Any]] = {}
    for row in readCsv(os.path.join(folder, RESIDUES)):
        chain = chains.setdefault(row.pop("chain"), {})
        row["names"] = f"{row.pop('number')} {row.pop('name')}"
        for column, value in row.items():
            chain.setdefault(column, []).append(value)
    array = lambda column, values: values if column == "names" else np.array(values, float)
    return {name: {column: array(column, v) for column, v in chain.items()} for name, chain in chains.items()}


def drawResidues(axes: plots.Axes, chain: Dict[str, Any], measure: str) -> None:
    """A measure along one chain, of the map and of the one before. chain: of readResidues; measure: of MEASURES."""
    column, names = MEASURES[measure], chain["names"]
    for name, words, colour, width in ((column + "_before", "original", _THEN, 1), (column, "map", _NOW, 1.2)):
        if name in chain:
            axes.plot(chain[name], color=colour, linewidth=width, label=f"{words}: mean {chain[name].mean():.3f}")
    axes.axhline(0, color="0.8", linewidth=0.8)
    limits: Any = dict(xlim=(-0.5, max(len(names) - 0.5, 0.5)), ylim=(min(-0.05, chain[column].min() - 0.05), 1))
    plots.label(axes, "Residue", measure, whole="x", grid=True, legend=dict(loc="lower right"), **limits)
    axes.xaxis.set_major_formatter(
        lambda value, _: names[int(value)] if value == int(value) and 0 <= value < len(names) else ""
    )
    axes.tick_params(axis="x", labelsize=8)


class ResiduesWindow(window.CanvasWindow):
    def __init__(self, parent: Any, chains: Dict[str, Any], title: str) -> None:
        window.CanvasWindow.__init__(self, parent, title)
        self._chains = chains
        self._chain, self._measure = (tk.StringVar(self.root, next(iter(names))) for names in (chains, MEASURES))
        row = self.addRow(padding=8)
        self.addButtons(row, MEASURES, self._measure, self.refresh)
        self.addChoice(row, "Chain", self._chain, chains, 12, self.refresh)
        self.addFigure((10.5, 4.8))
        self.refresh()

    def refresh(self) -> None:
        self._figure.clear()
        drawResidues(self._figure.add_subplot(), self._chains[self._chain.get()], self._measure.get())
        self._figure.tight_layout()
        self._canvas.draw_idle()


_MAX_ROWS = 2000


class EvaluateViewer(PanelsViewer, section="Evaluation", wait="There is no evaluation", data="getEvaluation"):
    @panel(
        "Metrics and half-map test",
        "FSC, Q-score and local correlation of the map and the original map, with the same mask, the result of the "
        "half-map test, and pictures of FSC, local resolution and slices.",
    )
    def showMetrics(self, evaluation: Dict[str, Any]) -> Any:
        good, sentences = mapVerdictOf(evaluation)
        pictures = window.picturesIn(self.protocol.getEvaluationFolder())
        return self.window(window.PicturesWindow, self.title(), pictures, sentences, good, tableOf(evaluation))

    @panel("Before and after, slice by slice", "Both maps at the same position, across all three axes.")
    def showSlices(self, evaluation: Dict[str, Any]) -> Any:
        before, volume = self.protocol.inputBefore.get(), self.protocol.inputVolume.get()
        group = dict({} if before is None else {"before": structureFileOf(before)}, map=structureFileOf(volume))
        return self.window(LinkedMapsWindow, {"map": group}, self.title("Map"), (), None, volume.getSamplingRate())

    @panel("Q-score per residue", "Q-score and local correlation along each chain.")
    def showResidues(self, evaluation: Dict[str, Any]) -> Any:
        if not evaluation["structure"]:
            return self.infoMessage("There are no residues: no atomic model was given.", "No residues")
        return self.window(ResiduesWindow, readResidues(self.protocol.getEvaluationFolder()), self.title("Residues"))

    @panel(
        "Map and model in ChimeraX",
        "The model coloured by Q-score (red: 0, white: 0.4, blue: 0.8), the map by local resolution; without a model "
        "the map by its doubt.",
    )
    def showInChimera(self, evaluation: Dict[str, Any]) -> Any:
        script = "show.cxc" if evaluation["structure"] else "doubt.cxc"
        return self.chimera(os.path.join(self.protocol.getEvaluationFolder(), script), "script")


class CompareModelsViewer(PanelsViewer, section="Comparison", wait="There is no comparison", data="_made"):
    @panel("Matched residues", "Metrics, and the list of matched residues.")
    def showResidues(self, made: CompareModelsOutputs) -> Any:
        with open(self.protocol._output(), newline="", encoding="utf-8") as file:
            titles, *rows = list(csv.reader(file))
        words = tuple(title.capitalize().replace("_angstrom", " (Å)").replace("_", " ") for title in titles)
        lines = [line.replace("*", "") for line in self.protocol._tell(self.protocol._engineResults())]
        if len(rows) > _MAX_ROWS:
            lines.append(f"The first {_MAX_ROWS} of {len(rows)} pairs; all are in {self.protocol._output()}.")
        return self.window(window.PicturesWindow, self.title("Compared"), {}, lines, None, (words, rows[:_MAX_ROWS]))


class CryodlEvaluateMapViewer(
    PanelsViewer, targets=[CryodlProtEvaluateMap], ways=(EvaluateViewer, CompareModelsViewer)
):
    """What `Analyze results` opens for *evaluate map*."""
