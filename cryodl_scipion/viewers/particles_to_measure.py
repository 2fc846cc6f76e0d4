# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles and projections of maps that wizards show. No windows here."""

from typing import Any, List, Optional, Tuple

import numpy as np
from pwem.objects import SetOfParticles, Volume

from ..convert.particles.particles import nameOf
from .map_plots import readMap
from .particle_images import lowPass, meanOf, readParticle
from .preview import Preview, stretch

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
