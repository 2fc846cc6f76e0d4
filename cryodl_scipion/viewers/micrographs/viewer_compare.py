# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of comparisons and of consensus coordinates."""

import os
from typing import Any, Dict, List

from pwem.objects import SetOfCoordinates

from ...engine.cryodl.contract import counted
from ...protocols import CryodlProtCompare, CryodlProtConsensus
from ..panels_viewer import Panel, PanelsViewer
from ..subsets import startedRun
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
            "showMetrics",
            "Metrics, curves and agreement",
            "Table of metrics, agreement of each pair of sets and, with a reference, precision-recall curves.",
        ),
        Panel(
            "showPicks",
            "Picks on the micrographs",
            "All sets on the micrographs, each in its own colour; or true, false and missed picks of one set, judged "
            "by the reference.",
        ),
    )
    _WAIT = "There is no comparison yet. Wait until the run has finished."

    def _data(self) -> Any:
        return self.protocol.comparison()

    def _showMetrics(self, comparison: Dict[str, Any]) -> List[str]:
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
        return [
            WindowView(
                GroupsWindow, self.getTkRoot(), ComparedPicks(self.protocol), f"Compared: {self.protocol.getRunName()}"
            )
        ]


class CryodlConsensusViewer(PanelsViewer):
    """What `Analyze results` opens for a consensus."""

    _label = "consensus viewer"
    _targets = [CryodlProtConsensus]
    _SECTION = "Consensus"
    _PANELS = (
        Panel(
            "showPicks",
            "Particles on the micrographs",
            "All particles found by any set, coloured by the number of sets that found them; a slider sets the "
            "minimum number.",
        ),
    )
    _WAIT = "There are no coordinates yet. Wait until the run has finished."

    def _data(self) -> Any:
        return getattr(self.protocol, "outputCoordinates", None)

    def _showPicks(self, coordinates: SetOfCoordinates) -> List[str]:
        title = f"Consensus: {self.protocol.getRunName()}"
        subset = lambda value: consensusOf(self.protocol, int(value))
        return [WindowView(GroupsWindow, self.getTkRoot(), FoundTogether(self.protocol), title, subset)]


def consensusOf(protocol: Any, sets: int) -> str:
    """Start a consensus of the same sets with another minimum. Returns what happened, in words."""
    project = protocol.getProject()
    again = project.copyProtocol(protocol)
    again.setObjLabel(f"{protocol.getRunName()}, at least {counted(sets, 'set')}")
    again.minimumSets.set(sets)
    errors = " ".join(again.validate())
    if not errors:
        project.launchProtocol(again)
    return startedRun(again, errors, f"The set of particles that at least {counted(sets, 'set')} found")
