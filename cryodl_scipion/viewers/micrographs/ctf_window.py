# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows of estimated CTFs, and of a power spectrum with the highest resolution to fit."""

import os
from typing import Any, List, Tuple

import mrcfile
import numpy as np
from pwem.objects import SetOfCTF
from scipy import ndimage

from ...convert.micrographs.ctfs import TITLES, ctfRows
from ...convert.reading import readJson
from ...protocols.micrographs.protocol_estimate_ctf import OUTPUT, CryodlProtEstimateCTF
from .. import panels_viewer, window
from ..micrograph_window import MicrographWindow, Pictures
from ..plots import TILE, Axes, Figure, drawCircles, label, readImage, tilesPower
from .diameter_window import previewOf


class CryodlCTFViewer(
    panels_viewer.PanelsViewer,
    targets=[CryodlProtEstimateCTF],
    section="CTF",
    wait="No CTF is estimated",
    until="the first batch is done",
):
    def _data(self) -> Any:
        return EstimatedCTFs(self.needed(getattr(self.protocol, OUTPUT, None)))

    @panels_viewer.panel(
        "Power spectra and fits", "Power spectrum (right) and fitted CTF (left) of each micrograph, and both as curves."
    )
    def showSpectra(self, data: Any) -> Any:
        return self.window(CtfWindow, data, "Power spectra")

    @panels_viewer.panel("Defocus", "Defocus of each micrograph; histograms of defocus, astigmatism and resolution.")
    def showDefocus(self, data: Any) -> Any:
        return self.plot("Estimated CTFs", lambda figure: drawDefocus(figure, data.rows), (12, 7))

    @panels_viewer.panel("Table", "All values of all micrographs.")
    def showTable(self, data: Any) -> Any:
        return self.window(window.PicturesWindow, "Estimated CTFs", {}, (), None, data.table())


_DEFOCUS, _OTHER, _BINS = "#4477aa", "#228833", 24


def drawDefocus(figure: Figure, rows: List[Tuple]) -> None:
    """Defocus of each micrograph in the order of the set, and histograms of defocus, astigmatism and resolution.

    rows: of ctfRows."""
    across, *panels = figure.add_subplot(2, 1, 1), *(figure.add_subplot(2, 3, position) for position in (4, 5, 6))
    numbers, middles = range(1, len(rows) + 1), [(row[1] + row[2]) / 2e4 for row in rows]
    across.vlines(numbers, [row[2] / 1e4 for row in rows], [row[1] / 1e4 for row in rows], color=_DEFOCUS, alpha=0.5)
    across.plot(numbers, middles, ".", color=_DEFOCUS)
    label(across, "Micrograph", "Defocus, V to U (µm)", whole="x")
    astigmatism, resolution = ([row[column] for row in rows] for column in (4, 5))
    for axes, values, words in zip(
        panels, (middles, astigmatism, resolution), ("Mean defocus (µm)", "Astigmatism (Å)", "Rings fitted to (Å)")
    ):
        axes.hist(values, bins=_BINS, color=_OTHER)
        label(axes, words, "Micrographs", whole="y")


def drawProfile(axes: Axes, profile: dict) -> None:
    """A power spectrum, averaged over equal phases, and the fitted CTF. profile: frequency (1/Å), data and model."""
    spread = max(sorted(abs(v) for v in profile["data"])[int(0.98 * (len(profile["data"]) - 1))], 1e-6)
    axes.plot(profile["frequency"], [v / spread for v in profile["data"]], color=_DEFOCUS, label="power spectrum")
    axes.plot(profile["frequency"], [2 * v for v in profile["model"]], color="#cc6677", label="CTF")
    label(axes, "Spatial frequency (1/Å)", legend=dict(loc="upper right", ncols=2), ylim=(-1.3, 2), yticks=[])


_FIRST_GUESS = 5.0  # Å


def powerSpectrum(image: np.ndarray) -> np.ndarray:
    """(side, side) logarithm of the mean power spectrum of tiles of an (h, w) image, without its rotational average's
    slow fall. Frequency 0 is at pixel (side // 2, side // 2), and the edges are the Nyquist frequency."""
    side = min(TILE, *image.shape) // 2 * 2
    positions = (
        np.linspace(0, length - side, min(7, 1 + 2 * (length - side) // side)).astype(int) for length in image.shape
    )
    half = tilesPower(image, side, *positions)
    power = np.hstack([half, half[-np.arange(side), side // 2 - 1 : 0 : -1]])  # of opposite frequencies it is the same
    values, axis = ndimage.gaussian_filter(np.log(np.fft.fftshift(power) + 1e-30), 1), np.arange(side) - side // 2
    ring = np.rint(np.hypot(axis[:, None], axis)).astype(int)
    mean = np.bincount(ring.ravel(), values.ravel()) / np.bincount(ring.ravel())
    flat = values - ndimage.gaussian_filter1d(mean, side / 32)[ring]
    flat[ring < side // 50] = 0
    return np.clip(flat, *np.percentile(flat, (2, 98)))


class SpectraOfMicrographs(Pictures):
    def preview(self, index: int) -> Any:
        return previewOf(powerSpectrum(readImage(self.paths[index])))


class SpectrumWindow(MicrographWindow):
    """The slider is the resolution in Å, drawn as a circle on the spectra.

    data: SpectraOfMicrographs. pixelSize: Å/px of the micrographs. value: Å to begin with, or None. accept: takes Å."""

    def __init__(self, parent: Any, data: Any, pixelSize: float, value: Any, accept: Any) -> None:
        self._micrographPixel, low = pixelSize, max(2.0, round(2 * pixelSize, 2))
        slider = dict(from_=low, to=max(20.0, 4 * low), resolution=0.1, label="Highest resolution (Å)")
        MicrographWindow.__init__(self, parent, data, "Power spectra", slider, value or _FIRST_GUESS, accept)

    def _drawOn(self, axes: Axes) -> None:
        side = self._preview.width
        drawCircles(axes, [(side / 2, side / 2, side * self._micrographPixel / self.value.get())], width=1)

    def _text(self) -> str:
        return (
            f"Rings up to {self.value.get():.1f} Å are fitted. Choose the outermost ring that is visible in most "
            "micrographs."
        )


class EstimatedCTFs(Pictures):
    def __init__(self, ctfs: SetOfCTF) -> None:
        self.rows = ctfRows(ctfs)
        Pictures.__init__(self, [row[0] for row in self.rows], [ctf.getPsdFile() for ctf in ctfs.iterItems()])

    def preview(self, index: int) -> Any:
        if not os.path.exists(self.paths[index] or ""):
            raise ValueError(f"The power spectrum {self.paths[index]} does not exist.")
        return previewOf(mrcfile.read(self.paths[index]))

    def table(self) -> Any:
        return TITLES, [(row[0], *(f"{v:.{n}f}" for v, n in zip(row[1:], (0, 0, 0, 0, 2, 2, 1)))) for row in self.rows]

    def inWords(self, index: int) -> str:
        _, u, v, angle, astigmatism, resolution, correlation, strength = self.rows[index]
        return (
            f"Defocus {u:.0f} and {v:.0f} Å, U at {angle:.0f}° to x, astigmatism {astigmatism:.0f} Å, rings fitted "
            f"to {resolution:.1f} Å, correlation {correlation:.2f}, strength {strength:.0f}"
        )

    def profile(self, index: int) -> Any:
        return readJson(os.path.splitext(self.paths[index])[0] + ".json", {}).get("profile")


class CtfWindow(MicrographWindow):
    """Fitted CTF (left half) and power spectrum (right half). data: EstimatedCTFs."""

    _NONE = "There are no CTFs."

    def _look(self) -> None:
        self._axes.set_position((0.14, 0.27, 0.72, 0.72))
        if profile := self._data.profile(self.index()):
            drawProfile(self._figure.add_axes((0.06, 0.08, 0.9, 0.17)), profile)

    def _text(self) -> str:
        return self._data.inWords(self.index())
