# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of 2-D classes and of the choice among them."""

import os
from typing import Any, Union

from pwem.objects import EMSet

from ...engine.cryodl.contract import score_text
from ...protocols import CryodlProtClassify2D, CryodlProtSelectClasses
from ..gallery_data import Gallery
from ..gallery_window import GalleryWindow
from ..panels_viewer import PanelsViewer, panel
from ..subsets import imagesSubset, startedRun, startRun
from .class2d_window import Classes2D, Classes2DWindow


class CryodlClasses2DViewer(
    PanelsViewer,
    targets=[CryodlProtClassify2D, CryodlProtSelectClasses],
    section="2-D classes",
    wait="There are no classes yet. Wait until the run has finished.",
    data="outputClasses",
):
    """What `Analyze results` opens for 2-D classes."""

    def _data(self) -> Any:
        """The classes; while the first ones form, the table of their averages as they are now."""
        classes = PanelsViewer._data(self)
        forming = self.protocol.getForming() if hasattr(self.protocol, "getForming") else ""
        return forming if classes is None and os.path.exists(forming) else classes

    @panel(
        "Class averages",
        "All averages with their numbers of particles and scores, sorted by one of them. The slider shows which "
        "classes a threshold keeps.",
    )
    def showClasses(self, classes: Union[EMSet, str]) -> Any:
        name = self.protocol.getRunName()
        if isinstance(classes, str):
            return self.window(Classes2DWindow, Classes2D.ofForming(classes), f"{name}: classes so far")
        data = Classes2D.ofSet(classes)
        asked = self.protocol.threshold.get() if hasattr(self.protocol, "threshold") else None
        value = data.threshold() if asked is None else asked
        subset = lambda threshold: classesFrom(self.protocol, threshold)
        return self.window(Classes2DWindow, data, name, value, 1, None, subset)

    @panel("Particles of the classes", "The particles of each class.")
    def showParticles(self, classes: Union[EMSet, str]) -> Any:
        if isinstance(classes, str):
            return self.infoMessage(self._WAIT, "Nothing yet")
        subset = imagesSubset(self, classes, "particle")
        return self.window(GalleryWindow, galleryOf(classes), self.protocol.getRunName(), None, subset)


def classesFrom(source: Any, threshold: float) -> str:
    """Start a run that keeps the classes from a score, with their particles. Returns what happened, in words."""
    name = f"classes of {source.getRunName()} from {score_text(threshold)}"
    protocol, errors = startRun(
        source, "outputClasses", "inputClasses", CryodlProtSelectClasses, name, threshold=threshold
    )
    return startedRun(protocol, errors, f"The set of the classes with a score of at least {score_text(threshold)}")


def galleryOf(classes: EMSet) -> Any:
    """Gallery of the particles of a SetOfClasses2D, that can be shown class by class."""
    import numpy as np

    names, ids, groups, labels = [], [], [], []
    for number, made in enumerate(classes.iterItems(), 1):
        labels.append(f"class {made.getObjId()}")
        for item in made.iterItems():
            names.append(f"{item.getIndex() or 1:06d}@{item.getFileName()}")
            ids.append(item.getObjId())
            groups.append(number)
    gallery = Gallery(dict(raw=names), ids, classes.getSamplingRate(), groups=np.array(groups), groupNames=labels)
    gallery.GROUP = "Class"
    return gallery
