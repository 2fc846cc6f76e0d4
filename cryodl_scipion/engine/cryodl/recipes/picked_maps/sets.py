# SPDX-License-Identifier: GPL-3.0-or-later
"""The sets of picks whose maps are compared, the micrographs that count, and the half of each micrograph."""

from __future__ import annotations

import dataclasses
import re
import typing

import numpy as np

from ...core.boxes import box_corners, boxes_inside
from ...io.coordinates import align_keys, read_coordinates
from ...io.micrographs import micrograph_shape
from ...io.pick_sets import lacking_in_words, name_sets

if typing.TYPE_CHECKING:
    from ...contract import CompareMapsOfPicksConfig

REFERENCE = "reference"  # name of the reference, if it has none of its own
Picks = dict[str, tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class ComparedSets:
    """sets: {name: {micrograph: (yx (n, 2) px, scores (n,))}}, the reference first. files: {name: path}. micrographs:
    [(name, path)] that count. halves: {micrograph: 1 or 2}. reference: name of the reference, or None. notes: for the
    user."""

    sets: dict[str, Picks]
    files: dict[str, str]
    micrographs: list[tuple[str, str]]
    halves: dict[str, int]
    reference: str | None
    notes: list[str]

    def counts(self) -> dict[str, int]:
        """Picks of each set."""
        return {name: sum(len(scores) for _, scores in picks.values()) for name, picks in self.sets.items()}


def compared_sets(config: CompareMapsOfPicksConfig, named: list[tuple[str, str]]) -> ComparedSets:
    """The ComparedSets of a config. named: [(name, path)] of its micrographs.

    Raises ValueError if fewer than two micrographs have picks, and what reading the sets raises.
    """
    files = _files(config)
    reference = next(iter(files)) if config.reference else None
    names = [name for name, _ in named]
    sets = {name: align_keys(read_coordinates(path), names) for name, path in files.items()}
    counted_sets = [sets[reference]] if reference else list(sets.values())
    with_picks = [n for n in names if any(n in picks and len(picks[n][1]) for picks in counted_sets)]
    if len(with_picks) < 2:
        whose = f"the reference {config.reference}" if reference else "the sets of picks"
        have = "has" if len(with_picks) == 1 else "have"
        raise ValueError(
            f"{len(with_picks)} of the {len(named)} micrographs (--micrographs) {have} picks of {whose}; at "
            "least two are needed, because the half-sets are divided by micrographs: a particle that was picked twice "
            "must not be in both. Give more micrographs, or check that the names of the files of coordinates are "
            "those of the micrographs."
        )
    notes = lacking_in_words(sets, with_picks)
    if len(with_picks) < len(named):
        notes.append(f"{len(named) - len(with_picks)} of {len(named)} micrographs have no picks and are left out.")
    empty = (np.zeros((0, 2)), np.zeros(0))
    kept = {name: {n: picks.get(n, empty) for n in with_picks} for name, picks in sets.items()}
    totals = {n: sum(len(picks[n][1]) for picks in kept.values()) for n in with_picks}
    chosen = set(with_picks)
    micrographs = [pair for pair in named if pair[0] in chosen]
    return ComparedSets(kept, files, micrographs, halves_of_micrographs(totals), reference, notes)


def _files(config: CompareMapsOfPicksConfig) -> dict[str, str]:
    """{name: path} of all sets, the reference first."""
    if not config.reference:
        return name_sets(config.picks)
    (given, path), *_ = name_sets((config.reference,)).items()
    name = given if config.reference != path else REFERENCE
    return name_sets((f"{name}={path}", *config.picks))


def halves_of_micrographs(counts: typing.Mapping[str, int]) -> dict[str, int]:
    """1 or 2 for each micrograph, so that both halves have about as many picks; the same for all sets.

    counts: {micrograph: picks}.
    """
    totals, halves = [0, 0], {}
    for name in sorted(counts, key=lambda n: (-counts[n], n)):
        half = int(totals[1] < totals[0])
        halves[name] = half + 1
        totals[half] += counts[name]
    return halves


def drawn(picks: Picks, paths: typing.Mapping[str, str], box: int, maximum: int, seed: int) -> tuple[Picks, int]:
    """Some of the picks whose boxes lie on the micrographs, drawn at random, and how many there were.

    Parameters
    ----------
    picks : dict
        {micrograph: (yx, scores)}.
    paths : mapping
        {micrograph: path}.
    box : int
        px.
    maximum : int
        Number of picks to draw; all if there are no more.
    seed : int
    """
    usable = {
        name: np.nonzero(boxes_inside(box_corners(yx, box)[0], box, micrograph_shape(paths[name])))[0]
        for name, (yx, _) in picks.items()
    }
    every = [(name, row) for name, rows in usable.items() for row in rows.tolist()]
    if len(every) <= maximum:
        return picks, len(every)
    chosen = np.sort(np.random.default_rng(seed).choice(len(every), maximum, replace=False))
    rows: dict[str, list[int]] = {name: [] for name in picks}
    for index in chosen:
        rows[every[index][0]].append(every[index][1])
    return {name: (yx[rows[name]], scores[rows[name]]) for name, (yx, scores) in picks.items()}, len(every)


def file_names(names: typing.Sequence[str]) -> dict[str, str]:
    """{set: name of its files}: numbered, without signs that files should not have."""
    return {
        name: f"{number:02d}_" + (re.sub(r"[^\w.+-]+", "_", name).strip("_") or "set")
        for number, name in enumerate(names, 1)
    }
