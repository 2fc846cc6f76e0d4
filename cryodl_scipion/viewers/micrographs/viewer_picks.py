# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of coordinates that we picked."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Callable, Dict, List, Sequence, Tuple

from pwem.objects import SetOfCoordinates
from pyworkflow.viewer import DESKTOP_TKINTER, Viewer

from ...convert.micrographs.picks import bestRound, picksOfRound, questionsFile, readRounds, roundInWords
from ...engine.cryodl.contract import score_text
from ...protocols import CryodlProtPick, CryodlProtPickByHand, CryodlProtPickFilaments, CryodlProtThresholdPicks
from ..panels_viewer import Panel, PanelsViewer
from ..plots import drawHistogram, drawPerMicrograph, drawRounds
from ..subsets import outputName, startedRun, startRun
from ..window import FollowingWindow, WindowView
from .picks_window import PicksData, PicksWindow, isOurs


def roundLines(rounds: Sequence[Dict[str, Any]]) -> List[str]:
    """What each round did, one line each. rounds: of readRounds."""
    if not rounds:
        return ["No round is finished yet. Round 0 is the first model, before any training."]
    best = bestRound(rounds)
    lines = [
        f"Round {entry['round']}{' (best)' if entry['round'] == best else ''}: {roundInWords(entry)}."
        for entry in rounds
    ]
    return lines + ["The best round picks all micrographs."]


class RoundsWindow(FollowingWindow):
    """parent: tk widget or None. folder: of the picks, with rounds.csv. finished: function, True when no more will
    come."""

    def __init__(self, parent: Any, folder: str, title: str, finished: Any) -> None:
        FollowingWindow.__init__(self, parent, title)
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
        self._text.config(text="\n".join(roundLines(rounds)))


class RoundPicksWindow(PicksWindow):
    """picksOf: function that gives the PicksData of a round. rounds: their numbers. best: the one to begin with."""

    def __init__(
        self, parent: Any, picksOf: Callable[[int], Any], rounds: Sequence[int], best: int, title: str = "Rounds"
    ) -> None:
        self._picksOf, self._rounds, self._best = picksOf, rounds, best
        PicksWindow.__init__(self, parent, picksOf(best), title)

    def _addControls(self, slider: Any) -> None:
        PicksWindow._addControls(self, slider)
        row = ttk.Frame(self._list.master)
        row.pack(fill=tk.X, pady=(2, 4), before=self._list)
        names = [f"{number} (best)" if number == self._best else str(number) for number in self._rounds]
        best = tk.StringVar(self.root, names[list(self._rounds).index(self._best)])
        self.chooser = self.addChoice(row, "Round", best, names, 10, self.showRound)

    def showRound(self) -> None:
        """Show the picks of the chosen round."""
        self._data = self._picksOf(self._rounds[self.chooser.current()])
        self._names, self._paths = self._data.names, self._data.paths
        self.value.set(self._data.threshold)
        self.refresh()


_NAME = "cryodl picks with scores"


class CryodlPicksViewer(Viewer):
    """Picks on micrographs with a score slider, for sets that cryodl made and for empty sets."""

    _name = _NAME
    _targets = [SetOfCoordinates]
    _environments = [DESKTOP_TKINTER]

    @classmethod
    def can_handle_this_instance(cls, instance: Any) -> Any:
        return isinstance(instance, SetOfCoordinates) and isOurs(instance)

    def _visualize(self, obj: Any, **kwargs: Any) -> List[str]:
        return [picksView(self, PicksData.ofSet(obj, self.protocol), obj)]


def picksView(viewer: Any, data: PicksData, coordinates: SetOfCoordinates) -> WindowView:
    """The window of picks, with a way to correct them where there is a project."""
    project, source = viewer.getProject(), viewer.protocol
    output = outputName(source, coordinates)
    known = bool(project and output)
    correct = (lambda: correctPicks(project, source, output, data)) if known else None
    asks = known and questionsFile(coordinates) is not None
    ask = (lambda: correctPicks(project, source, output, data, askQuestions=True)) if asks else None
    subset = (lambda threshold: picksFrom(source, output, threshold)) if known and data.hasScores else None
    title = f"Picks: {source.getRunName()}" if source else _NAME
    return WindowView(PicksWindow, viewer.getTkRoot(), data, title, None, None, correct, subset, ask)


def picksFrom(source: Any, output: str, threshold: float) -> str:
    """Start a run that keeps the picks from a score. Returns what happened, in words."""
    score = score_text(threshold)
    name = f"picks of {source.getRunName()} from {score}"
    protocol, errors = startRun(source, output, "inputCoordinates", CryodlProtThresholdPicks, name, threshold=threshold)
    return startedRun(protocol, errors, f"The set of picks with a score of at least {score}")


def correctPicks(project: Any, source: Any, output: str, data: PicksData, askQuestions: bool = False) -> str:
    """Start a run of `pick by hand` on an output of another run. Returns what happened, in words. askQuestions: about
    the places that the run is unsure of, one by one."""
    coordinates = getattr(source, output)
    diameter = data.diameter * coordinates.getMicrographs().getSamplingRate()
    protocol, errors = startRun(
        source,
        output,
        "inputCoordinates",
        CryodlProtPickByHand,
        f"{'questions about' if askQuestions else 'correct'} picks of {source.getRunName()}",
        particleDiameter=round(diameter, 1),
        boxSize=coordinates.getBoxSize(),
        askQuestions=askQuestions,
    )
    if askQuestions and not errors:
        return (
            f"A window with the questions opens. Then pick again with the output of *{protocol.getRunName()}* as "
            "*Answers*."
        )
    return errors or f"A window to correct them opens; the run *{protocol.getRunName()}* stores the corrected picks."


class CryodlPickProtocolViewer(PanelsViewer):
    """What `Analyze results` opens for a picking run."""

    _label = "picks viewer"
    _targets = [CryodlProtPickByHand, CryodlProtPickFilaments, CryodlProtThresholdPicks]
    _SECTION = "Picks"
    _PANELS: Tuple[Panel, ...] = (
        Panel(
            "showPicks",
            "Picks on the micrographs",
            "Micrographs with their picks, and a slider for the score threshold.",
        ),
        Panel("showScores", "Histogram of the scores", "Scores of the picks and of candidates below the threshold."),
        Panel("showCounts", "Picks of each micrograph", "Check micrographs with far fewer picks than the others."),
    )
    _WAIT = "There are no coordinates yet. Wait until the first batch is picked."

    def _data(self) -> Any:
        coordinates = getattr(self.protocol, "outputCoordinates", None)
        return None if coordinates is None else PicksData.ofSet(coordinates, self.protocol)

    def _showPicks(self, data: Any) -> List[Any]:
        return [picksView(self, data, self.protocol.outputCoordinates)]

    def _showScores(self, data: Any) -> List[str]:
        plotter = self._plot("Scores")
        drawHistogram(
            plotter.getFigure().add_subplot(title=f"Scores of {len(data.scores())} candidates"),
            data.scores(),
            data.threshold,
        )
        return [plotter]

    def _showCounts(self, data: Any) -> List[str]:
        plotter = self._plot("Picks of each micrograph")
        counts = data.counts(data.threshold)
        drawPerMicrograph(plotter.getFigure().add_subplot(title=f"{counts.sum()} picks"), counts)
        return [plotter]


class CryodlAutoPickViewer(CryodlPickProtocolViewer):
    """What `Analyze results` opens for automatic picking: the rounds as well, also while it runs."""

    _label = "auto-picking viewer"
    _PANELS = (
        *CryodlPickProtocolViewer._PANELS,
        Panel(
            "showRounds",
            "Rounds",
            "Separation of picks and background on held-out micrographs, in standard deviations, measured "
            "independently of the network. The best round picks all micrographs.",
        ),
        Panel(
            "showRoundPicks",
            "Picks of each round",
            "Picks on the training micrographs of the rounds. Round 0 is the first model, before any training.",
        ),
    )

    def _getVisualizeDict(self) -> Dict[str, Any]:
        # rounds can be seen before there are coordinates
        return dict(
            CryodlPickProtocolViewer._getVisualizeDict(self),
            showRounds=self._showRounds,
            showRoundPicks=self._showRoundPicks,
        )

    def _showRounds(self, name: str) -> List[Any]:
        protocol = self.protocol
        return [
            WindowView(
                RoundsWindow,
                self.getTkRoot(),
                protocol.getPicksFolder(),
                f"Rounds: {protocol.getRunName()}",
                lambda: not protocol.isActive(),
            )
        ]

    def _showRoundPicks(self, name: str) -> List[Any]:
        rounds = readRounds(self.protocol.getPicksFolder())
        if not rounds:
            return [
                self.infoMessage("No round is finished yet. Wait until the first model has picked.", "No rounds yet")
            ]
        known = [int(r["round"]) for r in rounds]
        title = f"Picks of each round: {self.protocol.getRunName()}"
        return [WindowView(RoundPicksWindow, self.getTkRoot(), self._picksOfRound, known, bestRound(rounds), title)]

    def _picksOfRound(self, number: int) -> PicksData:
        protocol = self.protocol
        micrographs = protocol.getInputMicrographs()
        return PicksData.ofFolder(
            [m.clone() for m in micrographs],
            picksOfRound(protocol.getPicksFolder(), number),
            self._pickedDiameter() / micrographs.getSamplingRate(),
        )

    def _pickedDiameter(self) -> Any:
        """Å: the form's, else what the first round found; 0 if it found nothing."""
        found = readRounds(self.protocol.getPicksFolder())[0].get("picked_diameter")
        return self.protocol.particleDiameter.get() or float(found or 0)


class CryodlPickViewer(PanelsViewer):
    """What `Analyze results` opens for picking."""

    _label = "picking viewer"
    _targets = [CryodlProtPick]
    WAYS = (CryodlPickProtocolViewer, CryodlPickProtocolViewer, CryodlAutoPickViewer)
