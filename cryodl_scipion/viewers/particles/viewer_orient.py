# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of oriented particles and of compositions."""

from typing import Any, List

from ...engine.cryodl.contract import Result
from ...protocols import CryodlProtAssignOrientations, CryodlProtInitialMap, CryodlProtIntegrity
from ..chimera import chimeraViews
from ..gallery_data import Gallery
from ..gallery_window import GalleryWindow
from ..map_plots import drawFsc
from ..maps.viewer_map import mapSlicesView
from ..panels_viewer import Panel, PanelsViewer
from ..subsets import itemsSubset
from ..window import WindowView
from .orientation_data import OrientationSet, probabilitiesOf
from .orientation_plots import drawDirections, drawDistributions, drawProbabilities


class CryodlOrientationsViewer(PanelsViewer):
    """What `Analyze results` opens for an assignment of orientations."""

    _label = "orientations viewer"
    _targets = [CryodlProtAssignOrientations]
    _SECTION = "Orientations"
    _PANELS = (
        Panel(
            "showDirections",
            "Distribution of the directions",
            "Particles per direction, on an equal-area map of the sphere; uniform directions have one colour "
            "everywhere. For symmetric structures, only one asymmetric unit is filled.",
        ),
        Panel(
            "showScores",
            "Scores and margins",
            "Score: how well the best orientation fits. Margin: its advantage over the best distant orientation. "
            "With a small margin, the other orientation is almost as likely.",
        ),
        Panel("showParticles", "Particles, sorted by score", "The raw particles, best first or in another order."),
    )
    _WAIT = "There are no orientations yet. Wait until the run has finished."

    def _data(self) -> Any:
        results = self.protocol._engineResults()
        return OrientationSet(*[result.outputs.particles for result in results]) if results else None

    def _showDirections(self, data: Any) -> List[str]:
        plotter = self._plot("Directions", (9, 5))
        drawDirections(plotter.getFigure().add_subplot(projection="mollweide"), data.rot, data.tilt)
        return [plotter]

    def _showScores(self, data: Any) -> List[str]:
        plotter = self._plot("Scores", (12, 4.4))
        drawDistributions(plotter.getFigure(), data.scores)
        return [plotter]

    def _showParticles(self, data: Any) -> List[str]:
        gallery = Gallery.ofSet(self.protocol.outputParticles)
        return [
            WindowView(
                GalleryWindow,
                self.getTkRoot(),
                gallery,
                self.protocol.getRunName(),
                next(iter(gallery.metrics), None),
                itemsSubset(self, self.protocol.outputParticles, "particle"),
            )
        ]


class CryodlInitialMapViewer(PanelsViewer):
    """What `Analyze results` opens for a first map."""

    _label = "initial map viewer"
    _targets = [CryodlProtInitialMap]
    _SECTION = "Initial map"
    _PANELS = (
        Panel("showSlices", "Slices of the map and the half-maps", "Slices across the three axes, with sliders."),
        Panel(
            "showFsc",
            "FSC of the half-maps",
            "Fourier shell correlation of the maps of the two halves, which started apart.",
        ),
        Panel(
            "showDirections",
            "Distribution of the directions",
            "Particles per direction, on an equal-area map of the sphere; uniform directions have one colour "
            "everywhere.",
        ),
        Panel("showInChimera", "Map in ChimeraX", "Opens ChimeraX, if Scipion's plugin for it is installed."),
    )
    _WAIT = "There is no map yet. Wait until the run has finished."

    def _data(self) -> Any:
        made = self.protocol._made()
        if made is not None and not made.determined:
            raise ValueError("No map was determined, because " + "; ".join(made.reasons) + ".")
        return made

    def _showSlices(self, made: Any) -> List[Any]:
        return [mapSlicesView(self.getTkRoot(), self.protocol.outputVolume)]

    def _showFsc(self, made: Any) -> List[Any]:
        plotter = self._plot("FSC")
        axes = plotter.getFigure().add_subplot()
        drawFsc(axes, {"half-maps": made.fsc}, made.pixel_size, made.box, made.resolution)
        axes.set_title(f"{made.count} particles", fontsize=10)
        return [plotter]

    def _showDirections(self, made: Any) -> List[Any]:
        data, plotter = OrientationSet(made.particles), self._plot("Directions", (9, 5))
        drawDirections(plotter.getFigure().add_subplot(projection="mollweide"), data.rot, data.tilt)
        return [plotter]

    def _showInChimera(self, made: Any) -> Any:
        return chimeraViews(self, made.map, "map")


class CryodlIntegrityViewer(PanelsViewer):
    """What `Analyze results` opens for the integrity of a co-complex."""

    _label = "integrity viewer"
    _targets = [CryodlProtIntegrity]
    _SECTION = "Compositions"
    _PANELS = (
        Panel(
            "showProbabilities",
            "Probabilities and numbers",
            "Distribution of the probabilities. Compositions are well distinguished if most particles are near 0 or 1.",
        ),
        Panel(
            "showParticles",
            "Particles of each composition",
            "The raw particles sorted by the probability of a composition: all, or those of one composition.",
        ),
    )
    _WAIT = "There are no probabilities yet. Wait until the run has finished."

    def _data(self) -> Any:
        return self.protocol._result()

    def _showProbabilities(self, result: Result) -> List[str]:
        made, plotter = result.outputs, self._plot("Compositions", (12, 4.4))
        drawProbabilities(
            plotter.getFigure(), probabilitiesOf(made.particles, len(made.names)), made.names, made.counts
        )
        return [plotter]

    def _showParticles(self, result: Result) -> List[str]:
        gallery = Gallery.ofSet(self.protocol.outputParticles, groupNames=result.outputs.names)
        return [
            WindowView(
                GalleryWindow,
                self.getTkRoot(),
                gallery,
                self.protocol.getRunName(),
                next(iter(gallery.metrics), None),
                itemsSubset(self, self.protocol.outputParticles, "particle"),
            )
        ]
