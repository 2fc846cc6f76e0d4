# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of estimated CTFs."""

from typing import Any, List

from ..protocols import CryodlProtEstimateCTF
from ..protocols.micrographs.protocol_estimate_ctf import OUTPUT
from .micrographs.ctf_window import CtfWindow, EstimatedCTFs, drawDefocus
from .panels_viewer import Panel, PanelsViewer
from .pictures_window import PicturesWindow
from .window import WindowView


class CryodlCTFViewer(PanelsViewer):
    """What `Analyze results` opens for estimated CTFs, also while the run goes on."""

    _label = "CTF viewer"
    _targets = [CryodlProtEstimateCTF]
    _SECTION = "CTF"
    _PANELS = (
        Panel(
            "showSpectra",
            "Power spectra and fits",
            "Power spectrum (right) and fitted CTF (left) of each micrograph, and both as curves.",
        ),
        Panel(
            "showDefocus",
            "Defocus",
            "Defocus of each micrograph, and histograms of defocus, astigmatism and resolution.",
        ),
        Panel("showTable", "Table", "All values of all micrographs."),
    )
    _WAIT = "No CTF is estimated yet. Wait until the first batch is done."

    def _data(self) -> Any:
        ctfs = getattr(self.protocol, OUTPUT, None)
        return None if ctfs is None else EstimatedCTFs(ctfs)

    def _showSpectra(self, data: Any) -> List[str]:
        return [WindowView(CtfWindow, self.getTkRoot(), data, "Power spectra")]

    def _showDefocus(self, data: Any) -> List[str]:
        plotter = self._plot("Estimated CTFs", (12, 7))
        drawDefocus(plotter.getFigure(), data.rows)
        return [plotter]

    def _showTable(self, data: Any) -> List[str]:
        return [WindowView(PicturesWindow, self.getTkRoot(), "Estimated CTFs", {}, (), None, data.table())]
