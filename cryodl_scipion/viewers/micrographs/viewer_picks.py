# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of coordinates that we picked."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Callable, Dict, List, Sequence

from pwem.objects import SetOfCoordinates

from ...convert.micrographs.picks import bestRound, picksOfRound, questionsFile, readRounds, roundInWords
from ...engine.cryodl.contract import score_text
from ...protocols import CryodlProtPick, CryodlProtPickByHand, CryodlProtPickFilaments, CryodlProtThresholdPicks
from ..panels_viewer import ObjectViewer, PanelsViewer, panel
from ..plots import drawHistogram, drawPerMicrograph, drawRounds
from ..subsets import outputName, startedRun, startRun
from ..window import FollowingWindow
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


class CryodlPicksViewer(ObjectViewer, name=_NAME, targets=[SetOfCoordinates], only=isOurs):
    """Picks on micrographs with a score slider, for sets that cryodl made and for empty sets."""

    def show(self, obj: SetOfCoordinates) -> Any:
        return picksView(self, PicksData.ofSet(obj, self.protocol), obj)


def picksView(viewer: Any, data: PicksData, coordinates: SetOfCoordinates) -> Any:
    """The window of picks, with a way to correct them where there is a project."""
    project, source = viewer.getProject(), viewer.protocol
    output = outputName(source, coordinates)
    known = bool(project and output)
    correct = (lambda: correctPicks(project, source, output, data)) if known else None
    asks = known and questionsFile(coordinates) is not None
    ask = (lambda: correctPicks(project, source, output, data, askQuestions=True)) if asks else None
    subset = (lambda threshold: picksFrom(source, output, threshold)) if known and data.hasScores else None
    title = f"Picks: {source.getRunName()}" if source else _NAME
    return viewer.window(PicksWindow, data, title, None, None, correct, subset, ask)


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
            "*Answered questions*."
        )
    return errors or f"A window to correct them opens; the run *{protocol.getRunName()}* stores the corrected picks."


class CryodlPickProtocolViewer(
    PanelsViewer,
    targets=[CryodlProtPickByHand, CryodlProtPickFilaments, CryodlProtThresholdPicks],
    section="Picks",
    wait="There are no coordinates yet. Wait until the first batch is picked.",
):
    """What `Analyze results` opens for a picking run."""

    def _data(self) -> Any:
        coordinates = getattr(self.protocol, "outputCoordinates", None)
        return None if coordinates is None else PicksData.ofSet(coordinates, self.protocol)

    @panel("Picks on the micrographs", "Micrographs with their picks, and a slider for the score threshold.")
    def showPicks(self, data: Any) -> Any:
        return picksView(self, data, self.protocol.outputCoordinates)

    @panel("Histogram of the scores", "Scores of the picks and of candidates below the threshold.")
    def showScores(self, data: Any) -> Any:
        return self.plot("Scores", lambda figure: drawHistogram(figure.add_subplot(), data.scores(), data.threshold))

    @panel("Picks of each micrograph", "Check micrographs with far fewer picks than the others.")
    def showCounts(self, data: Any) -> Any:
        counts = data.counts(data.threshold)
        return self.plot("Picks of each micrograph", lambda figure: drawPerMicrograph(figure.add_subplot(), counts))


class CryodlAutoPickViewer(CryodlPickProtocolViewer):
    """What `Analyze results` opens for automatic picking: the rounds as well, also while it runs."""

    def _show(self, name: str) -> List[Any]:
        # rounds can be seen before there are coordinates
        return [getattr(self, name)()] if "Round" in name else super()._show(name)

    @panel(
        "Rounds",
        "Separation of picks and background on held-out micrographs, in standard deviations, measured independently "
        "of the network. The best round picks all micrographs.",
    )
    def showRounds(self) -> Any:
        protocol = self.protocol
        finished = lambda: not protocol.isActive()
        return self.window(RoundsWindow, protocol.getPicksFolder(), self.title("Rounds"), finished)

    @panel(
        "Picks of each round",
        "Picks on the training micrographs of the rounds. Round 0 is the first model, before any training.",
    )
    def showRoundPicks(self) -> Any:
        rounds = readRounds(self.protocol.getPicksFolder())
        if not rounds:
            return self.infoMessage("No round is finished yet. Wait until the first model has picked.", "No rounds yet")
        known = [int(r["round"]) for r in rounds]
        title = self.title("Picks of each round")
        return self.window(RoundPicksWindow, self._picksOfRound, known, bestRound(rounds), title)

    def _picksOfRound(self, number: int) -> PicksData:
        folder, micrographs = self.protocol.getPicksFolder(), self.protocol.getInputMicrographs()
        # Å: the form's, else what the first round found; 0 if it found nothing
        diameter = self.protocol.particleDiameter.get() or float(readRounds(folder)[0].get("picked_diameter") or 0)
        return PicksData.ofFolder(
            [m.clone() for m in micrographs], picksOfRound(folder, number), diameter / micrographs.getSamplingRate()
        )


class CryodlPickViewer(
    PanelsViewer,
    targets=[CryodlProtPick],
    ways=(CryodlPickProtocolViewer, CryodlPickProtocolViewer, CryodlAutoPickViewer),
):
    """What `Analyze results` opens for picking."""
