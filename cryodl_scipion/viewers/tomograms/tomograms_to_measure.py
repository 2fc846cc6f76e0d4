# SPDX-License-Identifier: GPL-3.0-or-later
"""Tomograms and subtomograms that wizards show, to measure on. No windows here."""

from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from tomo.objects import SetOfSubTomograms

from ...convert.tomograms.subtomograms import imagesOf
from ..micrographs.diameter_window import previewOf
from ..plots import Preview
from .viewer_subtomograms import middleSlices, readCube, subtomogramName

_SHOWN = 30  # more of them help nobody
_AVERAGED = 30  # subtomograms are enough for their common outline


class TomogramsToMeasure:
    """Middle slices of tomograms. names, largest, first: see wizards.MicrographsToMeasure. data: TomogramSlices."""

    LIST, UPWARDS = "Tomograms", True

    def __init__(self, data: Any, label: Any) -> None:
        self._data, self.LABEL = data, label
        self.names, self.pixelSize, self.first = data.ids, data.pixelSize, 0
        self.largest = int(min(data.shape(data.ids[0])[1:]) * data.pixelSize / 2)

    def preview(self, index: int) -> Any:
        """Preview of the middle slice. Raises ValueError or OSError that names the file."""
        name = self.names[index]
        return self._data.slice(name, 0, self._data.shape(name)[0] // 2)

    def positions(self, index: int) -> List[str]:
        """None are known: the circle lies in the middle until it is moved."""
        return []


class SubtomogramsToMeasure:
    """Middle slices across z of the mean of some subtomograms, and of some of them."""

    LIST, LABEL, UPWARDS = "Subtomograms", "Particle diameter (Å)", True

    def __init__(self, subtomograms: SetOfSubTomograms) -> None:
        images = imagesOf(subtomograms)
        self._volumes = []
        for item in images.iterItems():
            if len(self._volumes) == _AVERAGED:
                break
            self._volumes.append(subtomogramName(item))
        self.names = [f"mean of {len(self._volumes)} subtomograms"] + [
            f"subtomogram {number}" for number, _ in enumerate(self._volumes[:_SHOWN], 1)
        ]
        self.pixelSize, self.first = images.getSamplingRate(), 0
        self.largest = int(readCube(self._volumes[0]).shape[0] * self.pixelSize)

    def preview(self, index: int) -> Preview:
        """Preview of the mean (0) or of a subtomogram. Raises ValueError or OSError that names the file."""
        names = [self._volumes[index - 1]] if index else self._volumes
        return previewOf(np.mean([middleSlices(readCube(name))[0] for name in names], axis=0))

    def positions(self, index: int) -> List[str]:
        """None are known: the circle lies in the middle."""
        return []


def labelCounts(volumes: Sequence[np.ndarray], maximum: int = 2**26) -> Tuple[Dict[int, int], bool]:
    """({value: voxels}, whether all were counted) of label volumes, 0 left out; of large ones every n-th slice is read.

    volumes: memory-mapped (z, y, x) arrays. maximum: voxels that are read.
    """
    total = sum(int(np.prod(volume.shape, dtype=float)) for volume in volumes)
    step, counts = max(1, -(-total // maximum)), {}
    for volume in volumes:
        for z in range(step // 2 if step <= len(volume) else len(volume) // 2, len(volume), step):
            values, numbers = np.unique(volume[z], return_counts=True)
            for value, number in zip(values, numbers):
                counts[int(value)] = counts.get(int(value), 0) + int(number) * step
    return {value: counts[value] for value in sorted(counts) if value}, step == 1
