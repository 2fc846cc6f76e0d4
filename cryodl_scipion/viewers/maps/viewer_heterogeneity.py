# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of a latent space."""

from typing import Any, List

from ...convert.latent import latentOf
from ...engine.cryodl.contract import Result
from ...protocols import CryodlProtFitHeterogeneity, CryodlProtLatentVolumes
from ..latent_window import LatentWindow, PathWindow
from ..panels_viewer import Panel, PanelsViewer
from ..window import WindowView


class CryodlHeterogeneityViewer(PanelsViewer):
    """What `Analyze results` opens for a latent space."""

    _label = "latent space viewer"
    _targets = [CryodlProtFitHeterogeneity]
    _SECTION = "Latent space"
    _PANELS = (
        Panel(
            "showLatent",
            "Latent space",
            "The particles by two latent coordinates, coloured by cluster. Draw around particles with the mouse to "
            "make a subset of them.",
        ),
        Panel(
            "showPath",
            "Maps along an axis",
            "Central slices and projections of the maps along the first axes of the latent space; the slider moves "
            "along an axis.",
        ),
    )
    _WAIT = "There is no latent space yet. Wait until the run has finished."

    def _data(self) -> Any:
        result = self.protocol._result()
        return result if getattr(self.protocol, "outputParticles", None) is not None else None

    def _showLatent(self, result: Result) -> List[str]:
        return [WindowView(LatentWindow, self.getTkRoot(), self.protocol, *latentOf(self.protocol.outputParticles))]

    def _showPath(self, result: Result) -> List[str]:
        if not any(result.outputs.paths):
            raise ValueError("No maps were requested along the axes. Set *Axes with maps* to 1 or more, and run again.")
        return [WindowView(PathWindow, self.getTkRoot(), result.outputs.paths, self.protocol.getRunName())]


class CryodlLatentVolumesViewer(PanelsViewer):
    """What `Analyze results` opens for maps at points of a latent space."""

    _label = "latent volumes viewer"
    _targets = [CryodlProtLatentVolumes]
    _SECTION = "Latent volumes"
    _PANELS = (
        Panel(
            "showPath",
            "Maps along the path",
            "Central slices and projections of the maps; the slider moves along the path.",
        ),
    )
    _WAIT = "There are no maps yet. Wait until the run has finished."

    def _data(self) -> Any:
        result = self.protocol._result()
        return result if getattr(self.protocol, "outputVolumes", None) is not None else None

    def _showPath(self, result: Result) -> List[str]:
        paths = [result.outputs.volumes]
        return [WindowView(PathWindow, self.getTkRoot(), paths, self.protocol.getRunName())]
