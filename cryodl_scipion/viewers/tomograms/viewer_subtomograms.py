# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of subtomograms and of their classes."""

from typing import Any, List, Optional, Tuple

from pwem.objects import EMSet
from pyworkflow.viewer import DESKTOP_TKINTER, Viewer
from tomo.objects import SetOfClassesSubTomograms, SetOfSubTomograms

from ...convert.tomograms.subtomograms import CLASS_NAMES
from ...protocols import CryodlProtClassifySubtomograms
from ...protocols.tomograms.tomograms_base import AVERAGES, CLASSES
from ..gallery_window import GalleryWindow
from ..panels_viewer import Panel, PanelsViewer
from ..subsets import imagesSubset, itemsSubset
from ..window import WindowView
from .class_plots import drawAverages, drawConfusion, drawCounts, drawEmbeddingAndAverages
from .subtomogram_data import SubtomogramGallery, averagesOf, readEmbedding

_OF_BOTH = (
    Panel("showCounts", "Sizes of the classes", "Number of subtomograms of each class."),
    Panel("showAverages", "Averages of the classes", "Middle slices of each average."),
    Panel(
        "showGallery",
        "Subtomograms of each class",
        "Middle slices of the subtomograms (mean of a few slices), of all classes or of one; rotated to the average if "
        "they have angles.",
    ),
)
_CONFUSION = Panel(
    "showConfusion",
    "Confusion matrix",
    "Assigned against true classes; only for runs with *Compare with the input's classes*.",
)
_EMBEDDING = Panel(
    "showEmbedding",
    "Embedding and averages",
    "Each subtomogram is a point; similar ones are close together. Colours are the classes, whose averages "
    "are shown beside.",
)


class CryodlClassifyViewer(PanelsViewer):
    """What `Analyze results` opens for classes of subtomograms."""

    _label = "classification viewer"
    _targets = [CryodlProtClassifySubtomograms]
    _SECTION = "Classes"
    _WAIT = "There are no classes yet. Wait until the run has finished."

    _PANELS: Tuple[Panel, ...] = (_EMBEDDING, *_OF_BOTH, _CONFUSION)

    def setProtocol(self, protocol: Any) -> None:
        """Of a classifier there is a confusion matrix, of clusters an embedding."""
        clusters = protocol.inputModel.get() is None
        self._PANELS = (_EMBEDDING, *_OF_BOTH) if clusters else (*_OF_BOTH, _CONFUSION)
        super().setProtocol(protocol)

    def _data(self) -> SetOfClassesSubTomograms:
        return getattr(self.protocol, CLASSES, None)

    def _averages(self, classes: SetOfClassesSubTomograms) -> List[Tuple[str, int, Optional[str]]]:
        return averagesOf(classes, getattr(self.protocol, AVERAGES, None))

    def _showCounts(self, classes: SetOfClassesSubTomograms) -> List[Any]:
        plotter, counts = self._plot("Classes"), self.protocol._result().outputs.counts
        drawCounts(plotter.getFigure().add_subplot(), counts)
        plotter.getFigure().tight_layout()
        return [plotter]

    def _showAverages(self, classes: SetOfClassesSubTomograms) -> List[Any]:
        averages = self._averages(classes)
        plotter = self._plot("Averages", (6.4, min(10, 0.4 + 1.75 * len(averages))))
        drawAverages(plotter.getFigure(), averages)
        return [plotter]

    def _showGallery(self, classes: EMSet) -> List[str]:
        return [galleryView(self, classes, self.protocol.getRunName())]

    def _showConfusion(self, classes: SetOfClassesSubTomograms) -> List[Any]:
        made = self.protocol._result().outputs
        found = made.confusion
        if not found:
            return [
                self.infoMessage(
                    "The input's classes were not asked for. Set \"Compare with the input's classes\" "
                    "to Yes if they are the true ones, and execute again.",
                    "No confusion matrix",
                )
            ]
        plotter = self._plot("Confusion", (7, 6))
        axes = plotter.getFigure().add_subplot()
        drawConfusion(axes, found["matrix"], found["rows"], found["columns"])
        axes.set_title(f"Accuracy {made.accuracy:.3f}")
        plotter.getFigure().tight_layout()
        return [plotter]

    def _showEmbedding(self, classes: SetOfClassesSubTomograms) -> List[Any]:
        positions, numbers = readEmbedding(self.protocol._result().outputs.embedding)
        averages = self._averages(classes)
        names = {number: name for number, (name, *_) in enumerate(averages, 1)}
        plotter = self._plot("Embedding", (13, 7), tight=False)
        drawEmbeddingAndAverages(plotter.getFigure(), positions, numbers, averages, names)
        return [plotter]


class CryodlSubtomogramsViewer(Viewer):
    """Simulated subtomograms, of all classes or of one: what a double click opens."""

    _name = "cryodl subtomograms"
    _targets = [SetOfSubTomograms]
    _environments = [DESKTOP_TKINTER]

    @classmethod
    def can_handle_this_instance(cls, instance: Any) -> bool:
        return isinstance(instance, SetOfSubTomograms) and instance.hasAttribute(CLASS_NAMES)

    def _visualize(self, obj: Any, **kwargs: Any) -> List[Any]:
        return [simulatedView(self, obj)]


class SimulatedSubtomogramsViewer(PanelsViewer):
    """What `Analyze results` opens for simulated subtomograms."""

    _SECTION = "Simulated subtomograms"
    _PANELS = (Panel("showGallery", "Subtomograms", "Middle slices of the subtomograms, of all classes or of one."),)
    _WAIT = "There are no subtomograms yet. Wait until the run has finished."

    def _data(self) -> Any:
        return getattr(self.protocol, "outputSubtomograms", None)

    def _showGallery(self, subtomograms: SetOfSubTomograms) -> List[Any]:
        return [simulatedView(self, subtomograms)]


def simulatedView(viewer: Any, subtomograms: SetOfSubTomograms) -> Any:
    data, subset = SubtomogramGallery.ofSimulated(subtomograms), itemsSubset(viewer, subtomograms, "subtomogram")
    title = "Subtomograms" if viewer.protocol is None else f"Subtomograms: {viewer.protocol.getRunName()}"
    return WindowView(GalleryWindow, viewer.getTkRoot(), data, title, None, subset)


def galleryView(viewer: Any, classes: EMSet, title: str) -> Any:
    data = SubtomogramGallery.ofClasses(classes)
    return WindowView(
        GalleryWindow,
        viewer.getTkRoot(),
        data,
        title,
        next(iter(data.metrics), None),
        imagesSubset(viewer, classes, "subtomogram"),
    )
