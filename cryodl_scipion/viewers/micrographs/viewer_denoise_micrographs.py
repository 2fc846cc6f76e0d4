# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of denoised micrographs."""

from typing import Any, Sequence

import numpy as np
from pwem.protocols import EMProtocol

from ...protocols.micrographs.protocol_denoise_micrographs import DENOISED, CryodlProtDenoiseMicrographs
from .. import micrograph_window, model_window, panels_viewer
from ..plots import TILE, Axes, Figure, drawBeside, label, loadPreview, readImage, tilesPower


def radialPower(image: np.ndarray, pixelSize: float) -> Any:
    """Frequencies (1/Å) and mean power at each, of patches of an (h, w) image. Two (n,) arrays."""
    side = min(TILE, *image.shape) // 2 * 2
    rows, columns = (np.unique(np.linspace(0, n - side, max(1, min(6, n // side))).astype(int)) for n in image.shape)
    index = np.rint(np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)) * side).astype(int).ravel()
    mean = np.bincount(index, tilesPower(image, side, rows, columns).ravel()) / np.maximum(np.bincount(index), 1)
    rings = np.arange(2, side // 2)  # ring 1 is the window's
    return rings / (side * pixelSize), mean[rings] / (len(rows) * len(columns) * (np.hanning(side) ** 2).sum() ** 2)


def drawPair(figure: Figure, before: Any, after: Any) -> Any:
    """The two Previews beside each other and an empty position for spectra below. Returns three axes."""
    margins = dict(left=0.06, right=0.99, top=0.95, bottom=0.09, wspace=0.03, hspace=0.1)
    axes = figure.subplot_mosaic("lr;ss", height_ratios=(3, 1), gridspec_kw=margins)
    drawBeside((axes["l"], axes["r"]), (before, after))
    return axes["l"], axes["r"], axes["s"]


def drawSpectra(axes: Axes, paths: Sequence[str], pixelSize: float) -> None:
    for path, name, colour in zip(paths, ("original", "denoised"), ("#4477aa", "#cc6677")):
        frequency, power = radialPower(readImage(path), pixelSize)
        axes.semilogy(frequency, np.maximum(power, 1e-12 * power.max()), label=name, color=colour)
    label(axes, "Frequency (1/Å)", "Power", grid=True)


class DenoisedMicrographs(micrograph_window.Pictures):
    """originals, denoised: SetOfMicrographs; the second may still be growing, and says which are shown."""

    def __init__(self, originals: Any, denoised: Any) -> None:
        files = {m.getMicName(): m.getFileName() for m in originals}
        self.after = {m.getMicName(): m.getFileName() for m in denoised if m.getMicName() in files}
        micrograph_window.Pictures.__init__(self, list(self.after), [files[name] for name in self.after])
        self.pixelSize = denoised.getSamplingRate()

    def pair(self, index: int) -> Any:
        return self.paths[index], self.after[self.names[index]]


class DenoisedWindow(micrograph_window.MicrographWindow):
    """data: DenoisedMicrographs. The wheel zooms both pictures alike."""

    _SIZE = (11.5, 7.4)
    _NONE = "There are no denoised micrographs."

    def _draw(self) -> Any:
        paths = self._data.pair(self.index())
        after = loadPreview(paths[1])
        axes, other, below = drawPair(self._figure, self._preview, after)
        self._beside = [(other, after)]
        drawSpectra(below, paths, self._data.pixelSize)
        return axes

    def _text(self) -> str:
        return "For viewing. Pick and extract particles in the original micrographs."


class CryodlDenoiseMicrographsViewer(
    panels_viewer.PanelsViewer,
    targets=[CryodlProtDenoiseMicrographs],
    section="Denoised micrographs",
    wait="No micrograph is denoised",
    until="the first batch is done",
):
    @panels_viewer.panel(
        "Before and after", "Each micrograph before and after denoising, with both power spectra. The wheel zooms."
    )
    def showMicrographs(self, protocol: EMProtocol) -> Any:
        denoised = self.needed(getattr(protocol, DENOISED, None))
        return self.window(
            DenoisedWindow, DenoisedMicrographs(protocol.inputMicrographs.get(), denoised), "Denoised micrographs"
        )

    @panels_viewer.panel(
        "Model and its training",
        "Training curves and model card. The metric is the correlation with held-out views of the micrographs, or with "
        "the other half in held-out parts of the tomograms.",
    )
    def showModel(self, protocol: EMProtocol) -> Any:
        return self.window(model_window.ModelWindow, protocol.getModelFolder(), self.title("Training"))
