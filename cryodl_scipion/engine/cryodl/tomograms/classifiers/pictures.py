# SPDX-License-Identifier: GPL-3.0-or-later
"""Confusion matrices as pictures and tables."""

import csv
import os
import typing

import numpy as np

from ...io.files import whole_file
from ...io.plots import new_figure, save_figure


def plot_confusion(
    matrix: np.ndarray,
    rows: typing.Sequence[str],
    columns: typing.Sequence[str],
    path: str | os.PathLike[str],
    title: str = "",
) -> None:
    """A confusion matrix as a PNG: colours are parts of each row, numbers are counts.

    matrix: (r, c) counts; rows are true classes, columns what was found. rows, columns: their names.
    """
    matrix = np.asarray(matrix)
    parts = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = 0.55 * max(len(rows), len(columns)) + 2.2
    figure, ((axes,),) = new_figure(1, 1, (side + 0.6, side))
    image = axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            axes.text(
                column,
                row,
                str(count),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if parts[row, column] > 0.55 else "black",
            )
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel="found", ylabel="true", title=title)
    figure.colorbar(image, ax=axes, label="fraction of the true class", shrink=0.8)
    save_figure(figure, path)


def write_confusion(
    matrix: np.ndarray, rows: typing.Sequence[str], columns: typing.Sequence[str], path: str | os.PathLike[str]
) -> None:
    """The same as a table: a row for each true class, its name first."""
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["true", *columns])
        writer.writerows([name, *map(int, values)] for name, values in zip(rows, matrix))
