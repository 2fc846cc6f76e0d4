# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows of wizards: a circle to measure a particle with, and images to choose a resolution by."""

import collections
import itertools
from typing import Any, Callable, List, Optional, Tuple

import numpy as np
from pwem.objects import SetOfParticles, Volume

from ...convert.micrographs.picks import DIAMETER, positionsByMicrograph
from ...convert.particles.particles import nameOf
from ..gallery_window import lowPass, meanOf, readParticle
from ..micrograph_window import HINT, MicrographWindow, Pictures
from ..plots import Axes, Preview, drawPicks, loadPreview, readMap, stretch, view

_AVERAGED = 300  # particles are enough for their common outline
_SHOWN = 30  # more of them help nobody
_LARGEST = 1500  # Å, of particles on micrographs: a longer slider could not be set finely


def firstNames(particles: SetOfParticles, count: int) -> Any:
    return [nameOf(item) for item in itertools.islice(particles.iterItems(), count)]


def previewOf(image: np.ndarray) -> Preview:
    return Preview(stretch(image), 1, image.shape[1], image.shape[0])


# What a diameter is measured on. largest: Å that fit. preview: function of an index. listed: above the list. label: of
# the slider. upwards: whether the first row is at the bottom. positions: function of an index that gives [(x, y)] px,
# where particles are known; without any the circle lies in the middle until it is moved. diameter: Å of these
# particles, if it is known. first, counts: see Pictures
Measured = collections.namedtuple(
    "Measured",
    "names pixelSize largest preview listed label upwards positions diameter first counts",
    defaults=(False, lambda index: [], None, 0, lambda value: None),
)


def micrographsMeasured(micrographs: Any, coordinates: Any = None) -> Measured:
    """Micrographs, with some of the particles that somebody picked. Raises ValueError if there are none yet."""
    if not (items := [m.clone() for m in micrographs]):
        raise ValueError("There are no micrographs yet.")
    found = positionsByMicrograph(coordinates) if coordinates is not None else {}
    positions = [found.get(m.getObjId(), [])[:200] for m in items]  # more of them hide the micrograph
    return Measured(
        [m.getMicName() or m.getFileName() for m in items],
        micrographs.getSamplingRate(),
        int(min(_LARGEST, *(side * micrographs.getSamplingRate() for side in micrographs.getDim()[:2]))),
        lambda index: loadPreview(items[index].getFileName()),
        "Micrographs",
        "Particle diameter (Å)",
        positions=positions.__getitem__,
        diameter=None if coordinates is None else coordinates.getAttributeValue(DIAMETER, None),
        first=next((i for i, p in enumerate(positions) if p), 0),
    )


def meanAndSome(kind: str, count: int) -> List[str]:
    """Names of the mean of `count` images of a kind, and of the first of them."""
    return [f"mean of {count} {kind}s", *(f"{kind} {number}" for number in range(1, min(count, _SHOWN) + 1))]


def particlesMeasured(particles: SetOfParticles) -> Measured:
    images, pixelSize = firstNames(particles, _AVERAGED), particles.getSamplingRate()
    preview = lambda index: previewOf(readParticle(images[index - 1]) if index else meanOf(images))
    names, largest = meanAndSome("particle", len(images)), int(particles.getXDim() * pixelSize)
    return Measured(names, pixelSize, largest, preview, "Particles", "Mask diameter (Å)")


class ImagesToFilter(Pictures):
    """Projections of maps along their axes, and some particles.

    particles: SetOfParticles or None. structures: Volumes are taken; atomic models have no map yet.
    names: of the images. finest, coarsest: Å between which a resolution makes sense."""

    def __init__(self, particles: Any, structures: Any) -> None:
        makers: List[Tuple[str, str, Optional[int], float]] = [
            (f"map along {name}", volume.getFileName(), axis, volume.getSamplingRate())
            for volume in structures
            if isinstance(volume, Volume)
            for axis, name in enumerate("zyx")
        ]
        makers += [
            (f"particle {number}", name, None, particles.getSamplingRate())
            for number, name in enumerate([] if particles is None else firstNames(particles, _SHOWN), 1)
        ]
        Pictures.__init__(self, [maker[0] for maker in makers])
        self.pixelSizes = [maker[3] for maker in makers]
        self.finest = 2 * min(self.pixelSizes, default=1)
        self.coarsest = 40 + 2 * max(self.pixelSizes, default=1)
        self._makers, self._images = makers, {}

    def filtered(self, index: int, resolution: float) -> Any:
        """(h, w) image without finer detail than `resolution` Å. Raises ValueError or OSError that names the file."""
        _, path, axis, pixelSize = self._makers[index]
        if index not in self._images:
            self._images[index] = readParticle(path) if axis is None else readMap(path).sum(axis, dtype=np.float32)
        return lowPass(self._images[index], resolution, pixelSize)


_FIRST_GUESS = 10  # Å, when the form says nothing


class ResolutionWindow(MicrographWindow):
    """The slider is the resolution in Å. images: ImagesToFilter. value: Å to begin with, or None. accept: takes Å."""

    _LIST = "Images"

    def __init__(self, parent: Any, images: Any, value: Optional[float], accept: Callable[..., Any]) -> None:
        low, high = round(images.finest, 1), round(images.coarsest, 1)
        slider = dict(from_=low, to=high, resolution=0.1, label="Resolution (Å)")
        MicrographWindow.__init__(self, parent, images, "Resolution", slider, value or _FIRST_GUESS, accept)

    def _load(self, index: int) -> Any:
        self._data.pixelSize = self._data.pixelSizes[index]
        return previewOf(self._data.filtered(index, self.value.get()))

    def _drawOn(self, axes: Axes) -> None:
        axes.images[0].set_data(stretch(self._data.filtered(self.index(), self.value.get())))

    def _text(self) -> str:
        return (
            f"Detail finer than {self.value.get():.1f} Å is removed. Choose the finest resolution at which detail is "
            "visible."
        )


SMALLEST = 20  # Å; smaller particles are not seen in micrographs


class DiameterWindow(MicrographWindow):
    """The slider is the particle diameter in Å. data: Measured. value: Å to begin with. accept: takes Å."""

    _HINT = HINT.replace("Drag", "Click: the circle. Middle button")
    _PAN_BUTTONS: Tuple[int, ...] = (2,)  # the left one puts the circle
    _NONE = "There are no images to measure on."

    _centre: Any = None

    def __init__(self, parent: Any, data: Measured, value: float, accept: Callable[..., Any]) -> None:
        self._LIST, self._UPWARDS = data.listed, data.upwards
        slider = dict(from_=SMALLEST, to=max(data.largest, int(value)), resolution=1, label=data.label)
        MicrographWindow.__init__(self, parent, data, "Particle diameter", slider, value, accept)
        self._canvas.mpl_connect("button_press_event", self._move)

    def _move(self, event: Any) -> None:
        if event.button == 1 and event.inaxes is self._axes and event.xdata is not None:
            self._centre = (event.xdata, event.ydata)
            self.refresh()

    def _look(self) -> None:
        self._centre = None
        # 12 particles from left to right, so that the circle's edge can be judged
        view(self._axes, self._preview, self._positions()[0], 12 * self._diameter())

    def _positions(self) -> Any:
        middle = self._preview.width / 2, self._preview.height / 2
        return [self._centre] if self._centre is not None else self._data.positions(self.index()) or [middle]

    def _diameter(self) -> float:
        return self.value.get() / self._data.pixelSize

    def _drawOn(self, axes: Axes) -> None:
        drawPicks(axes, self._positions(), self._diameter())

    def _text(self) -> str:
        return f"{self.value.get():.0f} Å are {self._diameter():.1f} px. The circle should just enclose the particle."
