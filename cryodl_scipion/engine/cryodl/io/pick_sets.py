# SPDX-License-Identifier: GPL-3.0-or-later
"""Several sets of picks of the same micrographs, each with a name: 'topaz=picks/topaz'."""

from __future__ import annotations

import os
import typing
from pathlib import Path

from .coordinates import align_keys, read_coordinates
from .files import name_and_path, without_pick_suffix

if typing.TYPE_CHECKING:
    import numpy as np


def name_sets(texts: typing.Sequence[str]) -> dict[str, str]:
    """Sets that are given as they are ('picks/topaz') or with a name ('topaz=picks/topaz').

    Parameters
    ----------
    texts : sequence of str
        A path that exists is never cut at its '='. A set without a name gets the last part of its path; where several
        end alike ('a/picks', 'b/picks'), as many parts as tell them apart.

    Returns
    -------
    dict
        {name: path}.

    Raises
    ------
    FileNotFoundError
        For a path that is not there.
    ValueError
        For two sets with one name or one path.
    """
    pairs = [name_and_path(text) for text in texts]
    for _, path in pairs:
        if not os.path.exists(path):
            raise FileNotFoundError(
                f"The set of picks {path} does not exist (current folder: {os.getcwd()}). Give a "
                "folder or file, or name=folder."
            )
    real = [os.path.realpath(path) for _, path in pairs]
    for index, path in enumerate(real):
        if path in real[:index]:
            raise ValueError(f"The set of picks {texts[index]} is given twice. Remove one of them.")
    unnamed = iter(_shortest_names([path for name, path in pairs if not name]))
    named = [(name or next(unnamed), path) for name, path in pairs]
    for index, (name, path) in enumerate(named):
        for other, before in named[:index]:
            if other == name:
                raise ValueError(
                    f"Two sets of picks have the name {name}: {before} and {path}. Give them different names: "
                    f"one={before} two={path}."
                )
    return dict(named)


def _shortest_names(paths: typing.Sequence[str]) -> list[str]:
    """The ends of the paths, with as many folders as tell them apart."""
    parts = [Path(os.path.abspath(p)).parts for p in paths]
    names = []
    for mine in parts:
        rest = [other for other in parts if other is not mine]
        count = next((c for c in range(1, len(mine)) if all(o[-c:] != mine[-c:] for o in rest)), len(mine))
        names.append("/".join(mine[-count:]))
    return names


def read_pick_sets(texts: typing.Sequence[str]) -> dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Sets of picks, every micrograph under one name in all sets.

    A micrograph that is called 'a' in one set and 'a_autopick' in another is called 'a'.

    Parameters
    ----------
    texts : sequence of str
        As name_sets.

    Returns
    -------
    dict
        {set: {micrograph: (yx (n, 2) in px, scores (n,))}}.

    Raises
    ------
    FileNotFoundError, ValueError
        What name_sets, read_coordinates and align_keys raise.
    """
    sets = {name: read_coordinates(path) for name, path in name_sets(texts).items()}
    names: dict[str, str] = {}
    for key in sorted({key for picks in sets.values() for key in picks}, key=lambda k: (len(k), k)):
        names.setdefault(without_pick_suffix(key), key)
    return {name: align_keys(picks, list(names.values())) for name, picks in sets.items()}


def lacking(sets: dict[str, typing.Any], names: typing.Collection[str]) -> dict[str, list[str]]:
    """{set: micrographs of `names` that it has no list for}, only sets that lack any. A list without picks is a
    list."""
    missing = {name: [n for n in names if n not in picks] for name, picks in sets.items()}
    return {name: absent for name, absent in missing.items() if absent}


def lacking_in_words(sets: dict[str, typing.Any], names: typing.Collection[str]) -> list[str]:
    """One sentence for each set that lacks micrographs.

    Parameters
    ----------
    sets : dict
        {set: {micrograph: picks}}.
    names : collection of str
        Of the micrographs.
    """
    return [
        f"{name} has no list of picks for {len(absent)} of the {len(names)} micrographs "
        f"({', '.join(absent[:8])}{' ...' if len(absent) > 8 else ''}); there it counts as having no picks."
        for name, absent in lacking(sets, names).items()
    ]
