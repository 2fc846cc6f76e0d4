# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows of wizards: a circle to measure a particle with, and images to choose a resolution by."""

from typing import Any, Callable, Tuple

from matplotlib.axes import Axes
from pwem.objects import EMSet, SetOfMicrographs

from ..micrograph_window import HINT, MicrographWindow
from ..particles_to_measure import previewOf
from ..plots import drawPicks, view
from ..preview import stretch

_FIRST_GUESS = 10  # Å, when the form says nothing


class ResolutionWindow(MicrographWindow):
    """The slider is the resolution in Å. images: ImagesToFilter. value: Å to begin with, or None. accept: takes Å."""

    _LIST = "Images"

    def __init__(self, parent: Any, images: EMSet, value: float, accept: Callable[..., Any]) -> None:
        self._images = images
        slider = dict(
            from_=round(images.finest, 1), to=round(images.coarsest, 1), resolution=0.1, label="Resolution (Å)"
        )
        value = min(max(value or _FIRST_GUESS, slider["from_"]), slider["to"])
        MicrographWindow.__init__(self, parent, "Resolution", images.names, (), slider, value, 0, accept)

    def _load(self, index: int) -> Any:
        self._pixelSize = self._images.pixelSize(index)
        return previewOf(self._images.filtered(index, self.value.get()))

    def _drawOn(self, axes: Axes) -> None:
        axes.images[0].set_data(stretch(self._images.filtered(self.index(), self.value.get())))

    def _text(self) -> str:
        return (
            f"Detail finer than {self.value.get():.1f} Å is removed. Choose the finest resolution at which detail is "
            "visible."
        )


SMALLEST = 20  # Å; smaller particles are not seen in micrographs
_DIAMETERS_SEEN = 12  # particles from left to right, so that the circle's edge can be judged


class DiameterWindow(MicrographWindow):
    """The slider is the particle diameter in Å.

    micrographs: MicrographsToMeasure or ParticlesToMeasure. value: Å to begin with. accept: takes Å.
    """

    _HINT = HINT.replace("Drag", "Click: the circle. Middle button")
    _PAN_BUTTONS: Tuple[int, ...] = (2,)  # the left one puts the circle

    _centre: Any

    def __init__(self, parent: Any, micrographs: SetOfMicrographs, value: float, accept: Callable[..., Any]) -> None:
        self._micrographs, self._centre, self._LIST = micrographs, None, micrographs.LIST
        self._pixelSize = micrographs.pixelSize
        slider = dict(from_=SMALLEST, to=micrographs.largest, resolution=1, label=micrographs.LABEL)
        MicrographWindow.__init__(
            self, parent, "Particle diameter", micrographs.names, (), slider, value, micrographs.first, accept
        )
        self._canvas.mpl_connect("button_press_event", self._move)

    def _move(self, event: Any) -> None:
        """A click puts the circle there; to measure a particle that nobody picked."""
        if event.button == 1 and event.inaxes is self._axes and event.xdata is not None:
            self._centre = (event.xdata, event.ydata)
            self.refresh()

    def showMicrograph(self) -> None:
        self._centre = None
        MicrographWindow.showMicrograph(self)

    def _load(self, index: int) -> Any:
        return self._micrographs.preview(index)

    def _upwards(self) -> Any:
        return self._micrographs.UPWARDS

    def _look(self) -> None:
        first = self._positions()[0]
        view(self._axes, self._preview, first, _DIAMETERS_SEEN * self.value.get() / self._micrographs.pixelSize)

    def _positions(self) -> Any:
        if self._centre is not None:
            return [self._centre]
        picked = self._micrographs.positions(self.index())
        return picked or [(self._preview.width / 2, self._preview.height / 2)]

    def _drawOn(self, axes: Axes) -> None:
        drawPicks(axes, self._positions(), self.value.get() / self._micrographs.pixelSize)

    def _text(self) -> str:
        if self.index() is None:
            return "There are no images to measure on."
        return (
            f"{self.value.get():.0f} Å are {self.value.get() / self._micrographs.pixelSize:.1f} px. The circle "
            "should just enclose the particle."
        )
