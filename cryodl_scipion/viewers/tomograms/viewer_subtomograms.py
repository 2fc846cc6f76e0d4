# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of subtomograms and of their classes."""

import itertools
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from scipy import ndimage
from tomo.objects import SetOfClassesSubTomograms, SetOfSubTomograms, SubTomogram

from ...convert.reading import readCsv
from ...convert.tomograms.subtomograms import CLASS_NAMES, classNames, fileOf, imagesOf, subtomogramName
from ...convert.tomograms.subtomograms import CONFIDENCE as CONFIDENCE_ATTRIBUTE
from ...protocols import CryodlProtClassifySubtomograms
from ...protocols.tomograms.tomogram_kinds import AVERAGES, CLASSES
from ..gallery_window import Gallery, lowPass, placeOf
from ..micrographs.diameter_window import Measured, meanAndSome, previewOf
from ..panels_viewer import ObjectViewer, PanelsViewer, panel
from ..plots import Axes, drawMatrix, label, readMap, shortened, shrunk, stretch
from .slices_window import PLANES, labelColour

CONFIDENCE = "Confidence (no probability)"
Average = Tuple[str, int, Optional[str]]  # name of a class, number of items, file or None


class SubtomogramGallery(Gallery):
    """Central slices of subtomograms. names: 'path' or '000002@path' of the volumes, thrice. transforms: [(4, 4)] or
    None: of each subtomogram, to rotate it like what it is aligned to, which aligned_to says in words."""

    ITEM, GROUP, FILTER, UPWARDS = "Subtomogram", "Class", "Low-pass filter (Å, 0: none)", True
    WORDS = {plane: f"across {plane}" for plane in PLANES}

    def __init__(
        self,
        names: Any,
        ids: Any,
        pixelSize: Any,
        transforms: Any = None,
        aligned_to: str = "the average of its class",
        **values: Any,
    ) -> None:
        Gallery.__init__(self, {plane: names for plane in PLANES}, ids, pixelSize, **values)
        self._transforms, self._alignedTo = transforms, aligned_to

    @classmethod
    def ofClasses(cls, classes: SetOfClassesSubTomograms) -> "SubtomogramGallery":
        """Of a SetOfClassesSubTomograms. Raises ValueError if all classes are empty."""
        groups = {item.getObjId(): item.getObjLabel() or f"class {item.getObjId()}" for item in classes.iterItems()}
        kept, numbers = [], sorted(groups)
        for group, number in enumerate(numbers, 1):
            for item in classes[number].iterItems():
                confidence = item.getAttributeValue(CONFIDENCE_ATTRIBUTE, None)
                kept.append((subtomogramName(item), item.getObjId(), group, _matrixOf(item), confidence))
        if not kept:
            raise ValueError("The classes are empty.")
        names, ids, groupOf, matrices, found = zip(*kept)
        metrics = {} if found[0] is None else {CONFIDENCE: np.array(found, float)}
        known: Any = dict(groups=np.array(groupOf), groupNames=[groups[n] for n in numbers], metrics=metrics)
        turned = None if np.allclose(matrices, np.eye(4)) else matrices
        return cls(list(names), ids, classes.getImages().getSamplingRate(), turned, **known)

    @classmethod
    def ofSimulated(cls, subtomograms: SetOfSubTomograms) -> "SubtomogramGallery":
        """Of a simulated set, whose classes and transforms are the true ones. Raises ValueError if it is empty."""
        items = [item.clone() for item in subtomograms.iterItems()]
        if not items:
            raise ValueError("The set of subtomograms is empty.")
        names, ids, matrices, classIds = zip(
            *((subtomogramName(item), item.getObjId(), _matrixOf(item), item.getClassId()) for item in items)
        )
        numbers, groups = np.unique(classIds, return_inverse=True)
        groupNames = classNames(subtomograms, numbers.tolist()) or [f"class {number}" for number in numbers]
        known: Any = dict(aligned_to="the structure", groups=1 + groups, groupNames=groupNames)
        return cls(list(names), ids, subtomograms.getSamplingRate(), matrices, **known)

    def _positions(self, position: int) -> List[str]:
        how = f"rotated to {self._alignedTo}" if self._transforms is not None else "not rotated"
        return [f"Volume: {placeOf(self.names['z'][position])}", f"Middle slices, {how}"]

    def images(self, position: Any, resolution: Any = None, side: Any = 512) -> Any:
        """Three (h, w): means of the middle slices across z, y and x, rotated by its transform if there is one."""
        volume, matrices = readCube(self.names["z"][position]), self._transforms
        self.seen = len(volume) * self.pixelSize
        found = middleSlices(volume) if matrices is None else rotatedSlices(volume, matrices[position])
        return [shrunk(lowPass(image, resolution, self.pixelSize), side) for image in found]


def _matrixOf(item: SubTomogram) -> np.ndarray:
    return np.array(item.getTransform().getMatrix(), float) if item.hasTransform() else np.eye(4)


def readCube(name: str) -> np.ndarray:
    """(d, d, d) of 'path' or '000002@stack', read as it is needed. Raises FileNotFoundError or ValueError."""
    number, _, path = name.rpartition("@")
    volume = readMap(path, stack=bool(number))
    return volume[int(number) - 1] if number else volume


def middleSlices(volume: np.ndarray) -> List[np.ndarray]:
    """Means of the middle slices across z, y and x; three (h, w)."""
    half, found = _half(volume.shape[0]), []
    for axis, length in enumerate(volume.shape):
        part = [slice(None)] * axis + [slice(length // 2 - half, length // 2 + half + 1)]
        found.append(np.asarray(volume[tuple(part)].mean(axis, dtype=np.float32)))
    return found


def _half(side: int) -> int:
    return max(0, int(0.12 * side / 2))  # one slice alone shows nothing but noise


def rotatedSlices(volume: np.ndarray, matrix: np.ndarray) -> List[np.ndarray]:
    """As middleSlices, of the volume as a transform of Scipion turns it: its positions into those of the average;
    outside of it is its mean.

    volume: (d, d, d). matrix: (4, 4), of x, y, z from the middle voxel, px."""
    side, data = volume.shape[0], np.asarray(volume, np.float32)
    linear: Any = dict(order=1, mode="grid-constant", cval=float(data.mean()))
    grid, depth = np.arange(side) - side // 2, np.arange(-_half(side), _half(side) + 1)
    back, found = np.linalg.inv(matrix), []
    for axis in range(3):
        zyx = np.meshgrid(*[depth if n == axis else grid for n in range(3)], indexing="ij")
        positions = np.tensordot(back[:3, :3], np.stack(zyx[::-1]), 1) + back[:3, 3][:, None, None, None] + side // 2
        found.append(ndimage.map_coordinates(data, positions[::-1], **linear).mean(axis))
    return found


def averagesOf(classes: SetOfClassesSubTomograms, protocol: Any) -> List[Average]:
    averages = getattr(protocol, AVERAGES, None)
    files = {} if averages is None else {item.getObjId(): fileOf(item) for item in averages.iterItems()}
    return [
        (item.getObjLabel() or f"class {item.getObjId()}", item.getSize(), files.get(item.getObjId()))
        for item in classes.iterItems(orderBy="id")
    ]


def readEmbedding(path: str) -> Tuple[np.ndarray, np.ndarray]:
    """((n, c) places, (n,) class numbers) of the engine's table. Raises ValueError or OSError that names the file."""
    rows = readCsv(path)
    if not rows or "class" not in rows[0]:
        raise ValueError(f"{path} is not an embedding: it has no column `class`.")
    positions = [[float(text) for name, text in row.items() if name not in ("name", "class")] for row in rows]
    return np.array(positions), np.array([int(float(row["class"])) for row in rows])


def drawConfusion(axes: Axes, matrix: Any, rows: Any, columns: Any) -> None:
    """Rows are the true classes, columns those that were found; colours are parts of a row, figures are numbers."""
    matrix = np.array(matrix, float).reshape(len(rows), len(columns))
    parts = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    drawMatrix(axes, parts, np.vectorize("{:.0f}".format)(matrix), rows, columns, "Blues", parts <= 0.6)
    axes.set(xlabel="Found", ylabel="True")


def drawEmbedding(axes: Axes, positions: np.ndarray, classes: np.ndarray, names: Dict[int, str]) -> None:
    """The first two components of an embedding, coloured by class. names: {class number: name}."""
    for number in sorted(set(classes)):
        chosen = classes == number
        down = positions[chosen, 1] if positions.shape[1] > 1 else np.zeros(chosen.sum())
        name = f"{names.get(number, f'class {number}')} ({chosen.sum()})"
        look: Any = dict(s=14, alpha=0.75, edgecolors="none", color=labelColour(int(number)) if number else "#888888")
        axes.scatter(positions[chosen, 0], down, label=name, **look)
    label(axes, "Component 1", "Component 2" if positions.shape[1] > 1 else "", grid=True)


def drawAverages(figure: Any, averages: Sequence[Average]) -> None:
    """Middle slices of class averages, a row for each class.

    Raises ValueError or OSError that names the file."""
    grid = figure.subplots(max(1, len(averages)), 3, squeeze=False)
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])
    for number, (row, (name, count, path)) in enumerate(zip(grid, averages), 1):
        row[0].set_ylabel(f"{shortened(name)}\n({count})", color=labelColour(number), fontsize=9)
        if path is None:
            row[1].text(0.5, 0.5, "no average", ha="center", transform=row[1].transAxes)
            continue
        for axes, image in zip(row, middleSlices(readCube(path))):
            axes.imshow(stretch(image), cmap="gray", vmin=0, vmax=1, origin="lower")
    for axes, plane in zip(grid[0], PLANES):
        axes.set_title(f"across {plane}", fontsize=9)
    figure.subplots_adjust(left=0.24, right=0.99, top=0.93, bottom=0.01, wspace=0.04, hspace=0.04)


class CryodlClassifyViewer(
    PanelsViewer, targets=[CryodlProtClassifySubtomograms], section="Classes", wait="There are no classes", data=CLASSES
):
    def setProtocol(self, protocol: Any) -> None:
        """Of a classifier there is a confusion matrix, of clusters an embedding."""
        without = "showConfusion" if protocol.inputModel.get() is None else "showEmbedding"
        self._PANELS = tuple(one for one in type(self)._PANELS if one.name != without)
        super().setProtocol(protocol)

    @panel(
        "Embedding",
        "Each subtomogram is a point; similar ones are close together. Colours are the classes, as of their averages.",
    )
    def showEmbedding(self, classes: SetOfClassesSubTomograms) -> Any:
        embedding = readEmbedding(self.needed(self.protocol._made()).embedding)
        names = {number: name for number, (name, *_) in enumerate(averagesOf(classes, self.protocol), 1)}
        return self.plot("Embedding", lambda figure: drawEmbedding(figure.add_subplot(), *embedding, names))

    @panel("Averages of the classes", "Middle slices of each average, and the number of subtomograms in it.")
    def showAverages(self, classes: SetOfClassesSubTomograms) -> Any:
        averages = averagesOf(classes, self.protocol)
        return self.plot("Averages", lambda figure: drawAverages(figure, averages), (6.4, min(10, 2 * len(averages))))

    @panel(
        "Subtomograms of each class",
        "Middle slices of the subtomograms (mean of a few slices), of all classes or of one; rotated to the average if "
        "they have angles.",
    )
    def showGallery(self, classes: SetOfClassesSubTomograms) -> Any:
        data = SubtomogramGallery.ofClasses(classes)
        return self.gallery(data, self.protocol.getRunName(), classes, next(iter(data.metrics), None))

    @panel("Confusion matrix", "Assigned against true classes; only for runs with *Compare with the input's classes*.")
    def showConfusion(self, classes: SetOfClassesSubTomograms) -> Any:
        made = self.needed(self.protocol._made())
        if not made.confusion:
            return self.infoMessage(
                "The input's classes were not asked for. Set \"Compare with the input's classes\" to Yes if they are "
                "the true ones, and execute again.",
                "No confusion matrix",
            )
        found = [made.confusion[name] for name in ("matrix", "rows", "columns")]
        draw = lambda figure: drawConfusion(figure.add_subplot(title=f"Accuracy {made.accuracy:.3f}"), *found)
        return self.plot("Confusion", draw, (7, 6))


class CryodlSubtomogramsViewer(
    ObjectViewer,
    name="cryodl subtomograms",
    targets=[SetOfSubTomograms],
    only=lambda items: items.hasAttribute(CLASS_NAMES),
):
    def show(self, obj: SetOfSubTomograms) -> Any:
        return simulatedView(self, obj)


class SimulatedSubtomogramsViewer(
    PanelsViewer, section="Simulated subtomograms", wait="There are no subtomograms", data="outputSubtomograms"
):
    @panel("Subtomograms", "Middle slices of the subtomograms, of all classes or of one.")
    def showGallery(self, subtomograms: SetOfSubTomograms) -> Any:
        return simulatedView(self, subtomograms)


def simulatedView(viewer: Any, subtomograms: SetOfSubTomograms) -> Any:
    title = "Subtomograms" if viewer.protocol is None else viewer.title("Subtomograms")
    return viewer.gallery(SubtomogramGallery.ofSimulated(subtomograms), title, subtomograms)


_AVERAGED = 30  # subtomograms are enough for their common outline


def tomogramsMeasured(data: Any, label: str) -> Measured:
    names, shape = data.names, data.shape(data.names[0])
    preview = lambda index: data.slice(names[index], 0, data.shape(names[index])[0] // 2)
    return Measured(names, data.pixelSize, int(min(shape[1:]) * data.pixelSize / 2), preview, "Tomograms", label, True)


def subtomogramsMeasured(subtomograms: SetOfSubTomograms) -> Measured:
    """Middle slices across z of the mean of some subtomograms, and of some of them."""
    images = imagesOf(subtomograms)
    pixelSize = images.getSamplingRate()
    volumes = [subtomogramName(item) for item in itertools.islice(images.iterItems(), _AVERAGED)]
    chosen = lambda index: volumes[index - 1 : index] if index else volumes
    preview = lambda index: previewOf(np.mean([middleSlices(readCube(name))[0] for name in chosen(index)], axis=0))
    names, largest = meanAndSome("subtomogram", len(volumes)), int(readCube(volumes[0]).shape[0] * pixelSize)
    return Measured(names, pixelSize, largest, preview, "Subtomograms", "Particle diameter (Å)", True)


def labelCounts(volumes: Sequence[np.ndarray], maximum: int = 2**26) -> Tuple[Dict[int, int], bool]:
    """({value: voxels}, whether all were counted) of label volumes, 0 left out; of large ones every n-th slice is read.

    volumes: memory-mapped (z, y, x) arrays. maximum: voxels that are read."""
    step, counts = max(1, -(-sum(int(np.prod(volume.shape, dtype=float)) for volume in volumes) // maximum)), {}
    for volume in volumes:
        for z in range(step // 2 if step <= len(volume) else len(volume) // 2, len(volume), step):
            values, numbers = np.unique(volume[z], return_counts=True)
            for value, number in zip(values, numbers):
                counts[int(value)] = counts.get(int(value), 0) + int(number) * min(step, len(volume))
    return {value: counts[value] for value in sorted(counts) if value}, step == 1
