# SPDX-License-Identifier: GPL-3.0-or-later
"""Competitive merging (Chen et al., Nature Methods 2017): each voxel goes to the feature that is most sure of it."""

from __future__ import annotations

import typing

import numpy as np

from .blocks import halo_blocks, widened
from .scores import log_odds

if typing.TYPE_CHECKING:
    from .scores import FeatureScores

BYTES = 36  # per voxel of a part: scores, smoothed scores, the best so far, positions above the threshold
TRUNCATE = 4.0  # standard deviations that the Gaussian reaches


def merged_slabs(
    sources: typing.Sequence[FeatureScores],
    thresholds: typing.Sequence[float],
    sigma: float,
    competitive: bool,
    memory: float,
) -> typing.Iterator[tuple[int, np.ndarray]]:
    """Yields (z, (n, y, x) int8 labels) of one tomogram, in the order of z. Label i + 1 is the i-th source.

    A feature can have a voxel if its score reaches its threshold. Of several the one whose log odds are farthest above
    those of its threshold has it, so that networks with other thresholds compare; on a tie the earlier one. If not
    competitive, the last one has it. The same whatever the memory.
    sources: list of FeatureScores of one shape. thresholds: of each. sigma: voxels of the Gaussian that scores are
    smoothed by. memory: GB.
    """
    shape, halo = sources[0].shape, int(TRUNCATE * sigma + 0.5)
    for z_part, y_parts in halo_blocks(shape, BYTES, memory, halo):
        labels = np.zeros((z_part[1] - z_part[0], *shape[1:]), np.int8)
        for y_part in y_parts:
            labels[:, slice(*y_part)] = _merge_block(sources, thresholds, sigma, competitive, (z_part, y_part), halo)
        yield z_part[0], labels


def _merge_block(
    sources: typing.Sequence[FeatureScores],
    thresholds: typing.Sequence[float],
    sigma: float,
    competitive: bool,
    part: typing.Any,
    halo: int,
) -> np.ndarray:
    """(z, y, x) int8 labels of the part ((z, z), (y, y)), whole in x."""
    shape = sources[0].shape
    ranges, core = zip(*(widened(p, halo, length) for p, length in zip(part, shape)))
    size = [stop - start for start, stop in part] + [shape[2]]
    labels, best = np.zeros(size, np.int8), np.full(size, -1, np.float32)
    for label, (source, threshold) in enumerate(zip(sources, thresholds), 1):
        scores = source.read(*ranges)
        if sigma:
            from scipy.ndimage import gaussian_filter

            scores = gaussian_filter(scores, sigma, mode="nearest", truncate=TRUNCATE)[core]
        positions = np.flatnonzero(scores >= threshold)
        if competitive:
            surplus = log_odds(scores.reshape(-1)[positions]) - log_odds(float(np.float32(threshold)))
            wins = surplus > best.reshape(-1)[positions]
            positions = positions[wins]
            best.reshape(-1)[positions] = surplus[wins]
        labels.reshape(-1)[positions] = label
    return labels
