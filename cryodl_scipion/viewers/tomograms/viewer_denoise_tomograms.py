# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of denoised tomograms."""

from typing import Any, Dict

from pwem.protocols import EMProtocol

from ...convert.tomograms.tomograms import engineNames
from ...protocols.tomograms.protocol_denoise_tomograms import DENOISED, CryodlProtDenoiseTomograms
from .. import plots
from ..micrographs.viewer_denoise_micrographs import CryodlDenoiseMicrographsViewer
from ..panels_viewer import PanelsViewer, panel
from .slices_window import PLANES, SlicesWindow, TomogramSlices


class DenoisedSlicesWindow(SlicesWindow):
    """data: TomogramSlices as they were. denoised: TomogramSlices of the same tsIds. The wheel zooms both alike."""

    _SIZE = (11.5, 6.4)  # fits a screen of 1600 px beside the list

    def __init__(self, parent: Any, data: Any, denoised: Any, title: str) -> None:
        self._denoised = denoised
        SlicesWindow.__init__(self, parent, data, title)

    def _draw(self) -> Any:
        after = self._denoised.slice(self._shownId, PLANES[self._plane], self._position)
        axes, other = drawDenoisedSlices(self._figure, self._preview, after)
        self._beside = [(other, after)]
        return axes

    def _text(self) -> str:
        return SlicesWindow._text(self) + "; left: original, right: denoised"


def drawDenoisedSlices(figure: plots.Figure, before: Any, after: Any) -> Any:
    panels = figure.subplots(1, 2, gridspec_kw=dict(left=0.01, right=0.99, top=0.94, bottom=0.01, wspace=0.02))
    plots.drawBeside(panels, (before, after), upwards=True)
    return panels


def drawControls(axes: plots.Axes, name: str, metrics: Dict[str, Any]) -> None:
    """What the halves tell of a tomogram's denoising, by frequency. metrics: `controls` of a result."""
    frequencies = metrics["frequencies"]
    axes.plot(frequencies, metrics["fsc_halves"], color="#4477aa", label="raw half with raw half")
    axes.plot(frequencies, metrics["fsc_denoised"], color="#cc6677", label="denoised half with the other raw half")
    axes.plot(frequencies, metrics["kept"], color="#888888", ls="--", label="fraction of the signal's amplitude kept")
    plots.label(axes, "Frequency (1/Å)", grid=True, ylim=(-0.05, 1.1), title=f"{name}: what denoising keeps")


class CryodlDenoiseTomogramsViewer(
    PanelsViewer, targets=[CryodlProtDenoiseTomograms], section="Denoised tomograms", wait="No tomogram is denoised"
):
    @panel("Before and after", "Slices of each tomogram before and after denoising. The wheel zooms.")
    def showSlices(self, protocol: EMProtocol) -> Any:
        denoised = self.needed(getattr(protocol, DENOISED, None))
        before, after = (TomogramSlices.ofTomograms(one) for one in (protocol.inputTomograms.get(), denoised))
        before.names = [name for name in before.names if name in after.files]
        return self.window(DenoisedSlicesWindow, before, after, self.title())

    @panel(
        "What denoising keeps",
        "For a tomogram with halves, by frequency: correlation of the raw halves, correlation of a denoised half with "
        "the other raw half, and fraction of the signal's amplitude that is kept. denoise.json has the values of all "
        "tomograms.",
    )
    def showControls(self, protocol: EMProtocol) -> Any:
        made = protocol._made()
        controls = {} if made is None else {k: v for k, v in made.controls.items() if v}
        if not controls:
            return self.infoMessage("No tomogram with halves is denoised, or not yet.", "No controls")
        names = {name: tsId for tsId, name in engineNames(protocol.inputTomograms.get()).items()}
        shown = sorted(controls)[len(controls) // 2]  # one stands for all; denoise.json has them all
        draw = lambda figure: drawControls(figure.add_subplot(), names.get(shown, shown), controls[shown])
        return self.plot("Controls", draw)

    showModel = CryodlDenoiseMicrographsViewer.showModel
