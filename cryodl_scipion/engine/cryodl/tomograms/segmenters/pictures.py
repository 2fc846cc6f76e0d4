# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiles of a training as a picture: the slice, what was drawn, and the scores."""

from __future__ import annotations

import os
import typing

import numpy as np

from ...io.files import evenly_spaced
from ...io.plots import new_figure, save_figure
from .train import middle_slice

if typing.TYPE_CHECKING:
    from .examples import Example
    from .train import SegmenterTask

SHOWN, PER_ROW = 12, 3
COLUMNS = ("slice", "drawing", "score")
NOT_KNOWN = (0.55, 0.55, 0.75)
GAP = 4  # px between pictures


def draw_tiles(
    task: SegmenterTask,
    examples: typing.Sequence[Example],
    score: typing.Callable[[np.ndarray], np.ndarray],
    path: str | os.PathLike[str],
) -> None:
    """A PNG of some examples side by side, those with the feature first.

    task: SegmenterTask. score: function that makes scores in [0, 1] of raw ones. What nobody annotated is bluish in the
    drawings.
    """
    kinds = [[e for e in examples if e.positive is kind] for kind in (True, False)]
    with_feature = evenly_spaced(kinds[0], SHOWN - min(SHOWN // 4, len(kinds[1])))
    chosen = with_feature + evenly_spaced(kinds[1], SHOWN - len(with_feature))
    triplets = [_triplet(e, score(raw.numpy())) for e, raw in zip(chosen, task.answers(chosen))]
    rows = [triplets[start : start + PER_ROW] for start in range(0, len(triplets), PER_ROW)]
    height, width = triplets[0].shape[:2]
    picture = np.ones((len(rows) * (height + GAP), min(PER_ROW, len(triplets)) * (width + 3 * GAP), 3))
    for number, row in enumerate(rows):
        for position, triplet in enumerate(row):
            top, left = number * (height + GAP), position * (width + 3 * GAP)
            picture[top : top + height, left : left + width] = triplet
    figure, axes = new_figure(1, 1, (picture.shape[1] / 80, picture.shape[0] / 80 + 0.3))
    axis = np.ravel(axes)[0]
    axis.set_axis_off()
    axis.imshow(picture, interpolation="nearest")
    for position in range(min(PER_ROW, len(triplets)) * len(COLUMNS)):
        middle = position // 3 * (width + 3 * GAP) + (position % 3 + 0.5) * width / 3
        axis.text(middle, -GAP, COLUMNS[position % 3], ha="center", va="bottom", fontsize=9)
    save_figure(figure, path)


def _triplet(example: Example, scores: np.ndarray) -> np.ndarray:
    """(s, 3 s + 2 GAP, 3) picture in [0, 1] of an example: slice, drawing, score; their first row is the last."""
    from matplotlib import colormaps

    image = example.image[len(example.image) // 2].float().numpy()
    target, labelled = (part.numpy() for part in middle_slice(example))
    low, high = np.percentile(image, (1, 99))
    grey = np.clip((image - low) / max(high - low, 1e-6), 0, 1)[..., None].repeat(3, -1)
    drawing = np.where(labelled[..., None], target[..., None].repeat(3, -1), NOT_KNOWN)
    gap = np.ones((len(image), GAP, 3))
    return np.concatenate([grey, gap, drawing, gap, colormaps["magma"](scores)[..., :3]], 1)[::-1]
