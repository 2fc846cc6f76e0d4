# SPDX-License-Identifier: GPL-3.0-or-later
"""Confusion matrix of assigned and true classes. Confusion matrices as pictures and tables."""

import os
import typing

import numpy as np

from ...io.plots import plot_squares
from ...io.subtomograms import SubtomogramSet


def plot_confusion(
    matrix: np.ndarray,
    rows: typing.Sequence[str],
    columns: typing.Sequence[str],
    path: str | os.PathLike[str],
    title: str = "",
) -> None:
    """A confusion matrix as a PNG: colours are parts of each row, numbers are counts. matrix: (r, c) counts; rows are
    true classes, columns what was found. rows, columns: their names."""
    matrix = np.asarray(matrix)
    parts = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    counts = [[str(count or "") for count in row] for row in matrix.tolist()]
    named = dict(xlabel="found", ylabel="true", title=title)
    plot_squares(parts, counts, rows, columns, path, "fraction of the true class", **named)


OTHERS = "others"  # true class of subtomograms that are of none of the model's classes


def check_ground_truth(subtomograms: SubtomogramSet, card: typing.Mapping[str, typing.Any]) -> None:
    """Raises ValueError if no subtomogram is of a class of the model. Arguments as those of against_ground_truth."""
    numbers, classes = card["class_numbers"], np.asarray(subtomograms.classes)
    if not np.isin(classes, numbers).any():
        raise ValueError(
            f"None of the classes of {subtomograms.path} (rlnClassNumber: "
            f"{', '.join(map(str, np.unique(classes)))}) is one of the model's: "
            f"{', '.join(map(str, numbers))}. Leave out --ground-truth."
        )


def against_ground_truth(
    subtomograms: SubtomogramSet, card: typing.Mapping[str, typing.Any], classes: np.ndarray
) -> tuple[np.ndarray, list[str], float]:
    """Confusion matrix (r, k + 1), names of its rows, and accuracy. subtomograms: SubtomogramSet with the true classes.
    classes: (n,) class numbers that were found, 0 for unknown, the last column. Rows are the model's classes and, if
    there are such, all others. The accuracy is that of the subtomograms of the model's classes; unknown ones among them
    count as wrong. Some must be of a class of the model (check_ground_truth)."""
    numbers = np.array(card["class_numbers"])
    position = {number: row for row, number in enumerate(numbers.tolist())}
    true = np.array([position.get(int(number), len(numbers)) for number in np.asarray(subtomograms.classes)])
    found = np.array([position.get(int(number), len(numbers)) for number in classes])
    known = true < len(numbers)
    matrix = np.zeros((len(numbers) + (not known.all()), len(numbers) + 1), int)
    np.add.at(matrix, (true, found), 1)
    return matrix, [*card["classes"], *([OTHERS] if not known.all() else [])], float((found == true)[known].mean())
