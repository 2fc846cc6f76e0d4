# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of comparisons and of consensus coordinates."""
import os

from pyworkflow.protocol import params
from pyworkflow.viewer import DESKTOP_TKINTER, ProtocolViewer

from ..protocols import CryodlProtCompare, CryodlProtConsensus
from .comparison_window import ComparisonView
from .group_data import ComparedPicks, FoundTogether
from .groups_window import GroupsView


class CryodlCompareViewer(ProtocolViewer):
    """What `Analyze results` opens for a comparison."""
    _label = 'comparison viewer'
    _targets = [CryodlProtCompare]
    _environments = [DESKTOP_TKINTER]

    def _defineParams(self, form):
        form.addSection(label='Comparison')
        form.addParam('showFigures', params.LabelParam, default=True, label="Figures, curves and agreement",
                      help="The table of figures, how far each pair of sets agrees, and with a reference the curves.")
        form.addParam('showPicks', params.LabelParam, default=True, label="Picks on the micrographs",
                      help="All sets on the micrographs, each in its colour.")

    def _getVisualizeDict(self):
        return {'showFigures': self._showFigures, 'showPicks': self._showPicks}

    def _showFigures(self, paramName=None):
        comparison, curves = self.protocol.comparison(), self.protocol.curvesFile()
        if comparison is None:
            return [self._notYet()]
        return [ComparisonView(self.getTkRoot(), comparison, curves if os.path.exists(curves) else None,
                               "Comparison: %s" % self.protocol.getRunName())]

    def _showPicks(self, paramName=None):
        if self.protocol.comparison() is None:
            return [self._notYet()]
        return [GroupsView(self.getTkRoot(), ComparedPicks(self.protocol), "Compared coordinates")]

    def _notYet(self):
        return self.infoMessage("There is no comparison yet. Wait until the run has finished.", "No comparison yet")


class CryodlConsensusViewer(ProtocolViewer):
    """What `Analyze results` opens for a consensus."""
    _label = 'consensus viewer'
    _targets = [CryodlProtConsensus]
    _environments = [DESKTOP_TKINTER]

    def _defineParams(self, form):
        form.addSection(label='Consensus')
        form.addParam('showPicks', params.LabelParam, default=True, label="Particles on the micrographs",
                      help="All that any set found, in the colour of how many sets found it; a slider chooses the least "
                           "number.")

    def _getVisualizeDict(self):
        return {'showPicks': self._showPicks}

    def _showPicks(self, paramName=None):
        if getattr(self.protocol, 'outputCoordinates', None) is None:
            return [self.infoMessage("There are no coordinates yet. Wait until the run has finished.", "No coordinates yet")]
        return [GroupsView(self.getTkRoot(), FoundTogether(self.protocol), "Consensus coordinates")]
