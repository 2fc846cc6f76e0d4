# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of maps."""

from typing import Any, Dict, List

from pwem.objects import Volume
from pyworkflow.viewer import DESKTOP_TKINTER, Viewer

from ...convert.names import withoutChecksum
from ...protocols import CryodlProtBackProject
from ..map_plots import drawFsc
from ..panels_viewer import Panel, PanelsViewer, chimeraViews
from ..window import WindowView
from .linked_maps_window import LinkedMapsWindow


class CryodlVolumeViewer(Viewer):
    """Slices of a map and of its half-maps."""

    _name = "cryodl slices"
    _targets = [Volume]
    _environments = [DESKTOP_TKINTER]

    def _visualize(self, obj: Any, **kwargs: Any) -> List[str]:
        return [mapSlicesView(self.getTkRoot(), obj)]


class CryodlBackProjectViewer(PanelsViewer):
    """What `Analyze results` opens for a back-projection."""

    _label = "back-projection viewer"
    _targets = [CryodlProtBackProject]
    _SECTION = "Map"
    _PANELS = (
        Panel("showSlices", "Slices of the map and the half-maps", "Slices across the three axes, with sliders."),
        Panel(
            "showFsc",
            "FSC of the half-maps",
            "Fourier shell correlation of the half-maps, and the resolution at 0.143. For denoised particles it "
            "says nothing about resolution: both half-maps show what the model learned.",
        ),
        Panel("showInChimera", "Map in ChimeraX", "Opens ChimeraX, if Scipion's plugin for it is installed."),
    )
    _WAIT = "There is no map yet. Wait until the run has finished."
    _OUTPUT = "outputVolume"

    def _showSlices(self, volume: Volume) -> List[str]:
        return [mapSlicesView(self.getTkRoot(), volume)]

    def _showFsc(self, volume: Volume) -> List[str]:
        made, comment = self.protocol._result().outputs, volume.getObjComment()
        plotter = self._plot("FSC")
        axes = plotter.getFigure().add_subplot()
        drawFsc(axes, {"half-maps": made.fsc}, made.pixel_size, made.box, None if comment else made.resolution)
        axes.set_title(withoutChecksum(comment or "") or f"{made.count} particles", fontsize=10)
        return [plotter]

    def _showInChimera(self, volume: Volume) -> Any:
        return chimeraViews(self, volume.getFileName(), "map")


def mapSlicesView(root: Any, volume: Volume) -> Any:
    note = withoutChecksum(volume.getObjComment() or "")
    return WindowView(LinkedMapsWindow, root, {"map": mapsOf(volume)}, str(volume), [note] * bool(note))


def mapsOf(volume: Volume) -> Dict[str, Any]:
    """{name: file} of a Volume and its half-maps."""
    halves = [path for path in (volume.getHalfMaps() or "").split(",") if path]
    return dict({"map": volume.getFileName()}, **{f"half-map {n}": path for n, path in enumerate(halves, 1)})
