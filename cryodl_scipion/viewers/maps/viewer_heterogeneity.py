# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of a latent space."""

from typing import Any, List

from ...convert.latent import latentOf
from ...engine.cryodl.contract import Result
from ...protocols import CryodlProtFitHeterogeneity, CryodlProtLatentVolumes
from ..latent_window import LatentWindow, PathWindow
from ..panels_viewer import Panel, PanelsViewer
from ..window import WindowView

# {output: what its items are}
_KINDS = {"outputParticles": "particle", "outputSubtomograms": "subtomogram"}


class CryodlHeterogeneityViewer(PanelsViewer):
    """What `Analyze results` opens for a latent space."""

    _label = "latent space viewer"
    _targets = [CryodlProtFitHeterogeneity]
    _SECTION = "Latent space"
    _PANELS = (
        Panel(
            "showLatent",
            "Latent space",
            "Particles or subtomograms by two latent coordinates, coloured by cluster. Draw around some with the "
            "mouse to make a subset of them.",
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
        return self.protocol._result() if any(self.protocol.hasAttribute(name) for name in _KINDS) else None

    def _showLatent(self, result: Result) -> List[str]:
        output = next(name for name in _KINDS if self.protocol.hasAttribute(name))
        found = latentOf(getattr(self.protocol, output))
        return [WindowView(LatentWindow, self.getTkRoot(), self.protocol, *found, output, _KINDS[output])]

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
