# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of simulated micrographs, particles and half-maps."""

from typing import Any, List, Optional

from pwem.objects import SetOfCoordinates, SetOfParticles

from ..engine.cryodl.contract.maps.simulating import SimulateHalfMapsOutputs
from ..protocols import CryodlProtSimulate
from .gallery_data import Gallery
from .gallery_window import GalleryWindow
from .maps.linked_maps_window import LinkedMapsWindow
from .micrographs.picks_window import PicksData, PicksWindow
from .panels_viewer import Panel, PanelsViewer, chimeraViews
from .subsets import itemsSubset
from .window import WindowView


class SimulatedMicrographsViewer(PanelsViewer):
    """Micrographs with their known particles."""

    _SECTION = "Simulated micrographs"
    _PANELS = (Panel("showPicks", "Micrographs and particles", "The micrographs, with their known particles."),)
    _WAIT = "There are no micrographs yet. Wait until the simulation is finished."

    def _data(self) -> Optional[SetOfCoordinates]:
        return getattr(self.protocol, "outputCoordinates", None)

    def _showPicks(self, coordinates: SetOfCoordinates) -> List[Any]:
        title = f"Simulated: {self.protocol.getRunName()}"
        return [WindowView(PicksWindow, self.getTkRoot(), PicksData.ofSet(coordinates), title)]


class SimulatedParticlesViewer(PanelsViewer):
    """Particles beside their ground truth."""

    _SECTION = "Simulated particles"
    _PANELS = (Panel("showParticles", "Particles and ground truth", "Each particle, with and without noise and CTF."),)
    _WAIT = "There are no particles yet. Wait until the run has finished."

    def _data(self) -> Optional[SetOfParticles]:
        return getattr(self.protocol, "outputParticles", None)

    def _showParticles(self, particles: SetOfParticles) -> List[Any]:
        data = Gallery.ofSet(particles, ground_truth=getattr(self.protocol, "outputClean", None))
        subset = itemsSubset(self, particles, "particle")
        return [WindowView(GalleryWindow, self.getTkRoot(), data, self.protocol.getRunName(), None, subset)]


class SimulatedHalfMapsViewer(PanelsViewer):
    """Half-maps with their ground truth."""

    _SECTION = "Simulated maps"
    _PANELS = (
        Panel(
            "showSlices",
            "Maps and ground truth, slice by slice",
            "Full map, one half-map and ground truth at the same position, across all three axes.",
        ),
        Panel("showInChimera", "Map in ChimeraX", "Opens ChimeraX, if Scipion's plugin for it is installed."),
    )
    _WAIT = "There are no maps yet. Wait until the run has finished."

    def _data(self) -> Optional[SimulateHalfMapsOutputs]:
        result = self.protocol._result()
        return (
            result.outputs if result is not None and getattr(self.protocol, "outputVolume", None) is not None else None
        )

    def _showSlices(self, made: Any) -> List[str]:
        group = {"full map": made.full, "half-map 1": made.half1, "ground truth": made.ground_truth}
        return [
            WindowView(
                LinkedMapsWindow, self.getTkRoot(), {"simulated": group}, f"Simulated: {self.protocol.getRunName()}"
            )
        ]

    def _showInChimera(self, made: SimulateHalfMapsOutputs) -> List[Any]:
        return chimeraViews(self, made.full, "map")


class CryodlSimulateViewer(PanelsViewer):
    """What `Analyze results` opens for a simulation."""

    _label = "simulation viewer"
    _targets = [CryodlProtSimulate]
    WAYS = (SimulatedMicrographsViewer, SimulatedParticlesViewer, SimulatedHalfMapsViewer)
