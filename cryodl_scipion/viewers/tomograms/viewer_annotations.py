# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of annotated tiles."""

from typing import Any, List

from pyworkflow.viewer import DESKTOP_TKINTER, Viewer

from ...objects import CryodlAnnotations
from ...protocols import CryodlProtAnnotate
from ..gallery_window import GalleryWindow
from ..panels_viewer import Panel, PanelsViewer
from ..window import WindowView
from .slices_window import SlicesWindow
from .tile_data import TileGallery, tilesInTomograms


class CryodlAnnotationsViewer(Viewer):
    """Annotated tiles."""

    _name = "cryodl tiles"
    _targets = [CryodlAnnotations]
    _environments = [DESKTOP_TKINTER]

    def _visualize(self, obj: Any, **kwargs: Any) -> List[str]:
        return [WindowView(GalleryWindow, self.getTkRoot(), TileGallery(obj.getFolder()), str(obj))]


class CryodlAnnotateViewer(PanelsViewer):
    """What `Analyze results` opens for annotations."""

    _label = "annotations viewer"
    _targets = [CryodlProtAnnotate]
    _SECTION = "Annotations"
    _PANELS = (
        Panel("showTiles", "Tiles and drawings", "The annotated tiles beside their drawings."),
        Panel("showCoordinates", "Tiles in their tomograms", "Positions of the tiles; circles are as wide as a tile."),
    )
    _WAIT = "There are no annotations yet. Wait until the window is closed, or the import has finished."

    def _data(self) -> Any:
        return getattr(self.protocol, "outputAnnotations", None)

    def _showTiles(self, annotations: Any) -> List[str]:
        return [WindowView(GalleryWindow, self.getTkRoot(), TileGallery(annotations.getFolder()), str(annotations))]

    def _showCoordinates(self, annotations: Any) -> List[str]:
        data = tilesInTomograms(annotations.getFolder())
        if data is None:
            return [
                self.infoMessage(
                    "The tiles are from stacks, or their tomograms no longer exist, so they cannot be shown in "
                    "tomograms.",
                    "No tomograms",
                )
            ]
        return [WindowView(SlicesWindow, self.getTkRoot(), data, f"Tiles of {self.protocol.getRunName()}")]
