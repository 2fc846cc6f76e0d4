# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of subtomograms and of their classes."""

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from pwem.objects import EMSet
from tomo.objects import SetOfAverageSubTomograms, SetOfClassesSubTomograms, SetOfSubTomograms, SubTomogram

from ...convert.reading import readCsv
from ...convert.tomograms.subtomograms import CLASS_NAMES, classNames, fileOf, imagesOf
from ...convert.tomograms.subtomograms import CONFIDENCE as CONFIDENCE_ATTRIBUTE
from ...protocols import CryodlProtClassifySubtomograms
from ...protocols.tomograms.tomogram_kinds import AVERAGES, CLASSES
from ..gallery_window import Gallery, GalleryWindow, lowPass, placeOf, shrunk
from ..micrographs.diameter_window import previewOf
from ..panels_viewer import ObjectViewer, PanelsViewer, imagesSubset, itemsSubset, panel
from ..plots import Preview, drawMatrix, readMap, shortened, stretch
from .slices_window import labelColour

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
    rows = readCsv(path)
    if not rows or "class" not in rows[0]:
        raise ValueError(f"{path} is not an embedding: it has no column `class`.")
    components = [name for name in rows[0] if name not in ("name", "class")]
    return (
        np.array([[float(row[name]) for name in components] for row in rows]),
        np.array([int(float(row["class"])) for row in rows]),
    )


_SLICES = ("z", "y", "x")
_UPRIGHT = 8  # letters of a class's name that fit below its bar
_MAX_ROWS = 8  # of averages that are drawn beside an embedding


def drawCounts(axes: Axes, counts: Dict[str, int]) -> None:
    """How many items each class has. counts: {name: number}."""
    bars = axes.bar(
        range(len(counts)), list(counts.values()), color=[labelColour(n) for n in range(1, len(counts) + 1)]
    )
    axes.bar_label(bars)
    axes.set_xticks(range(len(counts)))
    names = [shortened(name) for name in counts]
    long = max(map(len, names), default=0) > _UPRIGHT
    axes.set_xticklabels(names, rotation=30 if long else 0, ha="right" if long else "center")
    axes.set_ylabel("Subtomograms")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.12)


def drawConfusion(axes: Axes, matrix: Any, rows: Any, columns: Any) -> None:
    """Rows are the true classes, columns those that were found; colours are parts of a row, figures are numbers."""
    matrix = np.array(matrix, float).reshape(len(rows), len(columns))
    parts = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    drawMatrix(axes, parts, np.vectorize("{:.0f}".format)(matrix), rows, columns, "Blues", parts <= 0.6)
    axes.set_xlabel("Found")
    axes.set_ylabel("True")


def drawEmbedding(axes: Axes, positions: np.ndarray, classes: np.ndarray, names: Dict[int, str]) -> None:
    """The first two components of an embedding, coloured by class. names: {class number: name}."""
    for number in sorted(set(classes)):
        chosen = classes == number
        down = positions[chosen, 1] if positions.shape[1] > 1 else np.zeros(chosen.sum())
        axes.scatter(
            positions[chosen, 0],
            down,
            s=14,
            alpha=0.75,
            color=labelColour(int(number)) if number else "#888888",
            edgecolors="none",
            label=f"{names.get(number, f'class {number}')} ({chosen.sum()})",
        )
    axes.set_xlabel("Component 1")
    axes.set_ylabel("Component 2" if positions.shape[1] > 1 else "")
    axes.grid(alpha=0.3)
    axes.legend()


def drawAverages(figure: Union[Figure, SubFigure], averages: Sequence[Tuple[str, int, Optional[str]]]) -> None:
    """Middle slices of class averages, a row for each class. averages: [(name, count, file or None)].

    Raises ValueError or OSError that names the file.
    """
    grid = figure.subplots(max(1, len(averages)), len(_SLICES), squeeze=False)
    for axes in grid.ravel():
        axes.set_xticks([])
        axes.set_yticks([])
    for number, (row, (name, count, path)) in enumerate(zip(grid, averages), 1):
        row[0].set_ylabel(f"{shortened(name)}\n({count})", color=labelColour(number), fontsize=9)
        if path is None:
            row[1].text(0.5, 0.5, "no average", ha="center", transform=row[1].transAxes)
            continue
        for axes, image in zip(row, middleSlices(readCube(path))):
            axes.imshow(stretch(image), cmap="gray", vmin=0, vmax=1, origin="lower")
    for axes, plane in zip(grid[0], _SLICES):
        axes.set_title(f"across {plane}", fontsize=9)
    figure.subplots_adjust(left=0.24, right=0.99, top=0.93, bottom=0.01, wspace=0.04, hspace=0.04)


def drawEmbeddingAndAverages(
    figure: Any,
    positions: np.ndarray,
    classes: np.ndarray,
    averages: Sequence[Tuple[str, int, Optional[str]]],
    names: Dict[int, str],
) -> None:
    """The embedding on the left and the averages of its classes on the right."""
    left, right = figure.subfigures(1, 2, width_ratios=(1.25, 1))
    drawEmbedding(left.add_subplot(), positions, classes, names)
    left.subplots_adjust(left=0.11, right=0.98, bottom=0.1, top=0.97)
    drawAverages(right, averages[:_MAX_ROWS])


class CryodlClassifyViewer(
    PanelsViewer,
    targets=[CryodlProtClassifySubtomograms],
    section="Classes",
    wait="There are no classes yet. Wait until the run has finished.",
    data=CLASSES,
):
    """What `Analyze results` opens for classes of subtomograms."""

    def setProtocol(self, protocol: Any) -> None:
        """Of a classifier there is a confusion matrix, of clusters an embedding."""
        without = "showConfusion" if protocol.inputModel.get() is None else "showEmbedding"
        self._PANELS = tuple(one for one in type(self)._PANELS if one.name != without)
        super().setProtocol(protocol)

    def _averages(self, classes: SetOfClassesSubTomograms) -> List[Tuple[str, int, Optional[str]]]:
        return averagesOf(classes, getattr(self.protocol, AVERAGES, None))

    @panel(
        "Embedding and averages",
        "Each subtomogram is a point; similar ones are close together. Colours are the classes, whose averages are "
        "shown beside.",
    )
    def showEmbedding(self, classes: SetOfClassesSubTomograms) -> Any:
        embedding, averages = readEmbedding(self.protocol._made().embedding), self._averages(classes)
        names = {number: name for number, (name, *_) in enumerate(averages, 1)}
        draw = lambda figure: drawEmbeddingAndAverages(figure, *embedding, averages, names)
        return self.plot("Embedding", draw, (13, 7), tight=False)

    @panel("Sizes of the classes", "Number of subtomograms of each class.")
    def showCounts(self, classes: SetOfClassesSubTomograms) -> Any:
        return self.plot("Classes", lambda figure: drawCounts(figure.add_subplot(), self.protocol._made().counts))

    @panel("Averages of the classes", "Middle slices of each average.")
    def showAverages(self, classes: SetOfClassesSubTomograms) -> Any:
        averages = self._averages(classes)
        size = (6.4, min(10, 0.4 + 1.75 * len(averages)))
        return self.plot("Averages", lambda figure: drawAverages(figure, averages), size)

    @panel(
        "Subtomograms of each class",
        "Middle slices of the subtomograms (mean of a few slices), of all classes or of one; rotated to the average if "
        "they have angles.",
    )
    def showGallery(self, classes: EMSet) -> Any:
        data, subset = SubtomogramGallery.ofClasses(classes), imagesSubset(self, classes, "subtomogram")
        return self.window(GalleryWindow, data, self.protocol.getRunName(), next(iter(data.metrics), None), subset)

    @panel("Confusion matrix", "Assigned against true classes; only for runs with *Compare with the input's classes*.")
    def showConfusion(self, classes: SetOfClassesSubTomograms) -> Any:
        made = self.protocol._made()
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
    """Simulated subtomograms, of all classes or of one: what a double click opens."""

    def show(self, obj: SetOfSubTomograms) -> Any:
        return simulatedView(self, obj)


class SimulatedSubtomogramsViewer(
    PanelsViewer,
    section="Simulated subtomograms",
    wait="There are no subtomograms yet. Wait until the run has finished.",
    data="outputSubtomograms",
):
    """What `Analyze results` opens for simulated subtomograms."""

    @panel("Subtomograms", "Middle slices of the subtomograms, of all classes or of one.")
    def showGallery(self, subtomograms: SetOfSubTomograms) -> Any:
        return simulatedView(self, subtomograms)


def simulatedView(viewer: Any, subtomograms: SetOfSubTomograms) -> Any:
    data, subset = SubtomogramGallery.ofSimulated(subtomograms), itemsSubset(viewer, subtomograms, "subtomogram")
    title = "Subtomograms" if viewer.protocol is None else viewer.title("Subtomograms")
    return viewer.window(GalleryWindow, data, title, None, subset)


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
