# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of a latent space of subtomograms."""

from typing import Any, List

from ...convert.latent import latentOf
from ...engine.cryodl.contract import Result
from ...protocols import CryodlProtFitSubtomogramHeterogeneity
from ..latent_window import LatentWindow, PathWindow
from ..panels_viewer import Panel, PanelsViewer
from ..window import WindowView

_SET = "outputSubtomograms"


class CryodlSubtomogramHeterogeneityViewer(PanelsViewer):
    """What `Analyze results` opens for a latent space of subtomograms."""

    _label = "subtomogram latent space viewer"
    _targets = [CryodlProtFitSubtomogramHeterogeneity]
    _SECTION = "Latent space"
    _PANELS = (
        Panel(
            "showLatent",
            "Latent space",
            "The subtomograms by two latent coordinates, coloured by cluster. Draw around subtomograms with the mouse "
            "to make a subset of them.",
        ),
        Panel(
            "showPath",
            "Averages along an axis",
            "Central slices and projections of the averages along the first axes of the latent space; the slider moves "
            "along an axis.",
        ),
    )
    _WAIT = "There is no latent space yet. Wait until the run has finished."

    def _data(self) -> Any:
        return self.protocol._result() if getattr(self.protocol, _SET, None) is not None else None

    def _showLatent(self, result: Result) -> List[str]:
        found = latentOf(getattr(self.protocol, _SET))
        return [WindowView(LatentWindow, self.getTkRoot(), self.protocol, *found, _SET, "subtomogram")]

    def _showPath(self, result: Result) -> List[str]:
        if not any(result.outputs.paths):
            raise ValueError(
                "No averages were requested along the axes. Set *Axes with averages* to 1 or more, and run again."
            )
        return [WindowView(PathWindow, self.getTkRoot(), result.outputs.paths, self.protocol.getRunName())]
