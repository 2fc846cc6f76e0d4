# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of coordinates that we picked."""

import functools
import math
import os
import tkinter as tk
from tkinter import ttk
from typing import Any, List, Optional, Sequence

import numpy as np
from pwem.objects import SetOfCoordinates
from pyworkflow.protocol import STATUS_INTERACTIVE

from ...convert.arriving import ALIVE, firstOf, stateOfRun
from ...convert.micrographs.ctfs import readAreas
from ...convert.micrographs.picks import (
    AVOIDED,
    DIAMETER,
    QUESTIONS,
    SCORE,
    besideCandidates,
    candidatesFolder,
    diameterInPixels,
    hasCandidates,
    readRounds,
    roundsInWords,
    scoredPicks,
)
from ...convert.names import micrographNames
from ...engine.cryodl.contract import counted
from ...protocols import CryodlProtPick, CryodlProtPickByHand, CryodlProtPickFilaments, CryodlProtThresholdPicks
from .. import micrograph_window, window
from ..panels_viewer import ObjectViewer, PanelsViewer, launchedRun, outputName, panel, startFromScore, startRun
from ..plots import Axes, drawAreas, drawHistogram, drawPerMicrograph, drawPicks, drawRounds


class CountedPicks(micrograph_window.Pictures):
    """Micrographs with picks. A child gives picks(index, value): (n, 3) of those seen at a value of the slider."""

    picks: Any
    notPicked = 0  # micrographs that are not shown, as nothing was picked on them so far

    def counts(self, value: float) -> Any:
        return np.array([len(self.picks(index, value)) for index in range(len(self.names))], int)

    def text(self, index: int, value: float) -> str:
        counts = self.counts(value)
        others = f"; {counted(self.notPicked, 'micrograph')} not picked" if self.notPicked else ""
        return f"{counted(counts[index], 'pick')} on this micrograph, {counts.sum()} on all {len(counts)}{others}"

    @property
    def first(self) -> int:  # type: ignore[override]
        return next((index for index, count in enumerate(self.counts(self.threshold)) if count), 0)


class PicksData(CountedPicks):
    """Micrographs with their picks and, where there are, weaker candidates.

    scored: [(Micrograph, [(x, y, score or None), ...])]. diameter: of the particles, px.
    threshold: score to begin with, None for the lowest of the picks.
    avoided: files of the areas where nothing was picked, one for each micrograph; empty if there are none.
    hasScores: False for coordinates of other programs, which are then all shown."""

    def __init__(
        self, scored: Any, diameter: float, threshold: Optional[float] = None, avoided: Sequence[str] = ()
    ) -> None:
        micrographs, scores = [m for m, _ in scored], [pick[2] for _, picks in scored for pick in picks]
        names = [m.getMicName() or f"micrograph {m.getObjId()}" for m in micrographs]
        CountedPicks.__init__(self, names, [m.getFileName() for m in micrographs])
        self.diameter, self._avoided = diameter, avoided
        self.hasScores = all(score is not None for score in scores)
        self.pixelSize = micrographs[0].getSamplingRate() if micrographs else None
        rows = [[(x, y, 1.0 if score is None else score) for x, y, score in picks] for _, picks in scored]
        self._picks = [np.array(picks, float).reshape(-1, 3) for picks in rows]
        if scores and self.hasScores:
            # four decimals, which a slider can hold; not above the score, so that the pick itself is still shown
            self.threshold = math.floor(float(min(scores) if threshold is None else threshold) * 1e4 + 1e-6) / 1e4

    @classmethod
    def ofSet(cls, coordinates: SetOfCoordinates, protocol: Any = None) -> Any:
        """Of a SetOfCoordinates. protocol: the run that made it, with its threshold; else the lowest score counts."""
        micrographs, asked = [m.clone() for m in coordinates.getMicrographs()], usedThreshold(protocol)
        names, folder = micrographNames(micrographs), besideCandidates(coordinates, AVOIDED)
        where = os.path.dirname(candidatesFolder(coordinates)) if hasCandidates(coordinates) else None
        known = lambda m: where is None or os.path.exists(os.path.join(where, names[m.getObjId()] + ".star"))
        scored = [(m, picks) for m, picks in scoredPicks(coordinates, micrographs, names) if picks or known(m)]
        hasScores = hasattr(firstOf(coordinates), SCORE)
        inSet = coordinates.getUniqueValues(SCORE) if hasScores else [None][: coordinates.getSize()]
        # If nothing was strong enough for the set, the slider starts where the best candidate is.
        inSet = inSet or [max((pick[2] for _, picks in scored for pick in picks), default=None)]
        used = None if None in inSet else min(inSet) if asked is None else min(*inSet, asked)
        avoided = [os.path.join(folder, names[m.getObjId()] + ".json") for m, _ in scored] if folder else ()
        data = cls(scored, diameterInPixels(coordinates) or 27, used, avoided)  # px: there is not even a box
        data.notPicked = len(micrographs) - len(scored)
        return data

    def picks(self, index: int, threshold: float) -> Any:
        """(n, 3) x, y (px of the micrograph) and score of the picks of one micrograph that reach the threshold."""
        return self._picks[index][self._picks[index][:, 2] >= threshold]

    def areas(self, index: Optional[int]) -> Any:
        """(rows, columns) array of the areas of a micrograph where nothing was picked: 1 contaminated, 2 carbon, 0
        neither; None where nothing was to be avoided."""
        return readAreas(self._avoided[index]) if self._avoided and index is not None else None

    def scores(self) -> np.ndarray:
        return np.concatenate([picks[:, 2] for picks in self._picks]) if self._picks else np.zeros(0)


def usedThreshold(protocol: Any) -> Optional[float]:
    """The threshold that a run picked with; None where each micrograph had its own, or the run tells none."""
    field = getattr(protocol, "threshold", None)
    if field is not None and field.get() is not None:
        return float(field.get())
    outputs = [result.outputs for result in getattr(protocol, "_engineResults", list)()]
    found: Any = {getattr(made, "threshold", None) for made in outputs if not getattr(made, "thresholds", None)}
    return float(found.pop()) if len(found) == 1 and None not in found else None


class PicksWindow(micrograph_window.MicrographWindow):
    """data: PicksData. accept, subset: see MicrographWindow. value: score to begin with, default the set's. correct:
    function that opens the window in which picks are corrected, and says so in one sentence; None where there is no
    project to keep the corrected picks in. ask: opens the window of questions, if the run asks some; None likewise."""

    def __init__(
        self,
        parent: Any,
        data: Any,
        title: str = "Picks",
        accept: Any = None,
        value: Optional[float] = None,
        correct: Any = None,
        subset: Any = None,
        ask: Any = None,
    ) -> None:
        self._byHand = [(text, way) for text, way in (("Answer questions", ask), ("Correct picks", correct)) if way]
        slider = dict(from_=0, to=1, resolution=0.0001, label="Score threshold") if data.hasScores else None
        value = data.threshold if value is None else value
        micrograph_window.MicrographWindow.__init__(self, parent, data, title, slider, value, accept, subset)

    def _addControls(self, slider: Any) -> None:
        micrograph_window.MicrographWindow._addControls(self, slider)
        for text, way in self._byHand:
            tell = functools.partial(lambda start: self.message.set(start()), way)  # several presses start one run
            # below the list: above it a button looks like the heading of the numbers
            ttk.Button(self._list.master, text=text, command=tell).pack(
                side=tk.BOTTOM, fill=tk.X, pady=(4, 0), before=self._list.master.winfo_children()[0]
            )

    def _drawOn(self, axes: Axes) -> None:
        drawAreas(axes, self._data.areas(self.index()), self._preview)
        drawPicks(axes, self._data.picks(self.index(), self.value.get()), self._data.diameter)

    def _text(self) -> str:
        text = self._data.text(self.index(), self.value.get())
        if self._data.areas(self.index()) is not None:
            text += "; avoided: contaminated areas in red, carbon in blue"
        return text if self._data.hasScores else text + " (these coordinates have no scores)"


class RoundsWindow(window.FollowingWindow):
    """parent: tk widget or None. folder: of the picks, with rounds.csv. finished: function, whether it ended."""

    def __init__(self, parent: Any, folder: str, title: str, finished: Any) -> None:
        window.CanvasWindow.__init__(self, parent, title)
        self._folder, self.finished = folder, finished
        self._text = ttk.Label(self.root, padding=8, font="TkFixedFont")
        self._text.pack(side=tk.BOTTOM, anchor=tk.W)
        self.addFigure((8, 4.6))
        self.refresh()

    def draw(self) -> None:
        rounds = readRounds(self._folder)
        self._figure.clear()
        if rounds:
            drawRounds(self._figure.subplots(), rounds)
            self._figure.tight_layout()
        self._text.config(text="\n".join(roundsInWords(rounds)))


_NAME = "cryodl picks with scores"


class CryodlPicksViewer(
    ObjectViewer,
    name=_NAME,
    targets=[SetOfCoordinates],
    only=lambda picks: not picks.getSize() or picks.hasAttribute(DIAMETER) or hasattr(firstOf(picks), SCORE),
):
    def show(self, obj: SetOfCoordinates) -> Any:
        return picksView(self, PicksData.ofSet(obj, self.protocol), obj)


def picksView(viewer: Any, data: PicksData, coordinates: SetOfCoordinates) -> Any:
    source, output = viewer.protocol, outputName(viewer.protocol, coordinates)
    known = bool(viewer.getProject() and output)
    correct = (lambda: correctPicks(source, output, data)) if known else None
    asks = known and hasattr(source, "pickingWith") and besideCandidates(coordinates, QUESTIONS) is not None
    ask = (lambda: correctPicks(source, output, data, askQuestions=True)) if asks else None
    filtered = source, output, "inputCoordinates", CryodlProtThresholdPicks, "picks"
    subset = functools.partial(startFromScore, *filtered) if known and data.hasScores else None
    title = f"Picks: {source.getRunName()}" if source else _NAME
    return viewer.window(PicksWindow, data, title, None, None, correct, subset, ask)


def correctPicks(source: Any, output: str, data: PicksData, askQuestions: bool = False) -> str:
    """Start a run of `pick by hand` on an output of another run, unless one is at work on it; questions of which some
    are answered go on. Returns what happened, in words. askQuestions: about each place that the run is unsure of."""
    project, coordinates = source.getProject(), getattr(source, output)
    chosen = f"{source.getObjId()}.{output}", askQuestions
    byHand = [run for run in project.getRuns() if isinstance(run, CryodlProtPickByHand)]
    made = [run for run in byHand if run.inputCoordinates.hasValue()]
    earlier = [run for run in made if (run.inputCoordinates.getUniqueId(), run.askQuestions.get()) == chosen]
    for run in earlier:
        if run.isActive() and run.getStatus() != STATUS_INTERACTIVE:  # Scipion's word for a window that was closed
            return f"The run {run.getRunName()} has been started for this; its window is on the screen."
    diameter = round(data.diameter * coordinates.getMicrographs().getSamplingRate(), 1)
    values = dict(particleDiameter=diameter, boxSize=coordinates.getBoxSize(), askQuestions=askQuestions)
    name = f"{'questions about' if askQuestions else 'correct'} picks of {source.getRunName()}"
    said = (
        "A window with the questions opens. The run that picks with the answers follows once it is closed."
        if askQuestions
        else "All picks of the set open in a window; the run {} stores the corrected ones when it is closed."
    )
    if askQuestions and earlier:
        run = earlier[-1]
        told = launchedRun(project, run, run.getObjLabel(), said)
    else:
        run, told = startRun(source, output, "inputCoordinates", CryodlProtPickByHand, name, said, **values)
    if askQuestions and run.isLaunched():
        picking = source.pickingWith(run)
        if stateOfRun(picking._getPath("logs", "")) != ALIVE:
            project.scheduleProtocol(picking)  # it waits for the answers
    return told


class CryodlPickProtocolViewer(
    PanelsViewer,
    targets=[CryodlProtPickByHand, CryodlProtPickFilaments, CryodlProtThresholdPicks],
    section="Picks",
    wait="There are no coordinates",
    until="the first batch is picked",
):
    def _data(self) -> Any:
        return PicksData.ofSet(self.needed(getattr(self.protocol, "outputCoordinates", None)), self.protocol)

    @panel("Picks on the micrographs", "Micrographs with their picks, and a slider for the score threshold.")
    def showPicks(self, data: Any) -> Any:
        return picksView(self, data, self.protocol.outputCoordinates)

    @panel("Histogram of the scores", "Scores of the picks and of candidates below the threshold.")
    def showScores(self, data: Any) -> Any:
        return self.plot("Scores", lambda figure: drawHistogram(figure.add_subplot(), data.scores(), data.threshold))

    @panel("Picks of each micrograph", "Check micrographs with far fewer picks than the others.")
    def showCounts(self, data: Any) -> Any:
        shown = data.counts(data.threshold), data.names
        return self.plot("Picks of each micrograph", lambda figure: drawPerMicrograph(figure.add_subplot(), *shown))


class CryodlAutoPickViewer(CryodlPickProtocolViewer):
    def _show(self, name: str) -> List[Any]:
        # rounds can be seen before there are coordinates
        return self.shown(getattr(self, name)) if "Round" in name else super()._show(name)

    @panel(
        "Rounds",
        "Separation of picks and background on held-out micrographs, in standard deviations, measured independently "
        "of the network. The best round picks all micrographs.",
    )
    def showRounds(self) -> Any:
        folder, ended = self.protocol.getPicksFolder(), lambda: not self.protocol.isActive()
        self.needed(readRounds(folder) or None, wait="No round is finished yet. Wait until the first has ended.")
        return self.window(RoundsWindow, folder, self.title("Rounds"), ended)


class CryodlPickViewer(
    PanelsViewer,
    targets=[CryodlProtPick],
    ways=(CryodlPickProtocolViewer, CryodlPickProtocolViewer, CryodlAutoPickViewer),
):
    """What `Analyze results` opens for picking."""
