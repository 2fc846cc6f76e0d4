# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of comparisons of coordinates by the maps of their particles."""

from typing import Any, List

from ...protocols import CryodlProtCompareMapsOfPicks
from ..maps.linked_maps_window import LinkedMapsWindow
from ..panels_viewer import Panel, PanelsViewer
from ..window import WindowView
from .maps_of_picks_window import MapsOfPicksWindow


class CryodlCompareMapsOfPicksViewer(PanelsViewer):
    """What `Analyze results` opens for a comparison by maps."""

    _label = "maps of picks viewer"
    _targets = [CryodlProtCompareMapsOfPicks]
    _SECTION = "Maps of picks"
    _PANELS = (
        Panel("showResolutions", "Resolutions and FSC curves", "Resolution of the map of each set, and what it loses."),
        Panel("showSlices", "Slices of the maps", "The map of a set and its half-maps, across all three axes."),
    )
    _WAIT = "There are no maps yet. Wait until the run has finished."

    def _data(self) -> Any:
        result = self.protocol._result()
        return None if result is None else result.outputs

    def _showResolutions(self, made: Any) -> List[WindowView]:
        title = f"Maps of picks: {self.protocol.getRunName()}"
        return [WindowView(MapsOfPicksWindow, self.getTkRoot(), made, title)]

    def _showSlices(self, made: Any) -> List[WindowView]:
        groups = {
            name: {"map": made.maps[name], "half 1": made.half1[name], "half 2": made.half2[name]} for name in made.sets
        }
        return [WindowView(LinkedMapsWindow, self.getTkRoot(), groups, f"Maps: {self.protocol.getRunName()}")]
