# SPDX-License-Identifier: GPL-3.0-or-later
"""What segmenters find where nothing is: in noise with the spectrum of the tomogram that is segmented.

It says how often a model calls plain noise of this kind its feature. It does not say how often it takes one structure
for another: that needs labels.
"""

from __future__ import annotations

import typing

import numpy as np
import torch

if typing.TYPE_CHECKING:
    from .combine import Feature
    from .predict import TomogramScores
    from .slabs import Grid

BLOCKS, SIDE = 5, 192  # blocks spread over the tomogram; their side in working px, at most
DEPTH = 24  # working slices of a block that are answered, at most


def noise_fractions(found: TomogramScores, features: typing.Sequence[Feature]) -> dict[str, dict[str, float]]:
    """{name: dict(noise, tomogram, voxels)}: part of the voxels that reach a feature's threshold in noise made of some
    blocks of the tomogram, and in these blocks themselves; voxels: how many were looked at.

    found: predict.TomogramScores. features: combine.Features whose scores are looked at.
    """
    from .combine import combined_scores

    totals = {feature.name: np.zeros(3) for feature in features}
    for place in _places(found.grids[0].shape):
        answers = {}
        for number, grid in enumerate(found.grids):
            slab = found.slab(number, *_ranges(place, grid))
            noise = same_spectrum(slab, np.random.default_rng(number))
            for member in grid.members:
                more = grid.context - found.segmenters[member].context
                part = slice(more, len(slab) - more)
                scores = [found.segmenters[member].scores(block[part]).flatten() for block in (noise, slab)]
                answers[member] = torch.stack(scores)
        for feature in features:
            smallest = min(answers[m].shape[1] for m in feature.models)
            together = combined_scores(torch.stack([answers[m][:, :smallest] for m in feature.models]))
            above = (together >= feature.threshold).sum(dim=1).tolist()
            totals[feature.name] += (*above, smallest)
    return {
        name: dict(noise=above[0] / above[2], tomogram=above[1] / above[2], voxels=int(above[2]))
        for name, above in totals.items()
    }


def same_spectrum(block: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Noise of a block's size and spectrum: the cosines that it is a sum of, each with a sign drawn anew.

    The cosines go on evenly beyond the borders, where sines and cosines of the block would jump. block: (z, y, x)
    tensor. rng: numpy Generator.
    """
    from scipy.fft import dctn, idctn

    values = dctn(block.numpy().astype(np.float32), norm="ortho")
    signs = rng.integers(0, 2, values.shape, dtype=np.int8) * 2 - 1
    signs[0, 0, 0] = 1  # the mean stays
    return torch.from_numpy(idctn(values * signs, norm="ortho").astype(np.float32))


def _places(shape: tuple[int, ...]) -> list[tuple[float, float, float]]:
    """Middles of the blocks, as parts (z, y, x) of the tomogram: the middle one, and some around it."""
    around = [(0.5, 0.3, 0.3), (0.5, 0.3, 0.7), (0.5, 0.7, 0.3), (0.5, 0.7, 0.7)]
    return [(0.5, 0.5, 0.5), *around][: BLOCKS if max(shape[1:]) > SIDE else 1]


def _ranges(place: tuple[float, ...], grid: Grid) -> list[tuple[int, int]]:
    """Working slices, rows and columns of a block, three (start, stop)."""
    ranges = []
    for part, size, most in zip(place, grid.working, (DEPTH, SIDE, SIDE)):
        length = min(size, most)
        start = int(np.clip(round(part * size - length / 2), 0, size - length))
        ranges.append((start, start + length))
    return ranges
