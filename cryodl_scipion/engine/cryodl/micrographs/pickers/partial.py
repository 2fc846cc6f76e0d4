# SPDX-License-Identifier: GPL-3.0-or-later
"""Real sets with incomplete published labels: which areas a general model may learn from.

Taught as background, the unmarked particles of such a set teach that faint particles are specks of dirt. So a model
that never saw the set's marks looks at it first. Unmarked places that it scores like the marked ones teach nothing; the
rest is background. This holds if the marked particles are a fair sample of all (selected completely at random; Elkan &
Noto 2008, Learning classifiers from only positive and unlabeled data).
"""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from .train import MATCH_RADII

if typing.TYPE_CHECKING:
    from .crops import LabelledImage
    from .predict import Picker

MISSED = 0.4  # of the marked particles score lower than an unmarked position that teaches nothing


def spare_unmarked(images: typing.Sequence[LabelledImage], picker: Picker, distance: float) -> list[LabelledImage]:
    """Images of one real set without the unmarked positions that may be particles.

    Parameters
    ----------
    images : sequence of LabelledImage
        With complete labels and all at one scale.
    picker : Picker
        The model that the training continues from.
    distance : float, diameters
        Between two candidates.

    Returns
    -------
    list of LabelledImage
        Circles of a particle's width around these places are not allowed. Marks with a candidate within half the radius
        are moved there, as published centres scatter.
    """
    own = [picker.method.working_diameter * (im.size or 1.0) for im in images]
    found = [picker.candidates_prepared(im, distance * wide) for im, wide in zip(images, own)]
    looks = [_matched(im.positives, *one, MATCH_RADII * wide / 2) for im, one, wide in zip(images, found, own)]
    marked = np.concatenate([np.zeros(0), *(look.mark_scores for look in looks)])
    limit = float(np.quantile(marked, MISSED)) if len(marked) else 1.0
    spared = []
    for image, (yx, scores), look, wide in zip(images, found, looks, own):
        unmarked = yx[~look.taken & (scores >= limit)]
        allowed = ~_circles(unmarked, look.marks, wide / 2, image.image.shape)
        allowed = allowed if image.allowed is None else allowed & image.allowed
        spared.append(dataclasses.replace(image, positives=look.marks, allowed=allowed))
    return spared


class _Matched(typing.NamedTuple):
    """marks (n, 2) yx, moved to their candidates; mark_scores (n,), 0 where there is no candidate; taken (m,): which
    candidates are marked."""

    marks: np.ndarray
    mark_scores: np.ndarray
    taken: np.ndarray


def _matched(marks: np.ndarray, yx: np.ndarray, scores: np.ndarray, reach: float) -> _Matched:
    moved, mark_scores, taken = marks.copy(), np.zeros(len(marks)), np.zeros(len(yx), bool)
    if len(marks) and len(yx):
        apart, nearest = cKDTree(yx).query(marks)
        near = apart < reach
        moved[near], mark_scores[near] = yx[nearest[near]], scores[nearest[near]]
        taken = cKDTree(marks).query(yx)[0] < reach
    return _Matched(moved, mark_scores, taken)


def _circles(centres: np.ndarray, marks: np.ndarray, radius: float, shape: tuple[int, ...]) -> torch.Tensor:
    """(h, w) bool: within `radius` of a centre, and nearer to it than to any mark."""
    from_centre, from_mark = (_nearest(points, shape) for points in (centres, marks))
    return torch.from_numpy((from_centre < radius) & (from_centre < from_mark))


def _nearest(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(h, w) px to the nearest of points (n, 2); infinite where there is none."""
    if not len(points):
        return np.full(shape, np.inf)
    empty = np.ones(shape, bool)
    empty[tuple(np.clip(np.rint(points).astype(int), 0, np.array(shape) - 1).T)] = False
    return distance_transform_edt(empty)
