# SPDX-License-Identifier: GPL-3.0-or-later
"""False positives of segmenters in noise with the spectrum of the tomogram.

It says how often a model calls plain noise of this kind its feature. It does not say how often it takes one structure
for another: that needs labels. Where noise is called the feature too often, the boundary of the feature is raised.
"""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch

from .combine import MINIMUM, combined_scores

if typing.TYPE_CHECKING:
    from .combine import CombinedFeature
    from .predict import TomogramScores
    from .slabs import SlabGrid

BLOCKS, SIDE = 5, 192  # blocks spread over the tomogram; their side in working px, at most
DEPTH = 24  # working slices of a block that are answered, at most
PART = 1 / 3  # of what is found: as much may be found in noise, whose spectrum is also that of what is found
STEP, FARTHEST = 0.01, 20.0  # log odds of scores above a feature's threshold: how finely, and how far they are counted


@dataclasses.dataclass(frozen=True)
class NoiseAnswer:
    """How many voxels reach which score.

    Attributes
    ----------
    noise, tomogram : array (n,) int
        Voxels of noise, and of the blocks that it was made of, whose log odds are so many STEPs or more above those of
        the threshold, for 0, 1, ... STEPs.
    voxels : int
        How many were looked at.
    threshold : float
        Of the feature.
    """

    noise: np.ndarray
    tomogram: np.ndarray
    voxels: int
    threshold: float

    @classmethod
    def none(cls, threshold: float) -> NoiseAnswer:
        """Before anything was seen."""
        empty = np.zeros(round(FARTHEST / STEP) + 1, np.int64)
        return cls(empty, empty, 0, threshold)

    def with_scores(self, noise: torch.Tensor, tomogram: torch.Tensor) -> NoiseAnswer:
        """These voxels added: two tensors (m,) of scores."""
        counts = [_counts(scores, self.threshold, len(self.noise)) for scores in (noise, tomogram)]
        return NoiseAnswer(self.noise + counts[0], self.tomogram + counts[1], self.voxels + len(noise), self.threshold)

    def raised(self, limit: float | None) -> int:
        """STEPs that the boundary must be raised by, so that no larger part of the noise than `limit` reaches it; 0
        where the noise has no more than that, or than PART of what is found in the tomogram. None: no limit."""
        if limit is None:
            return 0
        if self.noise[0] <= max(limit * self.voxels, PART * self.tomogram[0]):
            return 0
        return int(np.flatnonzero(self.noise <= limit * self.voxels)[0])

    def parts(self, limit: float | None) -> dict[str, float]:
        """As SegmentOutputs.noise holds it, at the boundary that the limit gives."""
        steps = self.raised(limit)
        part = lambda counts: float(counts[steps] / self.voxels)
        parts = dict(noise=part(self.noise), tomogram=part(self.tomogram), voxels=self.voxels)
        if steps:
            parts.update(
                raised=steps * STEP,
                boundary=1 / (1 + float(np.exp(-steps * STEP - _odds(self.threshold)))),
                noise_before=float(self.noise[0] / self.voxels),
            )
        return parts


def _odds(score: float) -> float:
    return float(np.log(score / (1 - score)))


def _counts(scores: torch.Tensor, threshold: float, steps: int) -> np.ndarray:
    """(steps,) scores that are 0, 1, ... STEPs or more above the threshold in log odds."""
    above = scores[scores >= threshold]
    positions = ((torch.logit(above, MINIMUM) - _odds(threshold)) / STEP).floor().clamp(0, steps - 2).long()
    return torch.bincount(positions, minlength=steps).flip(0).cumsum(0).flip(0).numpy()


def lowered(scores: torch.Tensor, raised: float) -> torch.Tensor:
    """Scores whose boundary was raised by so many log odds: what lay there has the threshold now."""
    return (torch.logit(scores, MINIMUM) - raised).sigmoid_() if raised else scores


def noise_answers(found: TomogramScores, features: typing.Sequence[CombinedFeature]) -> dict[str, NoiseAnswer]:
    """The NoiseAnswer of each feature to noise made of some blocks of the tomogram, and to these blocks themselves.

    found: predict.TomogramScores. features: combine.Features whose scores are looked at.
    """
    totals = {feature.name: NoiseAnswer.none(feature.threshold) for feature in features}
    for position in _positions(found.grids[0].shape):
        answers = {}
        for number, grid in enumerate(found.grids):
            slab = found.slab(number, *_ranges(position, grid))
            noise = same_spectrum(slab, np.random.default_rng(number))
            for member in grid.members:
                more = grid.context - found.segmenters[member].context
                part = slice(more, len(slab) - more)
                scores = [found.segmenters[member].scores(block[part]).flatten() for block in (noise, slab)]
                answers[member] = torch.stack(scores)
        for feature in features:
            smallest = min(answers[m].shape[1] for m in feature.models)
            together = combined_scores(torch.stack([answers[m][:, :smallest] for m in feature.models]))
            totals[feature.name] = totals[feature.name].with_scores(together[0], together[1])
    return totals


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


def _positions(shape: tuple[int, ...]) -> list[tuple[float, float, float]]:
    """Middles of the blocks, as parts (z, y, x) of the tomogram: the middle one, and some around it."""
    around = [(0.5, 0.3, 0.3), (0.5, 0.3, 0.7), (0.5, 0.7, 0.3), (0.5, 0.7, 0.7)]
    return [(0.5, 0.5, 0.5), *around][: BLOCKS if max(shape[1:]) > SIDE else 1]


def _ranges(position: tuple[float, ...], grid: SlabGrid) -> list[tuple[int, int]]:
    """Working slices, rows and columns of a block, three (start, stop)."""
    ranges = []
    for part, size, maximum in zip(position, grid.working, (DEPTH, SIDE, SIDE)):
        length = min(size, maximum)
        start = int(np.clip(round(part * size - length / 2), 0, size - length))
        ranges.append((start, start + length))
    return ranges
