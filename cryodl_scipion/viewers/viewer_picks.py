# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of coordinates that we picked."""
from pwem.objects import SetOfCoordinates
from pwem.viewers.plotter import EmPlotter
from pyworkflow.protocol import params
from pyworkflow.viewer import DESKTOP_TKINTER, ProtocolViewer, Viewer

from ..protocols import CryodlProtPick, CryodlProtThresholdPicks
from .picks_data import PicksData, isOurs
from .picks_window import PicksView
from .plots import drawHistogram, drawPerMicrograph

_NAME = "cryodl picks with scores"


class CryodlPicksViewer(Viewer):
    """Picks on micrographs with a score slider, for sets that cryodl made and for empty sets."""
    _name = _NAME
    _targets = [SetOfCoordinates]
    _environments = [DESKTOP_TKINTER]

    @classmethod
    def can_handle_this_instance(cls, instance):
        return isinstance(instance, SetOfCoordinates) and isOurs(instance)

    def _visualize(self, obj, **kwargs):
        return [PicksView(self.getTkRoot(), PicksData(obj), _NAME)]


class CryodlPickProtocolViewer(ProtocolViewer):
    """What `Analyze results` opens for a picking run."""
    _label = 'picks viewer'
    _targets = [CryodlProtPick, CryodlProtThresholdPicks]
    _environments = [DESKTOP_TKINTER]

    def _defineParams(self, form):
        form.addSection(label='Picks')
        form.addParam('showPicks', params.LabelParam, default=True, label="Picks on the micrographs",
                      help="Micrographs with their picks, and a slider for the score.")
        form.addParam('showScores', params.LabelParam, default=True, label="Histogram of the scores",
                      help="Scores of the picks and of the weaker candidates.")
        form.addParam('showCounts', params.LabelParam, default=True, label="Picks of each micrograph",
                      help="A micrograph with far fewer picks than the others is worth a look.")

    def _getVisualizeDict(self):
        return {'showPicks': self._showPicks, 'showScores': self._showScores, 'showCounts': self._showCounts}

    def _data(self):
        """PicksData, or None (and a message) if there is no output yet."""
        coordinates = getattr(self.protocol, 'outputCoordinates', None)
        return None if coordinates is None else PicksData(coordinates)

    def _showPicks(self, paramName=None):
        data = self._data()
        return [self._notYet()] if data is None else [PicksView(self.getTkRoot(), data, _NAME)]

    def _showScores(self, paramName=None):
        data = self._data()
        if data is None:
            return [self._notYet()]
        plotter = EmPlotter(windowTitle="Scores")
        drawHistogram(plotter.createSubPlot("Scores of %d candidates" % len(data.scores()), "Score", "Number"),
                      data.scores(), data.threshold)
        return [plotter]

    def _showCounts(self, paramName=None):
        data = self._data()
        if data is None:
            return [self._notYet()]
        plotter = EmPlotter(windowTitle="Picks of each micrograph")
        counts = data.counts(data.threshold)
        drawPerMicrograph(plotter.createSubPlot("%d picks" % counts.sum(), "Micrograph", "Picks"), counts)
        return [plotter]

    def _notYet(self):
        return self.infoMessage("There are no coordinates yet. Wait until the first batch is picked.", "No picks yet")
