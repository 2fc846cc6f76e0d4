# SPDX-License-Identifier: GPL-3.0-or-later
"""Tomograms before and after denoising, slice by slice and side by side."""

from typing import Any, Dict

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..plots import drawMicrograph, view
from .slices_window import SlicesWindow


class DenoisedSlicesWindow(SlicesWindow):
    """data: TomogramSlices as they were. denoised: TomogramSlices of the same tsIds. The wheel zooms both alike."""

    _SIZE = (11.5, 6.4)  # fits a screen of 1600 px beside the list

    _axes: Any
    _other: Any

    def __init__(self, parent: Any, data: Any, denoised: Any, title: str) -> None:
        self._denoised, self._other = denoised, None
        SlicesWindow.__init__(self, parent, data, title)

    def showMicrograph(self) -> None:
        self._figure.clear()
        self._axes = self._other = self._preview = None
        if self.index() is not None:
            try:
                self._preview = self._load(self.index())
                after = self._denoised.slice(self._names[self.index()], self._axis(), self._position)
                self._axes, self._other = drawDenoisedSlices(self._figure, self._preview, after)
                self._look()
            except (ValueError, OSError) as error:
                self._figure.text(0.5, 0.5, str(error), ha="center", wrap=True)
        self.refresh()

    def _look(self) -> None:
        for axes in (self._axes, self._other):
            if self._view is not None:
                axes.set_xlim(*self._view[0])
                axes.set_ylim(*self._view[1])

    def _zoom(self, centre: Any, span: Any) -> None:
        for axes in (self._axes, self._other):
            view(axes, self._preview, centre, span)

    def _text(self) -> str:
        return SlicesWindow._text(self) + "; left: original, right: denoised"


def drawDenoisedSlices(figure: Figure, before: str, after: Any) -> Any:
    """The two Previews beside each other. Returns their axes."""
    figure.clear()
    left, right = figure.subplots(1, 2, gridspec_kw=dict(left=0.01, right=0.99, top=0.94, bottom=0.01, wspace=0.02))
    for axes, preview, title in ((left, before, "Original"), (right, after, "Denoised")):
        drawMicrograph(axes, preview, upwards=True)
        axes.set_title(title)
    return left, right


def drawControls(axes: Axes, name: str, metrics: Dict[str, Any]) -> None:
    """What the halves tell of a tomogram's denoising, by frequency. metrics: `controls` of a result."""
    axes.clear()
    frequencies = metrics["frequencies"]
    axes.plot(frequencies, metrics["fsc_halves"], color="#4477aa", label="raw half with raw half")
    axes.plot(frequencies, metrics["fsc_denoised"], color="#cc6677", label="denoised half with the other raw half")
    axes.plot(frequencies, metrics["kept"], color="#888888", ls="--", label="fraction of the signal's amplitude kept")
    axes.set_xlabel("Frequency (1/Å)")
    axes.set_ylim(-0.05, 1.1)
    axes.set_title(f"{name}: what denoising keeps")
    axes.grid(alpha=0.3)
    axes.legend()
