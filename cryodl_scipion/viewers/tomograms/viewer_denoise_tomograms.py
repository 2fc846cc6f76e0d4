# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of denoised tomograms."""

import os
from typing import Any, List

from pwem.protocols import EMProtocol

from ...convert.tomograms.tomograms import engineNames
from ...protocols import CryodlProtDenoiseTomograms
from ...protocols.tomograms.protocol_denoise_tomograms import DENOISED
from ..model_window import ModelWindow
from ..panels_viewer import Panel, PanelsViewer
from ..window import WindowView
from .denoised_slices import DenoisedSlicesWindow, drawControls
from .slices_data import TomogramSlices


class CryodlDenoiseTomogramsViewer(PanelsViewer):
    """What `Analyze results` opens for denoised tomograms."""

    _label = "denoised tomograms viewer"
    _targets = [CryodlProtDenoiseTomograms]
    _SECTION = "Denoised tomograms"
    _PANELS = (
        Panel("showSlices", "Before and after", "Slices of each tomogram before and after denoising. The wheel zooms."),
        Panel(
            "showControls",
            "What denoising keeps",
            "For a tomogram with halves, by frequency: correlation of the raw halves, correlation of a denoised "
            "half with the other raw half, and fraction of the signal's amplitude that is kept. denoise.json has "
            "the values of all tomograms.",
        ),
        Panel(
            "showModel",
            "Model and its training",
            "Training curves and model card. The metric is the correlation with the other half in held-out parts of "
            "the tomograms.",
        ),
    )
    _WAIT = "No tomogram is denoised yet. Wait until the run has finished."

    def _data(self) -> Any:
        return self.protocol

    def _showSlices(self, protocol: EMProtocol) -> List[str]:
        denoised = getattr(protocol, DENOISED, None)
        if denoised is None:
            return [self.infoMessage(self._WAIT, "Nothing yet")]
        after = TomogramSlices.ofTomograms(denoised)
        before = TomogramSlices.ofTomograms(protocol.inputTomograms.get())
        before.ids = [name for name in before.ids if name in after.files]
        title = f"Denoised tomograms: {protocol.getRunName()}"
        return [WindowView(DenoisedSlicesWindow, self.getTkRoot(), before, after, title)]

    def _showControls(self, protocol: EMProtocol) -> List[str]:
        result = protocol._result()
        controls = {} if result is None else {k: v for k, v in result.outputs.controls.items() if v}
        if not controls:
            return [self.infoMessage("No tomogram with halves is denoised yet.", "Nothing yet")]
        names = {name: tsId for tsId, name in engineNames(protocol.inputTomograms.get()).items()}
        plotter = self._plot("Controls")
        shown = sorted(controls)[len(controls) // 2]  # one stands for all; denoise.json has them all
        drawControls(plotter.getFigure().add_subplot(), names.get(shown, shown), controls[shown])
        return [plotter]

    def _showModel(self, protocol: EMProtocol) -> List[str]:
        folder = protocol.getModelFolder()
        if not any(os.path.isdir(path) for path in (folder, f"{folder}.partial")):
            return [self.infoMessage("Training has not started yet.", "Nothing yet")]
        return [WindowView(ModelWindow, self.getTkRoot(), folder, f"Training: {protocol.getRunName()}")]
