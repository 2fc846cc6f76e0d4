# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewer of denoised micrographs."""

from typing import Any, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pwem.objects import SetOfParticles
from pwem.protocols import EMProtocol

from ...protocols import CryodlProtDenoiseMicrographs
from ...protocols.micrographs.protocol_denoise_micrographs import DENOISED
from ..micrograph_window import MicrographWindow
from ..model_window import ModelWindow
from ..panels_viewer import PanelsViewer, panel
from ..plots import drawMicrograph, loadPreview, readImage, view

BEFORE, AFTER = "#4477aa", "#cc6677"


_PATCH = 512  # px: large enough for the coarse detail that is looked at, small enough to average over many


_MAX_PATCHES = 36


def radialPower(image: np.ndarray, pixelSize: float) -> Any:
    """Frequencies (1/Å) and mean power at each, of patches of an (h, w) image. Two (n,) arrays."""
    side = min(_PATCH, *image.shape) // 2 * 2
    rows, columns = (
        np.unique(np.linspace(0, n - side, max(1, min(int(_MAX_PATCHES**0.5), n // side))).astype(int))
        for n in image.shape
    )
    window = np.hanning(side)[:, None] * np.hanning(side)
    power: Any = 0
    for y in rows:
        for x in columns:
            patch = np.nan_to_num(np.asarray(image[y : y + side, x : x + side], np.float32))
            power = power + np.abs(np.fft.rfft2((patch - patch.mean()) * window)) ** 2
    ring = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)) * side
    index = np.rint(ring).astype(int).ravel()
    mean = np.bincount(index, power.ravel()) / np.maximum(np.bincount(index), 1)
    rings = np.arange(2, side // 2)  # ring 1 is the window's
    return rings / (side * pixelSize), mean[rings] / (len(rows) * len(columns) * (window**2).sum())


def drawPair(figure: Figure, before: Optional[str], after: Any) -> Any:
    """The two pictures beside each other and an empty position for spectra below. before, after: Previews.

    Returns three axes.
    """
    figure.clear()
    grid = figure.add_gridspec(
        2, 2, height_ratios=(3, 1), left=0.06, right=0.99, top=0.95, bottom=0.09, wspace=0.03, hspace=0.1
    )
    left, right, below = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, :])
    for axes, preview, title in ((left, before, "Original"), (right, after, "Denoised")):
        drawMicrograph(axes, preview)
        axes.set_title(title)
    return left, right, below


def drawSpectra(axes: Axes, paths: Sequence[str], pixelSize: float) -> None:
    """Power spectra of the files before and after. pixelSize: Å/px."""
    axes.clear()
    for path, label, colour in zip(paths, ("original", "denoised"), (BEFORE, AFTER)):
        frequency, power = radialPower(readImage(path), pixelSize)
        axes.semilogy(frequency, np.maximum(power, 1e-12 * power.max()), label=label, color=colour)
    axes.set_xlabel("Frequency (1/Å)")
    axes.set_ylabel("Power")
    axes.grid(alpha=0.3)
    axes.legend()


class DenoisedMicrographs:
    """originals, denoised: SetOfMicrographs; the second may still be growing, and says which are shown."""

    def __init__(self, originals: Any, denoised: SetOfParticles) -> None:
        files = {m.getMicName(): m.getFileName() for m in originals}
        pairs = [(m.getMicName(), m.getFileName()) for m in denoised if m.getMicName() in files]
        self.names = [name for name, _ in pairs]
        self.before, self.after = [files[name] for name in self.names], [path for _, path in pairs]
        self.pixelSize = denoised.getSamplingRate()


class DenoisedWindow(MicrographWindow):
    """data: DenoisedMicrographs. The wheel zooms both pictures alike."""

    _SIZE = (11.5, 7.4)

    def __init__(self, parent: Any, data: Any, title: str) -> None:
        self._data, self._pixelSize = data, data.pixelSize
        MicrographWindow.__init__(self, parent, title, data.names, data.before, None, 0)

    def showMicrograph(self) -> None:
        self._figure.clear()
        self._axes = self._other = self._preview = None
        if self.index() is not None:
            paths = self._data.before[self.index()], self._data.after[self.index()]
            try:
                self._preview, self._after = (loadPreview(path) for path in paths)
                self._axes, self._other, below = drawPair(self._figure, self._preview, self._after)
                drawSpectra(below, paths, self._data.pixelSize)
            except (ValueError, OSError) as error:
                self._figure.text(0.5, 0.5, str(error), ha="center", wrap=True)
        self.refresh()

    def _zoom(self, centre: Any, span: Any) -> None:
        for axes, preview in ((self._axes, self._preview), (self._other, self._after)):
            view(axes, preview, centre, span)

    def _pictures(self) -> Any:
        pair: Tuple[Any, Any] = (self._axes, self._other)
        return [axes.images[0] for axes in pair]

    def _text(self) -> str:
        return (
            "There are no denoised micrographs."
            if self.index() is None
            else "For viewing and picking. Extract particles from the original micrographs."
        )


class CryodlDenoiseMicrographsViewer(
    PanelsViewer,
    targets=[CryodlProtDenoiseMicrographs],
    section="Denoised micrographs",
    wait="No micrograph is denoised yet. Wait until the first batch is done.",
):
    """What `Analyze results` opens for denoised micrographs, also while the run goes on."""

    @panel("Before and after", "Each micrograph before and after denoising, with both power spectra. The wheel zooms.")
    def showMicrographs(self, protocol: EMProtocol) -> Any:
        denoised = getattr(protocol, DENOISED, None)
        if denoised is None:
            return self.infoMessage(self._WAIT, "Nothing yet")
        data = DenoisedMicrographs(protocol.inputMicrographs.get(), denoised)
        return self.window(DenoisedWindow, data, "Denoised micrographs")

    @panel(
        "Model and its training",
        "Training curves and model card. The metric is the correlation with held-out views of the micrographs.",
    )
    def showModel(self, protocol: EMProtocol) -> Any:
        return self.window(ModelWindow, protocol.getModelFolder(), self.title("Training"))
