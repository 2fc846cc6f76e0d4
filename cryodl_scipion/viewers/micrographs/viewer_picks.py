# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of coordinates that we picked."""

from typing import Any, Dict, List, Optional

from pwem.objects import SetOfCoordinates
from pwem.viewers.plotter import EmPlotter
from pyworkflow.protocol import params
from pyworkflow.protocol.params import Form
from pyworkflow.viewer import DESKTOP_TKINTER, Viewer

from ...convert.micrographs.rounds import picksOfRound, readRounds
from ...protocols import (
    CryodlProtAutoPick,
    CryodlProtPick,
    CryodlProtPickByHand,
    CryodlProtPickFilaments,
    CryodlProtPickTemplates,
    CryodlProtSimulate,
    CryodlProtThresholdPicks,
)
from ..panels_viewer import Panel, PanelsViewer
from ..plots import drawHistogram, drawPerMicrograph
from ..window import WindowView
from .picks_data import PicksData, isOurs
from .picks_window import PicksWindow
from .rounds_window import RoundsWindow

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
        return [picksView(self, PicksData.ofSet(obj), obj)]


def picksView(viewer: Any, data: PicksData, coordinates: SetOfCoordinates) -> WindowView:
    """The window of picks, with a way to correct them where there is a project."""
    project, source = viewer.getProject(), viewer.protocol
    output = source and next(
        (n for n, o in source.iterOutputAttributes() if o.getObjId() == coordinates.getObjId()), None
    )
    correct = (lambda: correctPicks(project, source, output, data)) if project and output else None
    return WindowView(PicksWindow, viewer.getTkRoot(), data, _NAME, None, None, correct)


def correctPicks(project: Any, source: Any, output: str, data: PicksData) -> str:
    """Start a run of `pick by hand` on an output of another run. Returns what happened, in words."""
    coordinates = getattr(source, output)
    diameter = data.diameter * coordinates.getMicrographs().getSamplingRate()
    protocol = project.newProtocol(
        CryodlProtPickByHand, particleDiameter=round(diameter, 1), boxSize=coordinates.getBoxSize()
    )
    protocol.setObjLabel(f"correct picks of {source.getRunName()}")
    protocol.inputCoordinates.set(source)
    protocol.inputCoordinates.setExtended(output)
    errors = protocol.validate()
    if errors:
        return " ".join(errors)
    project.launchProtocol(protocol)
    return f"A window to correct them opens; the run *{protocol.getRunName()}* keeps the corrected picks."


class CryodlPickProtocolViewer(PanelsViewer):
    """What `Analyze results` opens for a picking run."""

    _label = "picks viewer"
    _targets = [
        CryodlProtPick,
        CryodlProtPickByHand,
        CryodlProtPickFilaments,
        CryodlProtPickTemplates,
        CryodlProtThresholdPicks,
    ]
    _SECTION = "Picks"
    _PANELS = (
        Panel("showPicks", "Picks on the micrographs", "Micrographs with their picks, and a slider for the score."),
        Panel("showScores", "Histogram of the scores", "Scores of the picks and of the weaker candidates."),
        Panel(
            "showCounts",
            "Picks of each micrograph",
            "A micrograph with far fewer picks than the others is worth a look.",
        ),
    )
    _WAIT = "There are no coordinates yet. Wait until the first batch is picked."

    def _data(self) -> Any:
        coordinates = getattr(self.protocol, "outputCoordinates", None)
        return None if coordinates is None else PicksData.ofSet(coordinates)

    def _showPicks(self, data: Any) -> List[str]:
        return [picksView(self, data, self.protocol.outputCoordinates)]

    def _showScores(self, data: Any) -> List[str]:
        plotter = EmPlotter(windowTitle="Scores")
        drawHistogram(
            plotter.createSubPlot(f"Scores of {len(data.scores())} candidates", "Score", "Number"),
            data.scores(),
            data.threshold,
        )
        return [plotter]

    def _showCounts(self, data: Any) -> List[str]:
        plotter = EmPlotter(windowTitle="Picks of each micrograph")
        counts = data.counts(data.threshold)
        drawPerMicrograph(plotter.createSubPlot(f"{counts.sum()} picks", "Micrograph", "Picks"), counts)
        return [plotter]


class CryodlAutoPickViewer(CryodlPickProtocolViewer):
    """What `Analyze results` opens for automatic picking: the rounds as well, also while it runs."""

    _label = "auto-picking viewer"
    _targets = [CryodlProtAutoPick]

    def _defineParams(self, form: Form) -> None:
        CryodlPickProtocolViewer._defineParams(self, form)
        form.addSection(label="Rounds")
        form.addParam(
            "showRounds",
            params.LabelParam,
            default=True,
            label="Metrics of the rounds",
            help="How far picks and background of held-out micrographs are apart, in standard deviations, "
            "judged by an observer that does not know the network. The best round picks all "
            "micrographs.",
        )
        form.addParam(
            "round",
            params.IntParam,
            default=0,
            label="Round",
            help="Round to show the picks of. 0 is the first model, before any training.",
        )
        form.addParam(
            "showRoundPicks",
            params.LabelParam,
            default=True,
            label="Picks of this round",
            help="Micrographs that the rounds learn from, with the picks of the chosen round.",
        )

    def _getVisualizeDict(self) -> Dict[str, Any]:
        return dict(
            CryodlPickProtocolViewer._getVisualizeDict(self),
            showRounds=self._showRounds,
            showRoundPicks=self._showRoundPicks,
        )

    def _showRounds(self, paramName: Optional[str] = None) -> List[str]:
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

    def _showRoundPicks(self, paramName: Optional[str] = None) -> List[str]:
        protocol, number = self.protocol, self.round.get()
        known = [int(r["round"]) for r in readRounds(protocol.getPicksFolder())]
        if not known:
            return [
                self.infoMessage("No round is finished yet. Wait until the first model has picked.", "No rounds yet")
            ]
        if number not in known:
            return [
                self.errorMessage(f"Round is {number}; the rounds are {min(known)} to {max(known)}.", "No such round")
            ]
        micrographs = protocol.getInputMicrographs()
        data = PicksData.ofFolder(
            [m.clone() for m in micrographs],
            picksOfRound(protocol.getPicksFolder(), number),
            self._pickedDiameter() / micrographs.getSamplingRate(),
        )
        return [WindowView(PicksWindow, self.getTkRoot(), data, f"Picks of round {number}")]

    def _pickedDiameter(self) -> Any:
        """Å: the form's, else what the first round found; 0 if it found nothing."""
        found = readRounds(self.protocol.getPicksFolder())[0].get("picked_diameter")
        return self.protocol.particleDiameter.get() or float(found or 0)


class CryodlSimulateViewer(Viewer):
    """What `Analyze results` opens for a simulation: the micrographs with their known particles."""

    _name = "cryodl simulated micrographs"
    _targets = [CryodlProtSimulate]
    _environments = [DESKTOP_TKINTER]

    def _visualize(self, obj: Any, **kwargs: Any) -> List[str]:
        coordinates = getattr(obj, "outputCoordinates", None)
        if coordinates is None:
            return [
                self.infoMessage("There are no micrographs yet. Wait until the simulation is finished.", "Nothing yet")
            ]
        return [WindowView(PicksWindow, self.getTkRoot(), PicksData.ofSet(coordinates), self._name)]
