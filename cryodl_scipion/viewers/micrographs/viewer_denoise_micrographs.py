# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of denoised micrographs."""

from typing import List

from pwem.protocols import EMProtocol

from ...protocols import CryodlProtDenoiseMicrographs
from ...protocols.micrographs.protocol_denoise_micrographs import DENOISED
from ..model_window import ModelWindow
from ..panels_viewer import Panel, PanelsViewer
from ..window import WindowView
from .denoised_window import DenoisedMicrographs, DenoisedWindow


class CryodlDenoiseMicrographsViewer(PanelsViewer):
    """What `Analyze results` opens for denoised micrographs, also while the run goes on."""

    _label = "denoised micrographs viewer"
    _targets = [CryodlProtDenoiseMicrographs]
    _SECTION = "Denoised micrographs"
    _PANELS = (
        Panel(
            "showMicrographs",
            "Before and after",
            "Each micrograph before and after denoising, with both power spectra. The wheel zooms.",
        ),
        Panel(
            "showModel",
            "Model and its training",
            "Training curves and model card. The metric is the correlation with held-out views of the micrographs.",
        ),
    )
    _WAIT = "No micrograph is denoised yet. Wait until the first batch is done."

    def _showMicrographs(self, protocol: EMProtocol) -> List[str]:
        denoised = getattr(protocol, DENOISED, None)
        if denoised is None:
            return [self.infoMessage(self._WAIT, "Nothing yet")]
        data = DenoisedMicrographs(protocol.inputMicrographs.get(), denoised)
        return [WindowView(DenoisedWindow, self.getTkRoot(), data, "Denoised micrographs")]

    def _showModel(self, protocol: EMProtocol) -> List[str]:
        title = f"Training: {protocol.getRunName()}"
        return [WindowView(ModelWindow, self.getTkRoot(), protocol.getModelFolder(), title)]
