# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of sets of coordinates: what each found, how far they agree, and the maps of their particles."""

import functools
import operator
import os
import tkinter as tk
from tkinter import ttk
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np
from matplotlib.image import imread
from matplotlib.lines import Line2D
from pwem.objects import SetOfCoordinates
from pwem.protocols import EMProtocol
from scipy.optimize import linear_sum_assignment

from ...convert.micrographs.picks import NUMBER_OF_SETS, readPicks, scaledPicks
from ...convert.names import namesByMicName
from ...engine.cryodl.contract import counted, resolution_in_words
from ...protocols import CryodlProtCompare, CryodlProtConsensus
from ...protocols.micrographs.protocol_consensus import AT_LEAST
from ..maps.viewer_map import LinkedMapsWindow
from ..micrograph_window import MicrographWindow
from ..panels_viewer import PanelsViewer, launchedRun, panel
from ..plots import Axes, Figure, drawCircles, drawFsc, drawMatrix, shortened
from ..window import PicturesWindow
from .viewer_picks import CountedPicks


class GroupedPicks(CountedPicks):
    """frame: SetOfMicrographs. picks: {micName: [(x, y (px of the micrograph), group)]}. diameter: of the particles,
    px. labels: of the groups 1, 2, ...

    `shows(group, value)`: which groups are seen at a value of the slider; `words` follow the number of picks in the
    window. off: groups that are not seen at any value. modes: what the colours can
    mean, by their names; none: one meaning alone. colours: of the groups, None for those of sets."""

    modes: Sequence[str] = ()
    colours: Optional[Sequence[str]] = None
    shows: Any = staticmethod(lambda group, value: True)
    words: Any

    def __init__(self, frame: Any, picks: Any, diameter: Any, labels: Sequence[str]) -> None:
        micrographs = [m.clone() for m in frame if m.getMicName() in picks]
        CountedPicks.__init__(self, [m.getMicName() for m in micrographs], [m.getFileName() for m in micrographs])
        self._picks = [np.array(picks[name], float).reshape(-1, 3) for name in self.names]
        self.diameter, self.labels = diameter, labels
        self.off: Set[int] = set()
        self.pixelSize = micrographs[0].getSamplingRate() if micrographs else None

    def picks(self, index: int, value: Any) -> Any:
        """(n, 3) x, y and group of what is seen on one micrograph."""
        picks = self._picks[index]
        groups = [group for group in np.unique(picks[:, 2]) if group not in self.off and self.shows(int(group), value)]
        return picks[np.isin(picks[:, 2], groups)]  # a slider asks this of all micrographs


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
    """Each set of a CryodlProtCompare is a group; or, with a reference, what is true, false and missed of one set."""

    def __init__(self, protocol: EMProtocol) -> None:
        sets, names, frame = protocol._allSets(), protocol._comparedNames(), protocol._frame()
        picks = {name: [] for name in names}
        for group, (_, coordinates) in enumerate(sets, 1):
            for name, found in scaledPicks(coordinates, names, frame.getSamplingRate()).items():
                picks[name] += [(x, y, group) for x, y, _ in found]
        diameter, self._sets = protocol._diameter() / frame.getSamplingRate(), [label for label, _ in sets]
        GroupedPicks.__init__(self, frame, picks, diameter, self._sets)
        self._all, comparison = self._picks, protocol.comparison()
        self._distance: Any = comparison["match_distance_px"] if comparison else None
        if protocol.referenceCoordinates.get() is not None and self._distance:
            self.modes = ["all sets"] + [f"{name}: true, false, missed" for name in self._sets[1:]]

    def choose(self, mode: str) -> None:
        self.off, number = set(), self.modes.index(mode)
        self._picks, self.labels, self.colours = self._all, self._sets, None
        if number:
            # hues as in the engine's pictures of segmentations (tomograms/evaluation/pictures.py), bright on grey
            self.labels, self.colours = ("true", "false", "missed"), ("#19e57b", "#ff4a3d", "#3d9bff")
            self._picks = [self._judged(picks, number + 1) for picks in self._all]

    def _judged(self, picks: np.ndarray, group: int) -> np.ndarray:
        """(n, 3) x, y and 1 for true, 2 for false, 3 for missed, of one set. picks: of all sets."""
        reference, found = (picks[picks[:, 2] == number, :2] for number in (1, group))
        good, met = matched(found, reference, self._distance)
        judged = found[good], found[~good], reference[~met]
        verdicts = np.repeat([1.0, 2, 3], [len(positions) for positions in judged])
        return np.column_stack([np.concatenate(judged), verdicts])

    def words(self, value: float) -> str:
        if self.colours is not None:
            counts = [sum((picks[:, 2] == verdict).sum() for picks in self._picks) for verdict in (1, 2, 3)]
            return ", ".join(f"{count} {label}" for count, label in zip(counts, self.labels)) + " in all"
        on = [label for group, label in enumerate(self.labels, 1) if group not in self.off]
        return "of all sets" if not self.off else f"of {', '.join(on) or 'no set'}"


class FoundTogether(GroupedPicks):
    """The group of a particle is the number of sets that found it; the slider is the least number.

    protocol: CryodlProtConsensus."""

    def __init__(self, protocol: EMProtocol) -> None:
        frame, count = protocol._frame(), len(protocol._labelledSets())
        engineNames, columns = namesByMicName(frame), ("rlnCoordinateX", "rlnCoordinateY", NUMBER_OF_SETS)
        paths = {n: os.path.join(protocol.candidatesFolder(), engineNames[n] + ".star") for n in protocol._names()}
        picks = {name: readPicks(path, columns) if os.path.exists(path) else [] for name, path in paths.items()}
        labels = [counted(number, "set") for number in range(1, count + 1)]
        GroupedPicks.__init__(self, frame, picks, protocol._diameter() / frame.getSamplingRate(), labels)
        self.slider = dict(from_=1, to=count, resolution=1, label="Found by at least")
        self.threshold, self.shows = min(count, protocol.minimumSets.get() or 1), operator.ge

    def words(self, value: float) -> str:
        return f"found by at least {int(value)} of {len(self.labels)} sets"


# Apart on grey micrographs, and for the colour-blind; from the ninth group on they repeat.
COLOURS = ("#ffcc33", "#33bbee", "#ee3377", "#19e57b", "#ee7733", "#aa77ff", "#ffffff", "#cc8844")


def colourOf(group: Any, colours: Optional[Sequence[str]] = None) -> Any:
    """group: 1, 2, ... colours: of the groups, None for those of sets."""
    return (colours or COLOURS)[(group - 1) % len(colours or COLOURS)]


def drawGroups(
    axes: Axes, picks: Sequence[Any], labels: Sequence[str], diameter: float, colours: Optional[Sequence[str]] = None
) -> None:
    """Circles in their group's colour, and a legend. picks: (n, 3) x, y, group.

    Circles of later groups are a little larger, so that those on the same particle are all seen."""
    circles = [(x, y, diameter / 2 * (1 + 0.06 * (group - 1))) for x, y, group in picks]
    drawCircles(axes, circles, [colourOf(int(pick[2]), colours) for pick in picks] or "none", width=1.4)
    ring: Any = dict(marker="o", linestyle="", markerfacecolor="none", markeredgewidth=2)
    handles = [
        Line2D([], [], markeredgecolor=colourOf(number, colours), label=label, **ring)
        for number, label in enumerate(labels, 1)
    ]
    axes.legend(handles=handles, loc="upper right", facecolor="black", labelcolor="white", framealpha=0.7)


def drawComparison(figure: Figure, comparison: Dict[str, Any], curvesFile: Any) -> None:
    """The agreement of a comparison, F1 of each pair of sets, and, with a reference, the engine's curves."""
    figure.clear()
    left, *right = figure.subplots(1, 2, width_ratios=(1, 1.3)) if curvesFile else [figure.subplots()]
    sets, matrix = comparison["sets"], np.array(comparison["agreement"], float)
    drawMatrix(left, matrix, np.vectorize("{:.2f}".format)(matrix), sets, sets, "viridis", matrix > 0.6)
    left.set_title("Agreement (F1 of each pair)")
    for axes in right:
        axes.imshow(imread(curvesFile), interpolation="antialiased")
        axes.set_axis_off()


_KEYS = 9  # groups that have a key


class GroupsWindow(MicrographWindow):
    """data: GroupedPicks. Each group is switched on and off by its name, or by the key of its number."""

    def __init__(self, parent: Any, data: Any, title: str, subset: Optional[Callable[[float], str]] = None) -> None:
        MicrographWindow.__init__(self, parent, data, title, data.slider, data.threshold, None, subset)

    def _addControls(self, slider: Any) -> None:
        row = self.addRow(padding=(6, 4, 6, 0))
        if self._data.modes:
            self.mode, width = tk.StringVar(self.root, self._data.modes[0]), max(map(len, self._data.modes))
            self.addChoice(row, "Colours", self.mode, self._data.modes, width, self.changeMode)
        self._switches = ttk.Frame(row)
        self._switches.pack(side=tk.LEFT)
        for number in range(1, _KEYS + 1):
            self.root.bind(
                f"<KeyPress-{number}>", functools.partial(self._key, functools.partial(self._flip, number - 1))
            )
        self._addSwitches()
        MicrographWindow._addControls(self, slider)

    def changeMode(self) -> None:
        self._data.choose(self.mode.get())
        self._addSwitches()
        self.refresh()

    def _addSwitches(self) -> None:
        for old in self._switches.winfo_children():
            old.destroy()
        self._on = [tk.BooleanVar(self.root, True) for _ in self._data.labels]
        for number, (on, label) in enumerate(zip(self._on, self._data.labels), 1):
            look: Any = dict(width=12, height=12, borderwidth=1, relief=tk.SOLID)
            tk.Frame(self._switches, background=colourOf(number, self._data.colours), **look).pack(
                side=tk.LEFT, padx=(8, 2)
            )
            text = f"{label} ({number})" if number <= _KEYS else label
            ttk.Checkbutton(self._switches, text=text, variable=on, command=self.choose).pack(side=tk.LEFT)

    def _flip(self, index: int) -> None:
        if index < len(self._on):
            self._on[index].set(not self._on[index].get())
            self.choose()

    def choose(self) -> None:
        self._data.off = {number for number, on in enumerate(self._on, 1) if not on.get()}
        self.refresh()

    def _drawOn(self, axes: Axes) -> None:
        picks = self._data.picks(self.index(), self.value.get())
        drawGroups(axes, picks, self._data.labels, self._data.diameter, self._data.colours)

    def _text(self) -> str:
        return f"{self._data.text(self.index(), self.value.get())}, {self._data.words(self.value.get())}"


_METRICS = (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"), ("average_precision", "Average precision"))


def comparisonRows(comparison: Dict[str, Any]) -> Any:
    """[(set, picks, metrics as texts ...)], best F1 first; metrics are left out without a reference."""
    metrics, keys = comparison["metrics"], [key for key, _ in _METRICS]
    rows = [
        (name, comparison["counts"][name], *(f"{metrics[name][key]:.3f}" for key in keys if name in metrics))
        for name in comparison["sets"]
    ]
    return sorted(rows, key=lambda row: row[4], reverse=True) if metrics else rows


_TITLES = ("Set", "Particles", "FSC 0.143", "Loss", "Images of noise", "FSC 0.5 with the structure")


def resolutionRows(made: Any) -> List[Tuple[Any, ...]]:
    """[(set, particles, resolutions as texts ...)], in the order of the sets. made: the engine's outputs."""
    rows = []
    for name in made.sets:
        reached, structure = map(resolution_in_words, (made.resolution[name], made.structure_resolution[name]))
        loss, noise = made.loss[name], resolution_in_words(made.noise_resolution[name], "nothing agrees")
        rows.append((name, made.particles[name], reached, "" if loss is None else f"{loss:+.1f} %", noise, structure))
    return rows


def drawFscsOfSets(figure: Figure, made: Any) -> None:
    """FSC of the half-maps, and of the maps with the structure, a curve for each set."""
    panels = (made.fsc, "Half-maps", 0.143), (made.structure_fsc, "Map and structure", 0.5)
    for axes, (curves, title, threshold) in zip(figure.subplots(1, 2), panels):
        named = {shortened(name): curves[name] for name in made.sets}
        drawFsc(axes, named, made.pixel_size, made.box, thresholds=(threshold,))
        axes.axvline(1 / made.search_resolution, color="grey", linestyle="--", linewidth=1)
        axes.set_title(title, fontsize=10)


class PositionsViewer(PanelsViewer, section="Comparison", wait="There is no comparison", data="comparison"):
    @panel(
        "Metrics, curves and agreement",
        "Table of metrics, agreement of each pair of sets and, with a reference, precision-recall curves.",
    )
    def showMetrics(self, comparison: Dict[str, Any]) -> Any:
        curves = self.protocol.curvesFile() if os.path.exists(self.protocol.curvesFile()) else None
        titles = ["Set", "Picks"] + ([title for _, title in _METRICS] if comparison["metrics"] else [])
        drawing = (lambda figure: drawComparison(figure, comparison, curves)), (11 if curves else 6, 4.8)
        text = (
            f"{counted(comparison['micrographs'], 'micrograph')}; picks matched one to one within "
            f"{comparison['match_distance_px']:.1f} px ({comparison['tolerance']:g} particle radii)"
        )
        text += "" if comparison["metrics"] else ". Without a reference, only the agreement is shown."
        table, words = (titles, comparisonRows(comparison)), [text, *comparison["notes"]]
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
    wait="There are no coordinates",
    data="outputCoordinates",
):
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
    again, least = project.copyProtocol(protocol), f"at least {counted(sets, 'set')}"
    again.setAttributesFromDict(dict(rule=AT_LEAST, minimumSets=sets))
    said = f"The set of particles that {least} found is made by the run {{}}."
    return launchedRun(project, again, f"{protocol.getRunName()}, {least}", said)


class MapsOfPicksViewer(PanelsViewer, section="Maps of picks", wait="There are no maps", data="_made"):
    @panel("Resolutions and FSC curves", "Resolution of the map of each set, and what it loses.")
    def showResolutions(self, made: Any) -> Any:
        headline = (
            f"{counted(made.micrographs, 'micrograph')}. Loss: by how much the resolution is worse than that of "
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
