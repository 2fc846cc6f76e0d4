# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows of wizards: a circle to measure a particle with, and images to choose a resolution by."""

from typing import Any, Callable, List, Optional, Tuple

import numpy as np
from matplotlib.axes import Axes
from pwem.objects import EMSet, SetOfMicrographs, SetOfParticles, Volume

from ...convert.particles.particles import nameOf
from ..gallery_window import lowPass, meanOf, readParticle
from ..micrograph_window import HINT, MicrographWindow
from ..plots import Preview, drawPicks, readMap, stretch, view

_AVERAGED = 300  # particles are enough for their common outline
_SHOWN = 30  # more of them help nobody


def firstNames(particles: SetOfParticles, count: int) -> Any:
    """Image names, 000001@file, of the first particles of a set."""
    names = []
    for item in particles.iterItems():
        if len(names) == count:
            break
        names.append(nameOf(item))
    return names


def previewOf(image: np.ndarray) -> Preview:
    """Preview of an image in its own pixels."""
    return Preview(stretch(image), 1, image.shape[1], image.shape[0])


class ParticlesToMeasure:
    """The mean of some particles, and some of them, to measure on. names, pixelSize, largest, first: see
    wizards.MicrographsToMeasure."""

    LIST, LABEL, UPWARDS = "Particles", "Mask diameter (Å)", False

    def __init__(self, particles: SetOfParticles) -> None:
        self._images = firstNames(particles, _AVERAGED)
        self.names = [f"mean of {len(self._images)} particles"] + [
            f"particle {number}" for number in range(1, len(self._images[:_SHOWN]) + 1)
        ]
        self.pixelSize, self.first = particles.getSamplingRate(), 0
        self.largest = int(particles.getXDim() * self.pixelSize)

    def preview(self, index: int) -> Any:
        """Preview of the mean (0) or of a particle."""
        return previewOf(readParticle(self._images[index - 1]) if index else meanOf(self._images))

    def positions(self, index: int) -> List[str]:
        """None are known: the circle lies in the middle."""
        return []


class ImagesToFilter:
    """Projections of maps along their axes, and some particles.

    particles: SetOfParticles or None. structures: Volumes are taken; atomic models have no map yet.
    names: of the images. finest, coarsest: Å between which a resolution makes sense.
    """

    def __init__(self, particles: Any, structures: Any) -> None:
        self._makers: List[Tuple[str, str, Optional[int], float]] = []
        for volume in (s for s in structures if isinstance(s, Volume)):
            for axis, name in ((0, "z"), (1, "y"), (2, "x")):
                self._makers.append((f"map along {name}", volume.getFileName(), axis, volume.getSamplingRate()))
        for number, name in enumerate([] if particles is None else firstNames(particles, _SHOWN), 1):
            self._makers.append((f"particle {number}", name, None, particles.getSamplingRate()))
        self.names = [maker[0] for maker in self._makers]
        sizes = [maker[3] for maker in self._makers]
        self.finest, self.coarsest = 2 * min(sizes, default=1), 40 + 2 * max(sizes, default=1)
        self._images = {}

    def pixelSize(self, index: int) -> float:
        """Å/px of an image."""
        return self._makers[index][3]

    def filtered(self, index: int, resolution: float) -> Any:
        """(h, w) image without finer detail than `resolution` Å. Raises ValueError or OSError that names the file."""
        _, path, axis, pixelSize = self._makers[index]
        if index not in self._images:
            self._images[index] = (
                readParticle(path) if axis is None else np.asarray(readMap(path).sum(axis, dtype=np.float32))
            )
        return lowPass(self._images[index], resolution, pixelSize)


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
