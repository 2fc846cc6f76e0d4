# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of maps."""

from typing import Any, Dict

from pwem.objects import Volume

from ...convert.names import withoutChecksum
from ...protocols import CryodlProtBackProject
from ..map_plots import drawFscOfMap
from ..panels_viewer import ObjectViewer, PanelsViewer, panel
from ..window import WindowView
from .linked_maps_window import LinkedMapsWindow


class CryodlVolumeViewer(ObjectViewer, name="cryodl slices", targets=[Volume]):
    """Slices of a map and of its half-maps."""

    def show(self, obj: Volume) -> Any:
        return mapSlicesView(self.getTkRoot(), obj)


class CryodlBackProjectViewer(
    PanelsViewer,
    targets=[CryodlProtBackProject],
    section="Map",
    wait="There is no map yet. Wait until the run has finished.",
    data="outputVolume",
):
    """What `Analyze results` opens for a back-projection."""

    @panel("Slices of the map and the half-maps", "Slices across the three axes, with sliders.")
    def showSlices(self, volume: Volume) -> Any:
        return mapSlicesView(self.getTkRoot(), volume)

    @panel(
        "FSC of the half-maps",
        "Fourier shell correlation of the half-maps, and the resolution at 0.143. For denoised particles it says "
        "nothing about resolution: both half-maps show what the model learned.",
    )
    def showFsc(self, volume: Volume) -> Any:
        made, comment = self.protocol._made(), withoutChecksum(volume.getObjComment() or "")
        return self.plot("FSC", lambda figure: drawFscOfMap(figure.add_subplot(), made, comment))

    @panel("Map in ChimeraX", "Opens ChimeraX, if Scipion's plugin for it is installed.")
    def showInChimera(self, volume: Volume) -> Any:
        return self.chimera(volume.getFileName())


def mapSlicesView(root: Any, volume: Volume) -> Any:
    note = withoutChecksum(volume.getObjComment() or "")
    return WindowView(LinkedMapsWindow, root, {"map": mapsOf(volume)}, str(volume), [note] * bool(note))


def mapsOf(volume: Volume) -> Dict[str, Any]:
    """{name: file} of a Volume and its half-maps."""
    halves = [path for path in (volume.getHalfMaps() or "").split(",") if path]
    return dict({"map": volume.getFileName()}, **{f"half-map {n}": path for n, path in enumerate(halves, 1)})
