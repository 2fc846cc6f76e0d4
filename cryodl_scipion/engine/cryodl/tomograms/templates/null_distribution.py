# SPDX-License-Identifier: GPL-3.0-or-later
"""Distribution of the highest scores in noise: an extreme-value distribution, fitted to the maxima of blocks."""

from __future__ import annotations

import dataclasses
import math
import typing

import numpy as np
import torch

EULER = 0.5772156649015329
FEWEST_BLOCKS = 8


@dataclasses.dataclass(frozen=True)
class NullDistribution:
    """A Gumbel distribution of the highest score in a block of noise.

    location, scale: of the distribution. block: voxels of a block. seen: number of blocks it was fitted to.
    """

    location: float
    scale: float
    block: float
    seen: int

    def expected(self, threshold: float, voxels: float) -> float:
        """Blocks of a volume of noise whose highest score reaches a threshold, on average."""
        reach = math.exp(min(-(threshold - self.location) / self.scale, 700.0))
        return voxels / self.block * -math.expm1(-reach)

    def threshold(self, wanted: float, voxels: float) -> float:
        """The score that so many blocks of a volume of noise reach on average."""
        part = min(wanted * self.block / voxels, 0.5)
        return self.location - self.scale * math.log(-math.log1p(-part))


def block_maxima(scores: torch.Tensor, side: int) -> np.ndarray:
    """(n,) highest values of the whole blocks of a volume. side: voxels."""
    blocks = [max(1, n // side) for n in scores.shape]
    sides = [n // b for n, b in zip(scores.shape, blocks)]
    cut = scores[tuple(slice(0, b * s) for b, s in zip(blocks, sides))]
    shape = [v for b, s in zip(blocks, sides) for v in (b, s)]
    return cut.reshape(shape).amax(dim=(1, 3, 5)).flatten().double().cpu().numpy()


def fit_null(maxima: typing.Sequence[np.ndarray], block: float) -> NullDistribution:
    """NullDistribution by the mean and the standard deviation of maxima of blocks. Raises ValueError for too few."""
    values = np.concatenate(list(maxima)) if len(maxima) else np.zeros(0)
    if len(values) < FEWEST_BLOCKS:
        raise ValueError(
            f"The control has only {len(values)} blocks of noise, too few to estimate the scores of noise; "
            f"{FEWEST_BLOCKS} are needed. Give a larger --control, or a larger tomogram."
        )
    scale = max(float(values.std(ddof=1)) * math.sqrt(6) / math.pi, 1e-6)
    return NullDistribution(float(values.mean()) - EULER * scale, scale, block, len(values))
