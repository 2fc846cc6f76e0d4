# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of sets of coordinates: what each found, how far they agree, and the maps of their particles."""

import functools
import os
import tkinter as tk
from tkinter import ttk
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from pwem.objects import SetOfCoordinates
from pwem.protocols import EMProtocol
from scipy.optimize import linear_sum_assignment

from ...convert.micrographs.picks import NUMBER_OF_SETS, readPicks, scaledPicks
from ...convert.names import namesByMicName
from ...engine.cryodl.contract import counted, resolution_in_words
from ...protocols import CryodlProtCompare, CryodlProtConsensus
from ..maps.viewer_map import LinkedMapsWindow
from ..panels_viewer import PanelsViewer, panel, startedRun
from ..plots import drawFsc, drawMatrix, shortened
from ..window import PicturesWindow
from .viewer_picks import CountedWindow

_ALL_SETS = "all sets"


_VERDICTS = ("true", "false", "missed")


# Hues as in the engine's pictures of segmentations (tomograms/evaluation/pictures.py), bright for grey micrographs.
VERDICT_COLOURS = ("#19e57b", "#ff4a3d", "#3d9bff")


_COLUMNS = ("rlnCoordinateX", "rlnCoordinateY", NUMBER_OF_SETS)


class GroupedPicks:
    """names, paths: of the micrographs. diameter: of the particles, px. labels: of the groups 1, 2, ...

    groups: list, per micrograph, of (n, 3) x, y (px of the micrograph) and group. slider: for MicrographWindow, None
    for none; its value to begin with, and `shows(group, value)`: which groups are seen; `words` follow the number of
    picks in the window. off: groups that are not seen at any value.
    """

    def __init__(self, frame: Any, picks: Any, diameter: Any, labels: Sequence[str]) -> None:
        micrographs = [m.clone() for m in frame if m.getMicName() in picks]
        self.names, self.paths = [m.getMicName() for m in micrographs], [m.getFileName() for m in micrographs]
        self._picks = [np.array(picks[name], float).reshape(-1, 3) for name in self.names]
        self.diameter, self.labels = diameter, labels
        self.off: Set[int] = set()
        self.pixelSize = micrographs[0].getSamplingRate() if micrographs else None

    value: Any  # the slider's first value
    modes: Sequence[str] = ()  # what the colours can mean, by their names; none: one meaning alone
    colours: Optional[Sequence[str]] = None  # of the groups, None for those of sets

    def choose(self, mode: str) -> None:
        """Let the colours mean something else."""

    @staticmethod
    def shows(group: int, value: Any) -> bool:
        """Whether picks of a group are seen at a value of the slider."""
        raise NotImplementedError

    def picks(self, index: int, value: Any) -> Any:
        """(n, 3) x, y and group of what is seen on one micrograph."""
        picks = self._picks[index]
        seen = [int(group) not in self.off and self.shows(int(group), value) for group in picks[:, 2]]
        return picks[seen] if len(picks) else picks

    def counts(self, value: float) -> Any:
        """(micrographs,) number of picks seen."""
        return np.array([len(self.picks(i, value)) for i in range(len(self.names))], int)

    def firstToShow(self) -> int:
        """Index of the first micrograph with picks, else 0."""
        counts = self.counts(self.value)
        return int(np.argmax(counts > 0)) if counts.size else 0


def matched(picks: np.ndarray, reference: np.ndarray, distance: float) -> Any:
    """Which picks and which reference points are matched one to one, as the engine does it (core/matching.py): the
    assignment that minimises sum(min(d^2 - distance^2, 0)). picks, reference: (n, 2), (m, 2). distance: same unit."""
    squared = ((picks[:, None] - reference[None]) ** 2).sum(2) - distance**2
    rows, columns = linear_sum_assignment(np.minimum(squared, 0))
    close = squared[rows, columns] < 0
    found, met = np.zeros(len(picks), bool), np.zeros(len(reference), bool)
    found[rows[close]], met[columns[close]] = True, True
    return found, met


class ComparedPicks(GroupedPicks):
    """Each set of a comparison is a group; or, with a reference, what is true, false and missed of one set. protocol:
    CryodlProtCompare."""

    slider, value = None, 0

    def __init__(self, protocol: EMProtocol) -> None:
        sets, names, frame = protocol._allSets(), protocol._comparedNames(), protocol._frame()
        picks = {name: [] for name in names}
        for group, (_, coordinates) in enumerate(sets, 1):
            for name, found in scaledPicks(coordinates, names, frame.getSamplingRate()).items():
                picks[name] += [(x, y, group) for x, y, _ in found]
        GroupedPicks.__init__(
            self, frame, picks, protocol._diameter() / frame.getSamplingRate(), [label for label, _ in sets]
        )
        self._all, self._names = self._picks, list(self.labels)
        comparison = protocol.comparison()
        self._distance: Any = comparison["match_distance_px"] if comparison else None
        if protocol.referenceCoordinates.get() is not None and self._distance:
            self.modes = [_ALL_SETS] + [f"{name}: true, false, missed" for name in self._names[1:]]

    def choose(self, mode: str) -> None:
        self.off, number = set(), self.modes.index(mode)
        if not number:
            self._picks, self.labels, self.colours = self._all, self._names, None
            return
        self.labels, self.colours = _VERDICTS, VERDICT_COLOURS
        self._picks = [self._judged(picks, number + 1) for picks in self._all]

    def _judged(self, picks: np.ndarray, group: int) -> np.ndarray:
        """(n, 3) x, y and 1 for true, 2 for false, 3 for missed, of one set. picks: of all sets."""
        reference, found = (picks[picks[:, 2] == number, :2] for number in (1, group))
        good, met = matched(found, reference, self._distance)
        return np.concatenate(
            [
                np.column_stack([positions, np.full(len(positions), verdict, float)])
                for verdict, positions in ((1, found[good]), (2, found[~good]), (3, reference[~met]))
            ]
        )

    @staticmethod
    def shows(group: Any, value: float) -> bool:
        return True

    def words(self, value: float) -> str:
        if self.colours is not None:
            numbers = np.concatenate([picks[:, 2] for picks in self._picks])
            return (
                ", ".join(f"{int((numbers == n).sum())} {label}" for n, label in enumerate(self.labels, 1)) + " in all"
            )
        on = [label for group, label in enumerate(self.labels, 1) if group not in self.off]
        return "of all sets" if not self.off else f"of {', '.join(on) or 'no set'}"


class FoundTogether(GroupedPicks):
    """The group of a particle is the number of sets that found it; the slider is the least number.

    protocol: CryodlProtConsensus.
    """

    def __init__(self, protocol: EMProtocol) -> None:
        frame, count = protocol._frame(), len(protocol._labelledSets())
        engineNames = namesByMicName(frame)
        picks = {}
        for name in protocol._names():
            path = os.path.join(protocol.candidatesFolder(), engineNames[name] + ".star")
            picks[name] = readPicks(path, _COLUMNS) if os.path.exists(path) else []
        GroupedPicks.__init__(
            self,
            frame,
            picks,
            protocol._diameter() / frame.getSamplingRate(),
            ["1 set"] + [f"{n} sets" for n in range(2, count + 1)],
        )
        self.slider = dict(from_=1, to=count, resolution=1, label="Found by at least")
        self.value = min(count, protocol.minimumSets.get() or 1)

    @staticmethod
    def shows(group: Any, value: float) -> bool:
        return group >= value

    def words(self, value: float) -> str:
        return f"found by at least {int(value)} of {len(self.labels)} sets"


# Apart on grey micrographs, and for the colour-blind; from the ninth group on they repeat.
COLOURS = ("#ffcc33", "#33bbee", "#ee3377", "#19e57b", "#ee7733", "#aa77ff", "#ffffff", "#cc8844")


def colourOf(group: Any, colours: Optional[Sequence[str]] = None) -> Any:
    """group: 1, 2, ... colours: of the groups, None for those of sets."""
    colours = colours or COLOURS
    return colours[(group - 1) % len(colours)]


def drawGroups(
    axes: Axes, picks: Sequence[Any], labels: Sequence[str], diameter: float, colours: Optional[Sequence[str]] = None
) -> None:
    """Circles in their group's colour, and a legend. picks: (n, 3) x, y, group. Replaces those of an earlier call.

    Circles of later groups are a little larger, so that those on the same particle are all seen.
    """
    for old in [c for c in axes.collections if c.get_gid() == "picks"]:
        old.remove()
    circles = [Circle((x, y), diameter / 2 * (1 + 0.06 * (group - 1))) for x, y, group in picks]
    collection = PatchCollection(
        circles, facecolors="none", edgecolors=[colourOf(int(p[2]), colours) for p in picks] or "none", linewidths=1.4
    )
    collection.set_gid("picks")
    axes.add_collection(collection, autolim=False)
    handles = [
        Line2D(
            [],
            [],
            marker="o",
            linestyle="",
            markerfacecolor="none",
            markeredgecolor=colourOf(number, colours),
            markeredgewidth=2,
            label=label,
        )
        for number, label in enumerate(labels, 1)
    ]
    axes.legend(handles=handles, loc="upper right", facecolor="black", labelcolor="white", framealpha=0.7)


def drawAgreement(axes: Axes, names: Sequence[str], matrix: np.ndarray) -> None:
    """F1 of each pair of sets as colours and numbers."""
    matrix = np.array(matrix, float)
    drawMatrix(axes, matrix, np.vectorize("{:.2f}".format)(matrix), names, names, "viridis", matrix > 0.6)
    axes.set_title("Agreement (F1 of each pair)")


def drawComparison(figure: Figure, comparison: Dict[str, Any], curvesFile: Optional[str]) -> None:
    """The agreement of a comparison and, with a reference, the engine's picture of the curves."""
    figure.clear()
    if not curvesFile:
        drawAgreement(figure.subplots(), comparison["sets"], comparison["agreement"])
    else:
        left, right = figure.subplots(1, 2, gridspec_kw=dict(width_ratios=[1, 1.3]))
        drawAgreement(left, comparison["sets"], comparison["agreement"])
        right.imshow(imread(curvesFile), interpolation="antialiased")
        right.set_axis_off()
    figure.tight_layout()


_KEYS = 9  # groups that have a key


class GroupsWindow(CountedWindow):
    """data: GroupedPicks. Each group is switched on and off by its name, or by the key of its number. subset: function
    that starts a run which keeps what is seen at a value of the slider, and says so in one sentence; None for none."""

    def __init__(self, parent: Any, data: Any, title: str, subset: Optional[Callable[[float], str]] = None) -> None:
        CountedWindow.__init__(self, parent, data, title, data.slider, data.value, None, subset)

    def _addControls(self, slider: Any) -> None:
        row = ttk.Frame(self.root)
        row.pack(fill=tk.X, padx=6, pady=(4, 0))
        if self._data.modes:
            self.mode = tk.StringVar(self.root, self._data.modes[0])
            width = max(len(mode) for mode in self._data.modes)
            self.addChoice(row, "Colours", self.mode, self._data.modes, width, self.changeMode)
        self._switches = ttk.Frame(row)
        self._switches.pack(side=tk.LEFT)
        for number in range(1, _KEYS + 1):
            flip = functools.partial(self._flip, number - 1)
            self.root.bind(f"<KeyPress-{number}>", lambda event, flip=flip: self._key(event, flip))
        self._addSwitches()
        CountedWindow._addControls(self, slider)

    def _addSwitches(self) -> None:
        """A box to tick for each group, with its colour."""
        for old in self._switches.winfo_children():
            old.destroy()
        self._on = [tk.BooleanVar(self.root, True) for _ in self._data.labels]
        for number, (on, label) in enumerate(zip(self._on, self._data.labels), 1):
            colour = colourOf(number, self._data.colours)
            swatch = tk.Frame(self._switches, width=12, height=12, background=colour, borderwidth=1, relief=tk.SOLID)
            swatch.pack(side=tk.LEFT, padx=(8, 2))
            text = f"{label} ({number})" if number <= _KEYS else label
            ttk.Checkbutton(self._switches, text=text, variable=on, command=self.choose).pack(side=tk.LEFT)

    def changeMode(self) -> None:
        """Let the colours mean what was chosen."""
        self._data.choose(self.mode.get())
        self._addSwitches()
        self.refresh()

    def _flip(self, index: int) -> None:
        if index < len(self._on):
            self._on[index].set(not self._on[index].get())
            self.choose()

    def choose(self) -> None:
        """Draw the groups that are on."""
        self._data.off = {number for number, on in enumerate(self._on, 1) if not on.get()}
        self.refresh()

    def _drawOn(self, axes: Axes) -> None:
        picks = self._data.picks(self.index(), self.value.get())
        drawGroups(axes, picks, self._data.labels, self._data.diameter, self._data.colours)

    def _text(self) -> str:
        text = CountedWindow._text(self)
        return text if self.index() is None else f"{text}, {self._data.words(self.value.get())}"


_METRICS = (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"), ("average_precision", "Average precision"))


def comparisonRows(comparison: Dict[str, Any]) -> Any:
    """[(set, picks, metrics as texts ...)], best F1 first; metrics are left out without a reference."""
    rows = []
    for name in comparison["sets"]:
        metrics = comparison["metrics"].get(name)
        rows.append(
            (name, comparison["counts"][name])
            + (tuple(f"{metrics[key]:.3f}" for key, _ in _METRICS) if metrics else ())
        )
    return sorted(rows, key=lambda row: row[4], reverse=True) if comparison["metrics"] else rows


def comparisonWords(comparison: Dict[str, Any]) -> List[str]:
    """What was compared, and the engine's notes."""
    text = (
        f"{comparison['micrographs']} micrographs; picks matched one to one within "
        f"{comparison['match_distance_px']:.1f} px ({comparison['tolerance']:g} particle radii)"
    )
    alone = "" if comparison["metrics"] else ". Without a reference, only the agreement is shown."
    return [text + alone, *comparison["notes"]]


_TITLES = ("Set", "Particles", "FSC 0.143", "Loss", "Images of noise", "FSC 0.5 with the structure")


def resolutionRows(made: Any) -> List[Tuple[Any, ...]]:
    """[(set, particles, resolutions as texts ...)], in the order of the sets. made: the engine's outputs."""
    rows = []
    for name in made.sets:
        loss = "" if made.loss[name] is None else f"{made.loss[name]:+.1f} %"
        reached, structure = (
            resolution_in_words(values[name]) for values in (made.resolution, made.structure_resolution)
        )
        noise = resolution_in_words(made.noise_resolution[name], "nothing agrees")
        rows.append((name, made.particles[name], reached, loss, noise, structure))
    return rows


def drawFscsOfSets(figure: Figure, made: Any) -> None:
    """FSC of the half-maps, and of the maps with the structure, a curve for each set."""
    for axes, curves, title, threshold in zip(
        figure.subplots(1, 2), (made.fsc, made.structure_fsc), ("Half-maps", "Map and structure"), (0.143, 0.5)
    ):
        drawFsc(
            axes,
            {shortened(name): curves[name] for name in made.sets},
            made.pixel_size,
            made.box,
            thresholds=(threshold,),
        )
        axes.axvline(1 / made.search_resolution, color="grey", linestyle="--", linewidth=1)
        axes.set_title(title, fontsize=10)


class PositionsViewer(
    PanelsViewer,
    section="Comparison",
    wait="There is no comparison yet. Wait until the run has finished.",
    data="comparison",
):
    """A comparison of positions."""

    @panel(
        "Metrics, curves and agreement",
        "Table of metrics, agreement of each pair of sets and, with a reference, precision-recall curves.",
    )
    def showMetrics(self, comparison: Dict[str, Any]) -> Any:
        curves = self.protocol.curvesFile()
        curves = curves if os.path.exists(curves) else None
        titles = ["Set", "Picks"] + ([title for _, title in _METRICS] if comparison["metrics"] else [])
        drawing = (lambda figure: drawComparison(figure, comparison, curves)), (11 if curves else 6, 4.8)
        table, words = (titles, comparisonRows(comparison)), comparisonWords(comparison)
        return self.window(PicturesWindow, self.title(), {}, words, None, table, None, drawing)

    @panel(
        "Picks on the micrographs",
        "All sets on the micrographs, each in its own colour; or true, false and missed picks of one set, judged by "
        "the reference.",
    )
    def showPicks(self, comparison: Dict[str, Any]) -> Any:
        return self.window(GroupsWindow, ComparedPicks(self.protocol), self.title("Compared"))


class CryodlConsensusViewer(
    PanelsViewer,
    targets=[CryodlProtConsensus],
    section="Consensus",
    wait="There are no coordinates yet. Wait until the run has finished.",
    data="outputCoordinates",
):
    """What `Analyze results` opens for a consensus."""

    @panel(
        "Particles on the micrographs",
        "All particles found by any set, coloured by the number of sets that found them; a slider sets the minimum "
        "number.",
    )
    def showPicks(self, coordinates: SetOfCoordinates) -> Any:
        subset = lambda value: consensusOf(self.protocol, int(value))
        return self.window(GroupsWindow, FoundTogether(self.protocol), self.title(), subset)


def consensusOf(protocol: Any, sets: int) -> str:
    """Start a consensus of the same sets with another minimum. Returns what happened, in words."""
    project = protocol.getProject()
    again = project.copyProtocol(protocol)
    again.setObjLabel(f"{protocol.getRunName()}, at least {counted(sets, 'set')}")
    again.minimumSets.set(sets)
    errors = " ".join(again.validate())
    if not errors:
        project.launchProtocol(again)
    return startedRun(again, errors, f"The set of particles that at least {counted(sets, 'set')} found")


class MapsOfPicksViewer(
    PanelsViewer, section="Maps of picks", wait="There are no maps yet. Wait until the run has finished.", data="_made"
):
    """A comparison by maps."""

    @panel("Resolutions and FSC curves", "Resolution of the map of each set, and what it loses.")
    def showResolutions(self, made: Any) -> Any:
        headline = (
            f"{made.micrographs} micrographs. Loss: by how much the resolution is worse than that of "
            f"{made.measured_by}. Dashed line: {made.search_resolution:.1f} Å; particles were oriented by coarser "
            "detail, so agreement beyond does not come from the structure."
        )
        drawing = (lambda figure: drawFscsOfSets(figure, made)), (11, 4.8)
        table, words = (_TITLES, resolutionRows(made)), [headline, *made.notes]
        return self.window(PicturesWindow, self.title(), {}, words, None, table, None, drawing)

    @panel("Slices of the maps", "The map of a set and its half-maps, across all three axes.")
    def showSlices(self, made: Any) -> Any:
        groups = {
            name: {"map": made.maps[name], "half 1": made.half1[name], "half 2": made.half2[name]} for name in made.sets
        }
        return self.window(LinkedMapsWindow, groups, self.title("Maps"))


class CryodlCompareViewer(PanelsViewer, targets=[CryodlProtCompare], ways=(PositionsViewer, MapsOfPicksViewer)):
    """What `Analyze results` opens for a comparison."""
