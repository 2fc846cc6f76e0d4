# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of assessed micrographs."""

import glob
import os
from typing import Any, Dict, List, Optional

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pwem.objects import SetOfCoordinates, SetOfMicrographs

from ...convert.micrographs.ctfs import METRICS, REASON, metricsOf, readAreas
from ...convert.micrographs.picks import positionsByMicrograph
from ...convert.names import micrographNames
from ...form import formName
from ...protocols import CryodlProtAssess
from ...protocols.micrographs.protocol_assess import BAD, GOOD
from ..micrograph_window import MicrographWindow
from ..panels_viewer import PanelsViewer, panel
from ..plots import BAD_COLOUR, GOOD_COLOUR, drawAreas, drawPicks

_BINS = 24


def drawMetrics(figure: Figure, assessed: SetOfMicrographs, limits: Dict[str, Any]) -> None:
    """A histogram of each measured metric, with its limit, and a scatter of two of them.

    assessed: [({attribute: number or None}, good)]. limits: {attribute: number or None}.
    """
    figure.clear()
    measured = [a for a in METRICS if any(values[a] is not None for values, _ in assessed)]
    columns = 3
    rows = -(-(len(measured) + 1) // columns)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, attribute in zip(panels, measured):
        drawOne(axes, attribute, assessed, limits.get(attribute))
    if len(measured) > 1:
        drawScatter(panels[len(measured)], measured, assessed, limits)
    for axes in panels[len(measured) + (len(measured) > 1) :]:
        axes.set_axis_off()
    figure.tight_layout()


def drawOne(axes: Axes, attribute: str, assessed: SetOfMicrographs, limit: Optional[float]) -> None:
    """Histogram of one metric, good and bad micrographs on top of each other."""
    values = [
        [v[attribute] for v, good in assessed if good == kind and v[attribute] is not None] for kind in (True, False)
    ]
    known = np.concatenate([np.array(v, float) for v in values])
    low, high = known.min(), known.max()
    if limit is not None:  # seen beside the metrics, whose bars are then never thinner than the picture can show
        low, high = min(low, limit), max(high, limit)
    axes.hist(
        values,
        bins=[float(edge) for edge in np.linspace(low, high if high > low else low + 1, _BINS + 1)],
        stacked=True,
        color=[GOOD_COLOUR, BAD_COLOUR],
        label=["good", "bad"],
    )
    drawLimit(axes.axvline, limit)
    axes.set_xlabel(METRICS[attribute].label)
    axes.set_ylabel("Micrographs")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()


def drawLimit(line: Any, limit: Optional[float]) -> None:
    if limit is not None:
        line(limit, color="black", linestyle="--", linewidth=1, label=f"limit {limit:g}")


def drawScatter(axes: Axes, measured: Any, assessed: SetOfMicrographs, limits: Dict[str, Any]) -> None:
    """The first two of the most telling metrics that were measured, one point for each micrograph."""
    across, up = sorted(measured, key=_telling)[:2]
    for kind, colour, label in ((True, GOOD_COLOUR, "good"), (False, BAD_COLOUR, "bad")):
        points = [(v[across], v[up]) for v, good in assessed if good == kind and None not in (v[across], v[up])]
        if points:
            axes.plot(*zip(*points), ".", color=colour, label=label)
    drawLimit(axes.axvline, limits.get(across))
    drawLimit(axes.axhline, limits.get(up))
    axes.set_xlabel(METRICS[across].label)
    axes.set_ylabel(METRICS[up].label)
    if axes.get_legend_handles_labels()[1]:
        axes.legend()


def _telling(attribute: str) -> Any:
    order = ("_cryodlParticles", "_cryodlContaminated", "_cryodlCarbon", "_cryodlIceGradient", "_cryodlMeanScore")
    return order.index(attribute) if attribute in order else len(order)


class AssessedMicrographs:
    """good, bad: SetOfMicrographs or None; they may still be growing. coordinates: SetOfCoordinates or None. diameter:
    of the particles, Å. records: folder with the engine's files of the micrographs, in any depth, or None."""

    def __init__(
        self,
        good: SetOfMicrographs,
        bad: SetOfMicrographs,
        coordinates: Optional[SetOfCoordinates] = None,
        diameter: float = 0,
        records: Optional[str] = None,
    ) -> None:
        both = [
            (m.clone(), isGood) for source, isGood in ((bad, False), (good, True)) if source is not None for m in source
        ]
        both.sort(key=lambda pair: pair[0].getObjId())
        self.names = [m.getMicName() for m, _ in both]
        self.paths = [m.getFileName() for m, _ in both]
        self.metrics = [(metricsOf(m), isGood) for m, isGood in both]
        self.reasons = [getattr(m, REASON).get() or "" for m, _ in both]
        found = positionsByMicrograph(coordinates) if coordinates is not None else {}
        self.picks = [found.get(m.getObjId(), []) for m, _ in both]
        self.pixelSize: float = both[0][0].getSamplingRate() if both else 1.0
        self.diameter = diameter / self.pixelSize
        names = micrographNames([m for m, _ in both])
        self._engineNames, self._folder = [names[m.getObjId()] for m, _ in both], records

    def areas(self, index: int) -> Any:
        """(rows, columns) array of a micrograph: 1 contaminated, 2 carbon, 0 neither; None if nobody knows."""
        if self._folder is None:
            return None
        name = glob.escape(self._engineNames[index]) + ".json"
        for path in glob.glob(os.path.join(glob.escape(self._folder), "**", name), recursive=True):
            areas = readAreas(path)
            if areas is not None:
                return areas
        return None

    def firstToShow(self) -> Any:
        """Index of the first bad micrograph, else 0."""
        return next((i for i, (_, good) in enumerate(self.metrics) if not good), 0)

    def inWords(self, index: int) -> str:
        """'particles 3, mean score 0.81, ...': what was measured."""
        values, _ = self.metrics[index]
        return ", ".join(
            f"{metric.label[0].lower() + metric.label[1:]} {values[attribute]:.3g}"
            for attribute, metric in METRICS.items()
            if values[attribute] is not None
        )

    def verdict(self, index: int) -> str:
        if self.metrics[index][1]:
            return "good"
        return f"bad ({self.reasons[index]})" if self.reasons[index] else "bad"


class AssessmentWindow(MicrographWindow):
    """data: AssessedMicrographs."""

    def __init__(self, parent: Any, data: Any, title: str) -> None:
        self._data, self._pixelSize = data, data.pixelSize
        MicrographWindow.__init__(self, parent, title, data.names, data.paths, None, 0, data.firstToShow())

    def _micrographLabels(self) -> List[str]:
        return [f"{'good' if good else 'bad':<5} {name}" for (_, good), name in zip(self._data.metrics, self._names)]

    def _drawOn(self, axes: Axes) -> None:
        drawAreas(axes, self._data.areas(self.index()), self._preview)
        drawPicks(axes, self._data.picks[self.index()], self._data.diameter)
        for old in [t for t in axes.texts if t.get_gid() == "verdict"]:
            old.remove()
        good = self._data.metrics[self.index()][1]
        text = axes.text(
            0.01,
            0.99,
            self._data.verdict(self.index()),
            transform=axes.transAxes,
            va="top",
            fontsize=13,
            color="white",
            bbox=dict(facecolor=GOOD_COLOUR if good else BAD_COLOUR, edgecolor="none"),
        )
        text.set_gid("verdict")

    def _text(self) -> Any:
        if self.index() is None:
            return "There are no micrographs."
        return self._data.inWords(self.index()) + ". Red: contaminated. Blue: carbon. Green: picks."


class CryodlAssessViewer(
    PanelsViewer,
    targets=[CryodlProtAssess],
    section="Assessment",
    wait="No micrograph is assessed yet. Wait until the first batch is done.",
):
    """What `Analyze results` opens for an assessment, also while it goes on."""

    def _data(self) -> Any:
        good, bad = sets = [getattr(self.protocol, name, None) for name in (GOOD, BAD)]
        if sets == [None, None]:
            return None
        protocol = self.protocol
        return AssessedMicrographs(
            good, bad, protocol.inputCoordinates.get(), protocol._diameter() or 0, protocol._getExtraPath("batches")
        )

    @panel(
        "Micrographs and verdicts",
        "Each micrograph with picks, contaminated and carbon areas and metrics, and why it is bad.",
    )
    def showMicrographs(self, data: Any) -> Any:
        return self.window(AssessmentWindow, data, "Assessed micrographs")

    @panel("Metrics and limits", "Histograms of the metrics, with the limits of this run.")
    def showMetrics(self, data: Any) -> Any:
        named = {attribute: formName(metric.limit) for attribute, metric in METRICS.items() if metric.limit}
        limits = {attribute: getattr(self.protocol, name).get() for attribute, name in named.items()}
        return self.plot("Assessed micrographs", lambda figure: drawMetrics(figure, data.metrics, limits), (12, 7))
