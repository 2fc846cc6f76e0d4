# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings of classes of subtomograms: how many, which for which, where in an embedding, and their averages."""

from typing import Any, Dict, Optional, Sequence, Tuple, Union

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from ..plots import shortened
from ..preview import stretch
from .slices_plots import labelColour
from .subtomogram_data import middleSlices, readCube

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
    axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        axes.text(
            column,
            row,
            f"{count:.0f}",
            ha="center",
            va="center",
            color="white" if parts[row, column] > 0.6 else "black",
        )
    axes.set_xticks(range(len(columns)))
    axes.set_xticklabels([shortened(name) for name in columns], rotation=30, ha="right")
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels([shortened(name) for name in rows])
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
