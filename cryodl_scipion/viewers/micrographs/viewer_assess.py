# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of assessed micrographs."""

import glob
import os
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from ...convert import form, names
from ...convert.micrographs import ctfs, picks
from ...protocols.micrographs.protocol_assess import BAD, GOOD, CryodlProtAssess
from .. import micrograph_window, panels_viewer
from ..plots import BAD_COLOUR, GOOD_COLOUR, Axes, Figure, drawAreas, drawPicks, label

_BINS, _COLUMNS = 24, 3


def drawMetrics(figure: Figure, assessed: Sequence[Any], limits: Dict[str, Any]) -> None:
    """Histograms of metrics. assessed: [({attribute: number or None}, good)]. limits: {attribute: number or None}."""
    measured = [a for a in ctfs.METRICS if any(values[a] is not None for values, _ in assessed)]
    panels = figure.subplots(-(-max(1, len(measured)) // _COLUMNS), _COLUMNS, squeeze=False).ravel()
    for axes, attribute in zip(panels, measured):
        drawOne(axes, attribute, assessed, limits.get(attribute))
    for axes in panels[len(measured) :]:
        axes.set_axis_off()


def drawOne(axes: Axes, attribute: str, assessed: Sequence[Any], limit: Optional[float]) -> None:
    known = [(v[attribute], good) for v, good in assessed if v[attribute] is not None]
    values = [[value for value, good in known if good == kind] for kind in (True, False)]
    # a limit is seen beside the metrics, whose bars are then never thinner than the picture can show
    seen = [value for value, _ in known] + [limit] * (limit is not None)
    low, high = min(seen), max(seen)
    edges = [float(edge) for edge in np.linspace(low, high if high > low else low + 1, _BINS + 1)]
    axes.hist(values, bins=edges, stacked=True, color=[GOOD_COLOUR, BAD_COLOUR])
    if limit is not None:
        axes.axvline(limit, color="black", linestyle="--", linewidth=1, label=f"limit {limit:g}")
    label(axes, ctfs.METRICS[attribute].label, "Micrographs", whole="y")


class AssessedMicrographs(micrograph_window.Pictures):
    """good, bad: SetOfMicrographs or None; they may still be growing. coordinates: SetOfCoordinates or None. diameter:
    of the particles, Å. records: folder with the engine's files of the micrographs, in any depth, or "". named: all
    micrographs of the run, by which the engine named each; or None."""

    def __init__(
        self, good: Any, bad: Any, coordinates: Any = None, diameter: float = 0, records: str = "", named: Any = None
    ) -> None:
        both = [(m.clone(), verdict) for source, verdict in ((bad, False), (good, True)) for m in source or ()]
        both.sort(key=lambda pair: pair[0].getObjId())
        micrographs = [m for m, _ in both]
        micrograph_window.Pictures.__init__(
            self, [m.getMicName() for m in micrographs], [m.getFileName() for m in micrographs]
        )
        self.metrics = [(ctfs.metricsOf(m), verdict) for m, verdict in both]
        self.reasons = [getattr(m, ctfs.REASON).get() or "" for m in micrographs]
        self.pixelSize = micrographs[0].getSamplingRate() if micrographs else 1.0
        found = {} if coordinates is None else picks.scaledPicks(coordinates, self.names, self.pixelSize)
        self.picks = [found.get(name, []) for name in self.names]
        self.diameter = diameter / self.pixelSize
        self._engineNames, self._folder = names.namesByMicName(micrographs if named is None else named), records
        self.first = next((i for i, (_, verdict) in enumerate(both) if not verdict), 0)  # the first bad one

    def areas(self, index: int) -> Any:
        """(rows, columns) array of a micrograph: 1 contaminated, 2 carbon, 0 neither; None if nobody knows."""
        if not self._folder:
            return None
        name = glob.escape(self._engineNames[self.names[index]]) + ".json"
        paths = glob.glob(os.path.join(glob.escape(self._folder), "**", name), recursive=True)
        return next((areas for areas in map(ctfs.readAreas, paths) if areas is not None), None)

    def inWords(self, index: int) -> str:
        values, _ = self.metrics[index]
        return ", ".join(
            f"{metric.label[0].lower() + metric.label[1:]} {values[attribute]:.3g}"
            for attribute, metric in ctfs.METRICS.items()
            if values[attribute] is not None
        )

    def verdict(self, index: int) -> str:
        reason = f" ({self.reasons[index]})" if self.reasons[index] else ""
        return "good" if self.metrics[index][1] else f"bad{reason}"


class AssessmentWindow(micrograph_window.MicrographWindow):
    def _labels(self) -> List[str]:
        return [f"{'good' if good else 'bad':<5} {n}" for (_, good), n in zip(self._data.metrics, self._data.names)]

    def _drawOn(self, axes: Axes) -> None:
        drawAreas(axes, self._data.areas(self.index()), self._preview)
        drawPicks(axes, self._data.picks[self.index()], self._data.diameter)
        colour = GOOD_COLOUR if self._data.metrics[self.index()][1] else BAD_COLOUR
        look: Any = dict(transform=axes.transAxes, va="top", fontsize=13, color="white")
        axes.text(0.01, 0.99, self._data.verdict(self.index()), bbox=dict(facecolor=colour, edgecolor="none"), **look)

    def _text(self) -> str:
        return self._data.inWords(self.index()) + ". Red: contaminated. Blue: carbon. Green: picks."


class CryodlAssessViewer(
    panels_viewer.PanelsViewer,
    targets=[CryodlProtAssess],
    section="Assessment",
    wait="No micrograph is assessed",
    until="the first batch is done",
):
    def _data(self) -> Any:
        good, bad = sets = [getattr(self.protocol, name, None) for name in (GOOD, BAD)]
        if sets == [None, None]:
            return None
        coordinates, diameter = self.protocol.inputCoordinates.get(), self.protocol._config().particle_diameter or 0
        named, records = self.protocol.inputMicrographs.get(), self.protocol._getExtraPath("batches")
        return AssessedMicrographs(good, bad, coordinates, diameter, records, named)

    @panels_viewer.panel(
        "Micrographs and verdicts",
        "Each micrograph with picks, contaminated and carbon areas and metrics, and why it is bad.",
    )
    def showMicrographs(self, data: Any) -> Any:
        return self.window(AssessmentWindow, data, "Assessed micrographs")

    @panels_viewer.panel(
        "Metrics and limits", "Histograms of the metrics, with the limits of this run. Green: good. Red: bad."
    )
    def showMetrics(self, data: Any) -> Any:
        named = {attribute: form.formName(metric.limit) for attribute, metric in ctfs.METRICS.items() if metric.limit}
        limits = {attribute: getattr(self.protocol, name).get() for attribute, name in named.items()}
        return self.plot("Assessed micrographs", lambda figure: drawMetrics(figure, data.metrics, limits), (12, 7))
