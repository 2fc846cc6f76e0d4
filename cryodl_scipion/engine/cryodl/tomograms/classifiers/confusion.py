# SPDX-License-Identifier: GPL-3.0-or-later
"""Confusion matrix of assigned and true classes."""

from __future__ import annotations

import typing

import numpy as np

if typing.TYPE_CHECKING:
    from ...io.subtomograms import SubtomogramSet

OTHERS = "others"  # true class of subtomograms that are of none of the model's classes


def _classes(subtomograms: SubtomogramSet) -> np.ndarray:
    """Of subtomograms that were read with them."""
    return typing.cast("np.ndarray", subtomograms.classes)


def check_ground_truth(subtomograms: SubtomogramSet, card: typing.Mapping[str, typing.Any]) -> None:
    """Raises ValueError if no subtomogram is of a class of the model. Arguments as those of against_ground_truth."""
    numbers, classes = card["class_numbers"], _classes(subtomograms)
    if not np.isin(classes, numbers).any():
        raise ValueError(
            f"None of the classes of {subtomograms.path} (rlnClassNumber: "
            f"{', '.join(map(str, np.unique(classes)))}) is one of the model's: "
            f"{', '.join(map(str, numbers))}. Leave out --ground-truth."
        )


def against_ground_truth(
    subtomograms: SubtomogramSet, card: typing.Mapping[str, typing.Any], classes: np.ndarray
) -> tuple[np.ndarray, list[str], float]:
    """Confusion matrix (r, k + 1), names of its rows, and accuracy.

    subtomograms: SubtomogramSet with the true classes. card: of the model. classes: (n,) class numbers that were found,
    0 for unknown, the last column. Rows are the model's classes and, if there are such, all others. The accuracy is
    that of the subtomograms of the model's classes; unknown ones among them count as wrong. Raises ValueError as
    check_ground_truth does.
    """
    check_ground_truth(subtomograms, card)
    numbers = np.array(card["class_numbers"])
    position = {number: row for row, number in enumerate(numbers.tolist())}
    true = np.array([position.get(int(number), len(numbers)) for number in _classes(subtomograms)])
    found = np.array([position.get(int(number), len(numbers)) for number in classes])
    known = true < len(numbers)
    matrix = np.zeros((len(numbers) + (not known.all()), len(numbers) + 1), int)
    np.add.at(matrix, (true, found), 1)
    rows = [*card["classes"], *([OTHERS] if not known.all() else [])]
    return matrix, rows, float((found == true)[known].mean())
