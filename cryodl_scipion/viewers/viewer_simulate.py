# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of what crosses the wings: simulated micrographs, particles and half-maps, and the report."""

import os
import webbrowser
from pathlib import Path
from typing import Any

from pwem.objects import SetOfCoordinates, SetOfParticles

from ..protocols import CryodlProtReport, CryodlProtSimulate
from .gallery_window import Gallery
from .maps.viewer_map import LinkedMapsWindow
from .micrographs.viewer_picks import PicksData, PicksWindow
from .panels_viewer import ObjectViewer, PanelsViewer, panel


class SimulatedMicrographsViewer(
    PanelsViewer,
    section="Simulated micrographs",
    wait="There are no micrographs",
    until="the simulation is finished",
    data="outputCoordinates",
):
    @panel("Micrographs and particles", "The micrographs, with their known particles.")
    def showPicks(self, coordinates: SetOfCoordinates) -> Any:
        return self.window(PicksWindow, PicksData.ofSet(coordinates), self.title("Simulated"))


class SimulatedParticlesViewer(
    PanelsViewer, section="Simulated particles", wait="There are no particles", data="outputParticles"
):
    @panel("Particles and ground truth", "Each particle, with and without noise and CTF.")
    def showParticles(self, particles: SetOfParticles) -> Any:
        data = Gallery.ofSet(particles, ground_truth=getattr(self.protocol, "outputClean", None))
        return self.gallery(data, self.protocol.getRunName(), particles)


class SimulatedHalfMapsViewer(PanelsViewer, section="Simulated maps", wait="There are no maps", data="_made"):
    @panel(
        "Maps and ground truth, slice by slice",
        "Full map, one half-map and ground truth at the same position, across all three axes.",
    )
    def showSlices(self, made: Any) -> Any:
        group = {"full map": made.full, "half-map 1": made.half1, "ground truth": made.ground_truth}
        return self.window(LinkedMapsWindow, {"simulated": group}, self.title("Simulated"))

    @panel("Map in ChimeraX", "Opens ChimeraX, if Scipion's plugin for it is installed.")
    def showInChimera(self, made: Any) -> Any:
        return self.chimera(made.full)


class CryodlSimulateViewer(
    PanelsViewer,
    targets=[CryodlProtSimulate],
    ways=(SimulatedMicrographsViewer, SimulatedParticlesViewer, SimulatedHalfMapsViewer),
):
    """What `Analyze results` opens for a simulation."""


class CryodlReportViewer(ObjectViewer, name="cryodl report", targets=[CryodlProtReport]):
    def show(self, obj: Any) -> Any:
        page = os.path.abspath(obj.getPage())
        self.needed(os.path.exists(page) or None, obj, "There is no report yet. Wait until it is written.")
        webbrowser.open(Path(page).as_uri())  # True also where what it starts finds no browser
        return self.infoMessage(f"A browser shows the report. If none opens, open this file in one: {page}", "Report")
