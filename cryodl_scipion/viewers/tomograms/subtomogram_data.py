# SPDX-License-Identifier: GPL-3.0-or-later
"""Classes of subtomograms: slices of the items and of their averages, confusion, embedding. No windows here."""

import csv
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from tomo.objects import SetOfAverageSubTomograms, SetOfClassesSubTomograms, SetOfSubTomograms, SubTomogram

from ...convert.tomograms.subtomograms import CONFIDENCE as CONFIDENCE_ATTRIBUTE
from ...convert.tomograms.subtomograms import classNames, fileOf
from ..gallery_data import Gallery, placeOf
from ..map_plots import readMap
from ..particle_images import lowPass, shrunk

_PLANES = {"z": 0, "y": 1, "x": 2}
_THICKNESS = 0.12  # of the box: slices that are averaged, since one alone shows nothing but noise
CONFIDENCE = "Confidence"


class SubtomogramGallery(Gallery):
    """Central slices of subtomograms. names: 'path' or '000002@path' of the volumes, thrice. transforms: [(4, 4)] or
    None: of each subtomogram, to rotate it like what it is aligned to, which aligned_to says in words."""

    ITEM, GROUP, FILTER, UPWARDS = "Subtomogram", "Class", "Low-pass filter (Å, 0: none)", True
    WORDS = {plane: f"across {plane}" for plane in _PLANES}

    def __init__(
        self,
        names: Any,
        ids: Any,
        pixelSize: Any,
        transforms: Optional[Tuple[np.ndarray, ...]] = None,
        aligned_to: str = "the average of its class",
        **values: Any,
    ) -> None:
        Gallery.__init__(self, {plane: names for plane in _PLANES}, ids, pixelSize, **values)
        self._transforms, self._alignedTo = transforms, aligned_to

    @classmethod
    def ofClasses(cls, classes: SetOfClassesSubTomograms) -> "SubtomogramGallery":
        """Of a SetOfClassesSubTomograms. Raises ValueError if all classes are empty."""
        groups = {item.getObjId(): item.getObjLabel() or f"class {item.getObjId()}" for item in classes.iterItems()}
        kept, metrics = [], {}
        for group, number in enumerate(sorted(groups), 1):
            for item in classes[number].iterItems():
                kept.append((subtomogramName(item), item.getObjId(), group, _matrixOf(item), _metricsOf(item)))
        if not kept:
            raise ValueError("The classes are empty.")
        names, ids, numbers, matrices, found = zip(*kept)
        for label in found[0]:
            metrics[label] = np.array([each.get(label, np.nan) for each in found], float)
        rotated = any(not np.allclose(matrix, np.eye(4)) for matrix in matrices)
        return cls(
            list(names),
            ids,
            classes.getImages().getSamplingRate(),
            matrices if rotated else None,
            metrics=metrics,
            groups=np.array(numbers),
            groupNames=[groups[number] for number in sorted(groups)],
        )

    @classmethod
    def ofSimulated(cls, subtomograms: SetOfSubTomograms) -> "SubtomogramGallery":
        """Of a simulated set, whose classes and transforms are the true ones. Raises ValueError if it is empty."""
        items = [item.clone() for item in subtomograms.iterItems()]
        if not items:
            raise ValueError("The set of subtomograms is empty.")
        numbers = sorted({item.getClassId() for item in items})
        return cls(
            [subtomogramName(item) for item in items],
            [item.getObjId() for item in items],
            subtomograms.getSamplingRate(),
            tuple(_matrixOf(item) for item in items),
            "the structure",
            groups=np.array([1 + numbers.index(item.getClassId()) for item in items]),
            groupNames=classNames(subtomograms, numbers) or [f"class {number}" for number in numbers],
        )

    def _positions(self, position: int) -> List[str]:
        how = f"rotated to {self._alignedTo}" if self._transforms is not None else "not rotated"
        return [f"Volume: {placeOf(self.names['z'][position])}", f"Middle slices, {how}"]

    def images(self, position: Any, resolution: Any = None, side: Any = 512) -> Any:
        """Three (h, w): means of the middle slices across z, y and x, rotated by its transform if there is one."""
        volume = readCube(self.names["z"][position])
        if self._transforms is not None:
            found = rotatedSlices(volume, self._transforms[position])
        else:
            found = middleSlices(volume)
        return [shrunk(lowPass(image, resolution, self.pixelSize), side) for image in found]


def _matrixOf(item: SubTomogram) -> np.ndarray:
    return np.array(item.getTransform().getMatrix(), float) if item.hasTransform() else np.eye(4)


def _metricsOf(item: SubTomogram) -> Dict[str, float]:
    value = item.getAttributeValue(CONFIDENCE_ATTRIBUTE, None)
    return {} if value is None else {CONFIDENCE: value}


def subtomogramName(item: SubTomogram) -> str:
    """'path', or '000002@path' of an item in a stack of volumes."""
    return f"{item.getIndex():06d}@{fileOf(item)}" if (item.getIndex() or 0) > 1 else fileOf(item)


def readCube(name: str) -> np.ndarray:
    """(d, d, d) of 'path' or '000002@stack', read as it is needed. Raises FileNotFoundError or ValueError."""
    number, _, path = name.rpartition("@")
    volume = readMap(path, stack=bool(number))
    return volume[int(number) - 1] if number else volume


def middleSlices(volume: np.ndarray) -> List[np.ndarray]:
    """Means of the middle slices across z, y and x; three (h, w)."""
    half = _half(volume.shape[0])
    return [np.asarray(volume[_middle(volume, axis, half)].mean(axis, dtype=np.float32)) for axis in range(3)]


def _half(side: int) -> int:
    return max(0, int(_THICKNESS * side / 2))


def _middle(volume: np.ndarray, axis: int, half: int) -> Tuple[slice, ...]:
    place = volume.shape[axis] // 2
    return tuple(slice(place - half, place + half + 1) if n == axis else slice(None) for n in range(3))


def rotatedSlices(volume: np.ndarray, matrix: np.ndarray) -> List[np.ndarray]:
    """As middleSlices, of the volume as a transform of Scipion turns it: its positions into those of the average.

    volume: (d, d, d). matrix: (4, 4), of x, y, z from the middle voxel, px.
    """
    side = volume.shape[0]
    grid, depth = np.arange(side) - side // 2, np.arange(-_half(side), _half(side) + 1)
    back, found = np.linalg.inv(matrix), []
    for axis in range(3):
        zyx = np.meshgrid(*[depth if n == axis else grid for n in range(3)], indexing="ij")
        positions = np.tensordot(back[:3, :3], np.stack(zyx[::-1]), 1) + back[:3, 3][:, None, None, None] + side // 2
        found.append(_valuesAt(volume, positions[::-1]).mean(axis))
    return found


def _valuesAt(volume: np.ndarray, positions: np.ndarray) -> Any:
    """Values at positions (3, ...) z, y, x between voxels, by the eight around; the mean of the volume outside."""
    volume = np.asarray(volume, np.float32)
    low = np.floor(positions).astype(int)
    part, total, mean = positions - low, 0.0, volume.mean()
    for corner in np.ndindex(2, 2, 2):
        step = np.array(corner).reshape((3,) + (1,) * (positions.ndim - 1))
        at, weight = low + step, np.prod(np.where(step == 1, part, 1 - part), axis=0)
        inside = np.all([(a >= 0) & (a < n) for a, n in zip(at, volume.shape)], axis=0)
        value = volume[tuple(np.clip(a, 0, n - 1) for a, n in zip(at, volume.shape))]
        total = total + weight * np.where(inside, value, mean)
    return total


def averagesOf(
    classes: SetOfClassesSubTomograms, averages: SetOfAverageSubTomograms
) -> List[Tuple[str, int, Optional[str]]]:
    """[(name, number of items, file or None)] of classes, in the order of their numbers. averages: set, or None."""
    files = {} if averages is None else {item.getObjId(): fileOf(item) for item in averages.iterItems()}
    return [
        (item.getObjLabel() or f"class {item.getObjId()}", item.getSize(), files.get(item.getObjId()))
        for item in classes.iterItems(orderBy="id")
    ]


def readEmbedding(path: str) -> Tuple[np.ndarray, np.ndarray]:
    """((n, c) places, (n,) class numbers) of the engine's table. Raises ValueError or OSError that names the file."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or "class" not in rows[0]:
        raise ValueError(f"{path} is not an embedding: it has no column `class`.")
    components = [name for name in rows[0] if name not in ("name", "class")]
    return (
        np.array([[float(row[name]) for name in components] for row in rows]),
        np.array([int(float(row["class"])) for row in rows]),
    )
