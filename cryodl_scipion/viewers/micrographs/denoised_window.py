# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs before and after denoising."""

from typing import Any, Tuple

from pwem.objects import SetOfParticles

from ..micrograph_window import MicrographWindow
from ..plots import view
from ..preview import loadPreview
from .denoised_plots import drawPair, drawSpectra


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
