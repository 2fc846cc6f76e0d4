# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of picks over many micrographs: against a reference, and against each other."""

import typing

import numpy as np

from ...core.geometry import inside
from ...core.matching import f1_score, match_picks

NOTHING = (np.zeros((0, 2)), np.zeros(0))


def within_border(
    coordinates: typing.Mapping[str, tuple[np.ndarray, np.ndarray]],
    shapes: typing.Mapping[str, tuple[int, int]] | None,
    border: float,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The same coordinates without those nearer than `border` px to the edge.

    coordinates: {micrograph: (yx, scores)}. shapes: {micrograph: (h, w)}, all that are left; None keeps everything.
    """
    if shapes is None:
        return dict(coordinates)
    kept = {}
    for name in (n for n in coordinates if n in shapes):
        yx, scores = coordinates[name]
        inner = inside(yx, shapes[name], border) if border else np.ones(len(yx), bool)
        kept[name] = yx[inner], scores[inner]
    return kept


def match_micrographs(
    picks: typing.Mapping[str, tuple[np.ndarray, np.ndarray]],
    reference: typing.Mapping[str, tuple[np.ndarray, np.ndarray]],
    names: typing.Sequence[str],
    distance: float,
) -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
    """(hit (n,) bool, scores (n,), number of reference points) of each micrograph, picks matched one to one.

    picks, reference: {micrograph: (yx, scores)}; a micrograph that one of them lacks counts as empty. distance: px.
    """
    matches = {}
    for name in names:
        yx, scores = picks.get(name, NOTHING)
        ground_truth, _ = reference.get(name, NOTHING)
        matches[name] = match_picks(yx, ground_truth, distance), scores, len(ground_truth)
    return matches


def pooled(matches: typing.Mapping[str, tuple[np.ndarray, np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray, int]:
    """The same three of all micrographs together."""
    parts = list(matches.values())
    return (np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), sum(p[2] for p in parts))


def agreement_matrix(sets: typing.Mapping[str, typing.Any], names: typing.Sequence[str], distance: float) -> np.ndarray:
    """(n, n) F1 of each pair of sets, picks matched one to one within `distance` px over the micrographs `names`.

    sets: {set: {micrograph: (yx, scores)}}. The F1 of two sets is the same whichever is taken for the reference: twice
    the pairs over all picks of both. A set without any pick agrees with nothing, itself included.
    """
    keys = list(sets)
    matrix = np.zeros((len(keys), len(keys)))
    for i, first in enumerate(keys):
        for j in range(i, len(keys)):
            hit, _, other = pooled(match_micrographs(sets[first], sets[keys[j]], names, distance))
            pairs = int(hit.sum())
            matrix[i, j] = matrix[j, i] = f1_score(pairs / max(len(hit), 1), pairs / max(other, 1))
    return matrix
