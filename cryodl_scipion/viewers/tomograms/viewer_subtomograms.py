# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of subtomograms and of their classes."""

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from pwem.objects import EMSet
from tomo.objects import SetOfClassesSubTomograms, SetOfSubTomograms

from ...convert.tomograms.subtomograms import CLASS_NAMES
from ...protocols import CryodlProtClassifySubtomograms
from ...protocols.tomograms.tomograms_base import AVERAGES, CLASSES
from ..gallery_window import GalleryWindow
from ..panels_viewer import ObjectViewer, PanelsViewer, panel
from ..plots import drawMatrix, shortened
from ..preview import stretch
from ..subsets import imagesSubset, itemsSubset
from .slices_data import labelColour
from .subtomogram_data import SubtomogramGallery, averagesOf, middleSlices, readCube, readEmbedding

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
