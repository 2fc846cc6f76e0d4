# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of 2-D classes and of the choice among them."""

import os
import tkinter as tk
from tkinter import ttk
from typing import Any, Iterable, Optional, Sequence, Set, Tuple, Union

import numpy as np
from pwem.objects import EMSet
from pyworkflow.utils import getRangeStringFromList

from ...convert.particles import classes2d
from ...convert.relion_star import iterColumns
from ...engine.cryodl import contract
from ...protocols import CryodlProtClassify2D, CryodlProtSelectClasses
from ..gallery_window import Gallery, PagedWindow, readParticle
from ..panels_viewer import PanelsViewer, panel, startFromScore, startRun
from ..plots import BAD_COLOUR, GOOD_COLOUR, Figure, label, shrunk

SIZE, SCORE = "number of particles", "score"
# of particles, by which they can be sorted
_TOLD = {classes2d.FIT: "Score", classes2d.SIGNAL: "Probability of more than noise", classes2d.MARGIN: "Margin"}
_STEP = 0.01  # of the slider
_SIDE = 96  # px; larger averages are made smaller for the window


class Classes2D:
    """ids: of the classes. counts: (n,) particles. scores: (n,), nan where there are none. names: of the averages.
    pixelSize: Å/px, None if it is not known."""

    seen: Any = None  # see Gallery

    def __init__(
        self, ids: Sequence[int], counts: Any, scores: Any, names: Iterable[str], pixelSize: Any = None
    ) -> None:
        self.ids, self.names, self._pixelSize = list(ids), list(names), pixelSize
        self.counts, self.scores = np.asarray(counts, int), np.asarray(scores, float)
        self.hasScores = bool(np.isfinite(self.scores).all())

    @classmethod
    def ofSet(cls, classes: EMSet) -> Any:
        """Of a SetOfClasses2D. Raises ValueError for an empty set, and for classes without averages."""
        rows = classes2d.classRows(classes)
        if not rows:
            raise ValueError("The set of classes is empty.")
        if any(not row[2] for row in rows):
            raise ValueError("The classes have no averages to show.")
        ids, numbers, files, counts, scores = zip(*(row[:5] for row in rows))
        return cls(ids, counts, scores, map("{:06d}@{}".format, numbers, files), classes.getSamplingRate())

    @classmethod
    def ofForming(cls, path: str) -> Any:
        """Of the table that a run writes while its classes form. Raises OSError or ValueError that names the file."""
        columns, folder = ("rlnReferenceImage", "cryodlParticles"), os.path.dirname(path)
        rows = [(image.split("@"), count) for image, count in iterColumns(path, columns, (str, float), "classes")]
        names = [f"{number}@{os.path.join(folder, stack)}" for (number, stack), _ in rows]
        return cls(range(1, len(rows) + 1), [count for _, count in rows], [np.nan] * len(rows), names)

    def order(self, by: Any) -> Any:
        return np.argsort(-(self.counts if by == SIZE else np.nan_to_num(self.scores, nan=-1)), kind="stable")

    def kept(self, threshold: float, minimum: Optional[int] = None) -> Any:
        scored = (self.scores >= threshold) | (not self.hasScores)
        return scored & (self.counts >= contract.fewest_particles(self.counts.tolist(), minimum))

    def threshold(self, minimum: Optional[int] = None) -> float:
        """The threshold that *select 2d classes* chooses by itself; 0 without scores."""
        told = self.ids, self.scores.tolist(), self.counts.tolist()
        return contract.chosen_classes(*told, None, minimum)[1] if self.hasScores else 0.0

    def picture(self, position: int) -> Any:
        image = readParticle(self.names[position])
        self.seen = self._pixelSize and image.shape[1] * self._pixelSize
        return shrunk(image, _SIDE)

    def caption(self, position: int) -> str:
        score = self.scores[position]
        return f"{self.ids[position]}: {self.counts[position]}" + (f", {score:.2f}" if np.isfinite(score) else "")


_GRIDS = ((4, 2), (6, 3), (8, 4), (12, 6))  # columns and rows of a page: few classes are shown larger


class Classes2DWindow(PagedWindow):
    """A click keeps a class that the threshold rejects, or the other way round.

    data: Classes2D. value, minimum: to begin with. accept: of wizards, function that takes the threshold and, if there
    were clicks, the ids of the kept classes; with it there are the buttons Use and Cancel, and show() waits. subset: as
    accept; it starts a run which keeps these classes, and says so in one sentence, or None. chosen: earlier ids."""

    def __init__(
        self,
        parent: Any,
        data: Any,
        title: str,
        value: float = 0.5,
        minimum: Optional[int] = None,
        accept: Any = None,
        subset: Any = None,
        chosen: Sequence[int] = (),
    ) -> None:
        self._accept, self._subset, self._minimum = accept, subset, minimum
        self._value = value if data.hasScores else 0
        before = zip(data.ids, data.kept(value, minimum))
        self._turned: Set[int] = {n for n, (one, kept) in enumerate(before) if chosen and kept != (one in chosen)}
        PagedWindow.__init__(self, parent, data, title, (13, 8.2))

    def _addControls(self, row: Any, below: Any) -> None:
        self.value, choices = tk.DoubleVar(self.root, self._value), [SCORE, SIZE] if self._data.hasScores else [SIZE]
        self.sortedBy = tk.StringVar(self.root, choices[0])
        self.addChoice(row, "Sorted by", self.sortedBy, choices, 20, self.refresh)
        if self._data.hasScores:
            ttk.Label(row, text="Score threshold").pack(side=tk.LEFT)
            self.addSlider(row, 0, 1, self.refresh, 4, resolution=_STEP, length=260, variable=self.value, expand=False)
        if self._accept is not None:
            self.addAnswers(row, self.use)
        if self._subset is not None:
            ttk.Button(row, text="Create subset", command=self.createSubset).pack(side=tk.LEFT, padx=6)
        ttk.Label(below, textvariable=self.message).pack(anchor=tk.W, padx=8)

    def use(self) -> None:
        self._accept(*self.choice())
        self.root.destroy()

    def createSubset(self) -> None:
        self.message.set(self._subset(*self.choice()))

    def open(self, position: int) -> None:
        self._turned ^= {position} if self._subset or self._accept else set()  # not while the classes form
        self.refresh()

    def kept(self) -> Any:
        kept = self._data.kept(self.threshold(), self._minimum)
        kept[list(self._turned)] ^= True
        return kept

    def choice(self) -> Tuple[float, Sequence[int]]:
        kept = [self._data.ids[n] for n in np.flatnonzero(self.kept())]
        return self.threshold(), (kept or [0]) * bool(self._turned)  # 0: no class, which the form refuses

    def threshold(self) -> float:
        """The slider's; before it is moved what it was set to, which it shows rounded."""
        return self._value if abs(self.value.get() - self._value) <= _STEP / 2 else self.value.get()

    def order(self) -> Any:
        return self._data.order(self.sortedBy.get())

    def _grid(self, count: int) -> Tuple[int, int]:
        return next((grid for grid in _GRIDS if grid[0] * grid[1] >= count), _GRIDS[-1])

    def _tileOf(self, number: int, position: int) -> Tuple[Any, str]:
        return [self._data.picture(position)], self._data.caption(position)

    def _isPale(self, position: int) -> bool:
        return not self.kept()[position]

    def _words(self) -> str:
        kept, scored = self.kept(), "score" if self._data.hasScores else "no score"
        return (
            f"Class: particles, {scored}. Kept: {contract.counted(int(kept.sum()), 'class', 'classes')} with "
            f"{contract.counted(int(self._data.counts[kept].sum()), 'particle')}, those that show only noise among "
            f"them; rejected classes are pale. A click keeps or rejects a class ({len(self._turned)} so far)."
            if self._subset or self._accept
            else "Class: particles"
        )


class CryodlClasses2DViewer(
    PanelsViewer,
    targets=[CryodlProtClassify2D, CryodlProtSelectClasses],
    section="2-D classes",
    wait="There are no classes",
    data="outputClasses",
):
    def _data(self) -> Any:
        """The classes; while the first ones form, the table of their averages as they are now."""
        classes = PanelsViewer._data(self)
        forming = self.protocol.getForming() if hasattr(self.protocol, "getForming") else ""
        return forming if classes is None and os.path.exists(forming) else classes

    @panel(
        "Class averages",
        "All averages with their numbers of particles and scores, sorted by one of them. The slider shows which "
        "classes a threshold keeps; a click keeps or rejects one.",
    )
    def showClasses(self, classes: Union[EMSet, str]) -> Any:
        name = self.protocol.getRunName()
        if isinstance(classes, str):
            return self.window(Classes2DWindow, Classes2D.ofForming(classes), f"{name}: classes so far", 0, 0)
        data = Classes2D.ofSet(classes)
        value = data.threshold() if isinstance(self.protocol, CryodlProtClassify2D) else data.scores.min()
        return self.window(Classes2DWindow, data, name, value, 1, None, self._subset)

    def _subset(self, threshold: float, ids: Sequence[int]) -> str:
        to = self.protocol, "outputClasses", "inputClasses", CryodlProtSelectClasses
        if not ids:
            return startFromScore(*to, "classes", threshold)
        return startRun(
            *to,
            f"chosen classes of {self.protocol.getRunName()}",
            f"The set of {contract.counted(len(ids), 'chosen class', 'chosen classes')} is made by the run {{}}.",
            chosen=getRangeStringFromList(sorted(ids)),
        )[1]

    @panel("Particles of the classes", "The particles of each class.")
    def showParticles(self, classes: Union[EMSet, str]) -> Any:
        self.needed(None if isinstance(classes, str) else classes)
        return self.gallery(galleryOf(classes), self.protocol.getRunName(), classes)

    @panel(
        "Particles that show only noise",
        "Probability of each particle to show more than noise. Of kept classes, *select 2d classes* leaves out those "
        "left of the line.",
    )
    def showSignal(self, classes: Union[EMSet, str]) -> Any:
        self.needed(None if isinstance(classes, str) else classes)
        data, asked = Classes2D.ofSet(classes), getattr(self.protocol, "goodLost", None)
        lost = contract.SelectClassesConfig(classes="-", output="-").good_lost if asked is None else asked.get()
        kept = {number for number, stays in zip(data.ids, data.kept(data.threshold())) if stays or asked is not None}
        found = classes2d.signalCut(classes, kept, lost)
        return self.plot("Signal", lambda figure: drawSignal(figure, *found), (7, 4.4))


def drawSignal(figure: Figure, cut: float, kept: Sequence[float], others: Sequence[float]) -> None:
    """Histogram of probabilities of kept and of other classes, with the cut. Raises ValueError if there are none."""
    if not kept and not others:
        raise ValueError("These classes are of a version that did not tell noise. Classify the particles again.")
    axes, names, colours = figure.add_subplot(), ["kept classes", "other classes"], [GOOD_COLOUR, BAD_COLOUR]
    axes.hist([kept, others], bins=[i / 25 for i in range(26)], stacked=True, color=colours, label=names)
    axes.axvline(cut, color="black", linestyle="--", linewidth=1, label=f"cut {cut:.2f}")
    label(axes, _TOLD[classes2d.SIGNAL], "Particles", whole="y")


def galleryOf(classes: EMSet) -> Any:
    numbers = {one: number for number, one in enumerate(sorted(classes.getIdSet() if classes.getSize() else ()), 1)}
    kept = [(row["image"], row["id"], numbers[one], row) for one, row in classes2d.memberRows(classes, list(_TOLD))]
    names, ids, groups, rows = zip(*kept) if kept else ((), (), (), ())
    told = {label: [row[name] for row in rows] for name, label in _TOLD.items()}
    metrics = {label: np.array(found, float) for label, found in told.items() if rows and None not in found}
    raw, labels = dict(raw=list(names)), map("class {}".format, numbers)
    gallery = Gallery(raw, ids, classes.getSamplingRate(), metrics, np.array(groups), labels)
    gallery.GROUP = "Class"
    return gallery
