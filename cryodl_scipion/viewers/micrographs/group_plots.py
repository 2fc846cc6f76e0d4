# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings of several sets of picks: coloured circles, agreement, curves."""

from typing import Any, Dict, Optional, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from ..plots import shortened

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
    axes.imshow(matrix, cmap="viridis", vmin=0, vmax=1)
    for row, values in enumerate(matrix):
        for column, value in enumerate(values):
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color="black" if value > 0.6 else "white")
    short = [shortened(name) for name in names]
    axes.set_xticks(range(len(names)))
    axes.set_xticklabels(short, rotation=30, ha="right")
    axes.set_yticks(range(len(names)))
    axes.set_yticklabels(short)
    axes.set_title("Agreement (F1 of each pair)")


def drawComparison(figure: Figure, comparison: Dict[str, Any], curvesFile: str) -> None:
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
