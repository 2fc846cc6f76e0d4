# SPDX-License-Identifier: GPL-3.0-or-later
"""Labelled subtomograms: their classes, and which are learnt from."""

import dataclasses
import os
import typing
from collections import Counter

import numpy as np

from ...io.subtomograms import SubtomogramSet

MINIMUM = 2  # subtomograms of a class: one to learn from, one to validate with
FEW = 10  # validation subtomograms of a class: with fewer, each is validated in turn if the method can do so
FOLDS = 5
BY_TOMOGRAM = "by tomogram"
_TRIES = 64  # ways of dividing the tomograms


@dataclasses.dataclass(frozen=True)
class Examples:
    """Subtomograms to learn from. subtomograms: SubtomogramSet, only those with a class. labels: (n,) int, 0 ... k - 1,
    places in numbers and names. numbers: (k,) class numbers of the file, rising. names: (k,) of the classes. training,
    validation: rows, int arrays. split: sentence that says how they were kept apart. contrast: 'bright' or 'dark', of
    protein in the volumes. diameter: Å, of the sphere that holds every particle. pixel_size (Å/px), box (px): what the
    method works at."""

    subtomograms: SubtomogramSet
    labels: np.ndarray
    numbers: tuple[int, ...]
    names: tuple[str, ...]
    training: np.ndarray
    validation: np.ndarray
    split: str
    contrast: str
    diameter: float
    pixel_size: float
    box: int


def labelled(
    subtomograms: SubtomogramSet, class_names: typing.Sequence[str] = ()
) -> tuple[SubtomogramSet, np.ndarray, tuple[int, ...], tuple[str, ...], list[str]]:
    """The subtomograms that have a class (not 0), their labels (n,), the class numbers and their names, and sentences
    for the user. class_names: as many as there are classes, in the order of their numbers, or none. Raises ValueError
    for fewer than two classes, a class with fewer than two members, negative numbers, a subtomogram listed twice, or
    names that do not fit."""
    classes, path, notes = np.asarray(subtomograms.classes), subtomograms.path, []
    if (classes < 0).any():
        raise ValueError(
            f"{path} has a class (rlnClassNumber) of {classes.min()}; classes are numbered from 1, and 0 is no class."
        )
    if (classes == 0).any():
        notes.append(
            f"{int((classes == 0).sum())} of {len(classes)} subtomograms of {path} have no class (rlnClassNumber is "
            "0) and are not used for training."
        )
        subtomograms = subtomograms.subset(classes != 0)
        classes = np.asarray(subtomograms.classes)
    positions = list(zip(map(str, subtomograms.files), subtomograms.numbers.tolist()))
    copies = {position: number for position, number in Counter(positions).items() if number > 1}
    if copies:
        position, number = next(iter(copies.items()))
        raise ValueError(
            f"{path} lists {len(copies)} subtomograms (rlnImageName) more than once, such as "
            f"{subtomograms.names[positions.index(position)]}, {number} times. Copies would be in both training and "
            "validation data; keep one row of each."
        )
    numbers, labels, counts = np.unique(classes, return_inverse=True, return_counts=True)
    if len(numbers) < 2:
        found = f"only the class {numbers[0]}" if len(numbers) else "no class"
        raise ValueError(
            f"{path} has {found} (rlnClassNumber); at least two are needed. Add subtomograms of another class, for "
            "example of false picks."
        )
    if counts.min() < MINIMUM:
        raise ValueError(
            f"{path} has {counts.min()} subtomogram of class {numbers[counts.argmin()]} (rlnClassNumber); each class "
            f"needs at least {MINIMUM}, one for training and one for validation, and tens for a good model. Add some, "
            "or remove the class."
        )
    return subtomograms, labels.reshape(-1), tuple(int(n) for n in numbers), _names(numbers, class_names, path), notes


def _names(numbers: np.ndarray, given: typing.Sequence[str], path: str | os.PathLike[str]) -> tuple[str, ...]:
    if not given:
        return tuple(f"class {number}" for number in numbers)
    if len(given) != len(numbers):
        raise ValueError(
            f"There are {len(given)} names of classes (--class-names): {', '.join(given)}; {path} has "
            f"{len(numbers)} classes: {', '.join(map(str, numbers))}. Give one name for each."
        )
    if len(set(given)) < len(given) or not all(name.strip() for name in given) or "unknown" in given:
        raise ValueError(
            f"The names of classes (--class-names) are {', '.join(given)}; they must be different, not empty, and "
            "not 'unknown', which is the name of class 0."
        )
    return tuple(given)


def split(
    subtomograms: SubtomogramSet, labels: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows to learn from, rows to validate with, and a sentence that says how they were kept apart. Whole tomograms
    validate if every class can stay in both parts; else a part of each class, drawn at random. labels: (n,) int.
    fraction: part that validates."""
    rng = np.random.default_rng((seed, 77))
    held, how = _whole_tomograms(subtomograms.tomograms, labels, fraction, rng), BY_TOMOGRAM
    if held is None:
        held, how = np.zeros(len(labels), bool), "at random within each class"
        for label in np.unique(labels):
            rows = rng.permutation(np.nonzero(labels == label)[0])
            held[rows[: min(max(1, round(fraction * len(rows))), len(rows) - 1)]] = True
        if len(set(subtomograms.tomograms)) > 1:
            how += ", because whole tomograms would leave a class out"
    return (
        np.nonzero(~held)[0],
        np.nonzero(held)[0],
        (
            f"{subtomograms.path}: {int((~held).sum())} training subtomograms and {int(held.sum())} for validation, "
            f"split {how}."
        ),
    )


def folds(examples: Examples, seed: int) -> list[np.ndarray]:
    """Validation rows of each part of a cross-validation; together they are all rows. Empty if the validation part of
    the examples holds FEW of every class. Returns list of ndarray (n,) int."""
    if np.bincount(examples.labels[examples.validation], minlength=len(examples.names)).min() >= FEW:
        return []
    part, rng = np.zeros(len(examples.labels), int), np.random.default_rng((seed, 78))
    for label in range(len(examples.names)):
        rows = rng.permutation(np.nonzero(examples.labels == label)[0])
        part[rows] = (np.arange(len(rows)) + label) % min(FOLDS, len(rows))
    return [rows for rows in (np.nonzero(part == fold)[0] for fold in range(FOLDS)) if len(rows)]


def _whole_tomograms(
    tomograms: typing.Sequence[str], labels: np.ndarray, fraction: float, rng: np.random.Generator
) -> np.ndarray | None:
    """(n,) bool: subtomograms of whole tomograms, with every class in both parts, or None if that was not found."""
    names, number = np.unique(tomograms, return_inverse=True)
    if len(names) < 2 or "" in tomograms:
        return None
    sizes, classes = np.bincount(number), labels.max() + 1
    for _ in range(_TRIES):
        order = rng.permutation(len(names))
        held = np.isin(number, order[: (int(np.searchsorted(np.cumsum(sizes[order]), fraction * len(labels))) + 1)])
        both = all(len(np.unique(labels[part])) == classes for part in (held, ~held))
        if both and held.sum() <= 2 * fraction * len(labels):
            return held
    return None
