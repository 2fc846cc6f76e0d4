# SPDX-License-Identifier: GPL-3.0-or-later
"""Images without detail finer than a resolution, to choose it by eye."""

from typing import Any, Callable

from matplotlib.axes import Axes
from pwem.objects import EMSet

from .micrograph_window import MicrographWindow
from .particles_to_measure import previewOf
from .preview import stretch

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
