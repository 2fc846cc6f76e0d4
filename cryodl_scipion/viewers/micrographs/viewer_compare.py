# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of comparisons and of consensus coordinates."""

import os
from typing import Any, Dict, List

from pwem.objects import SetOfCoordinates

from ...protocols import CryodlProtCompare, CryodlProtConsensus
from ..panels_viewer import Panel, PanelsViewer
from ..window import WindowView
from .comparison_window import ComparisonWindow
from .group_data import ComparedPicks, FoundTogether
from .groups_window import GroupsWindow


class CryodlCompareViewer(PanelsViewer):
    """What `Analyze results` opens for a comparison."""

    _label = "comparison viewer"
    _targets = [CryodlProtCompare]
    _SECTION = "Comparison"
    _PANELS = (
        Panel(
            "showFigures",
            "Figures, curves and agreement",
            "The table of metrics, how far each pair of sets agrees, and with a reference the curves.",
        ),
        Panel("showPicks", "Picks on the micrographs", "All sets on the micrographs, each in its colour."),
    )
    _WAIT = "There is no comparison yet. Wait until the run has finished."

    def _data(self) -> Any:
        return self.protocol.comparison()

    def _showFigures(self, comparison: Dict[str, Any]) -> List[str]:
        curves = self.protocol.curvesFile()
        return [
            WindowView(
                ComparisonWindow,
                self.getTkRoot(),
                comparison,
                curves if os.path.exists(curves) else None,
                f"Comparison: {self.protocol.getRunName()}",
            )
        ]

    def _showPicks(self, comparison: Dict[str, Any]) -> List[str]:
        return [WindowView(GroupsWindow, self.getTkRoot(), ComparedPicks(self.protocol), "Compared coordinates")]


class CryodlConsensusViewer(PanelsViewer):
    """What `Analyze results` opens for a consensus."""

    _label = "consensus viewer"
    _targets = [CryodlProtConsensus]
    _SECTION = "Consensus"
    _PANELS = (
        Panel(
            "showPicks",
            "Particles on the micrographs",
            "All that any set found, in the colour of how many sets found it; a slider chooses the least number.",
        ),
    )
    _WAIT = "There are no coordinates yet. Wait until the run has finished."

    def _data(self) -> Any:
        return getattr(self.protocol, "outputCoordinates", None)

    def _showPicks(self, coordinates: SetOfCoordinates) -> List[str]:
        return [WindowView(GroupsWindow, self.getTkRoot(), FoundTogether(self.protocol), "Consensus coordinates")]
