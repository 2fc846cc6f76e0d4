# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of segmenters in noise with the spectrum of the tomogram, and the boundary of a feature that follows.

How high a model scores its feature depends on contrast, noise and defocus. Noise of the tomogram's own spectrum shows
which scores mean nothing in it: from where noise makes up less than SHARE of the scores, voxels are taken for the
feature. This says how often a model calls plain noise its feature, not how often it takes one structure for another,
which would need labels; so the boundary stays within the range that the model's card gives (see docs/tomograms.md).
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
STEP, LOWEST, HIGHEST = 0.05, -7.0, 10.0  # log odds, from the feature's threshold, that scores are counted at
SHARE = 0.4  # of the scores about the boundary may be those of noise, which has the power of what is found, too
WIDTH, FEW = 20, 100  # STEPs that are "about the boundary", and the fewest voxels that tell something there
ZERO = round(-LOWEST / STEP)


@dataclasses.dataclass(frozen=True)
class NoiseAnswer:
    """How many voxels reach which score.

    Attributes
    ----------
    noise, tomogram : array (n,) int
        Voxels of noise, and of the blocks that it was made of, whose log odds are above those of the threshold by
        LOWEST or more, by LOWEST + STEP or more, ...
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
        empty = np.zeros(round((HIGHEST - LOWEST) / STEP) + 1, np.int64)
        return cls(empty, empty, 0, threshold)

    def with_scores(self, noise: torch.Tensor, tomogram: torch.Tensor) -> NoiseAnswer:
        """These voxels added: two tensors (m,) of scores."""
        counts = [_counts(scores, self.threshold, len(self.noise)) for scores in (noise, tomogram)]
        return NoiseAnswer(self.noise + counts[0], self.tomogram + counts[1], self.voxels + len(noise), self.threshold)

    def raised(self, between: tuple[float, float] | None) -> float:
        """Log odds by which the boundary is raised, or lowered if negative: to the lowest scores of which noise makes
        up no more than SHARE. between: how far at least and at most; None: 0, as where there are no such scores."""
        if between is None:
            return 0.0
        noise, found = (counts[:-WIDTH] - counts[WIDTH:] for counts in (self.noise, self.tomogram))
        middles = LOWEST + STEP * (np.arange(len(found)) + WIDTH / 2)
        real = middles[(noise <= SHARE * found) & (found >= FEW) & (middles >= between[0] - STEP / 2)]
        return float(np.clip(real[0], *between)) if len(real) else 0.0

    def parts(self, between: tuple[float, float] | None) -> dict[str, float]:
        """As SegmentOutputs.noise holds it, at the boundary that follows. between: as of raised."""
        raised = self.raised(between)
        part = lambda counts: float(counts[ZERO + round(raised / STEP)] / self.voxels)
        parts = dict(noise=part(self.noise), tomogram=part(self.tomogram), voxels=self.voxels)
        if raised:
            parts.update(raised=raised, boundary=1 / (1 + float(np.exp(-raised - _odds(self.threshold)))))
        return parts


def _odds(score: float) -> float:
    return float(np.log(score / (1 - score)))


def _counts(scores: torch.Tensor, threshold: float, steps: int) -> np.ndarray:
    """(steps,) scores that are LOWEST, LOWEST + STEP, ... or more above the threshold in log odds."""
    positions = ((torch.logit(scores, MINIMUM) - _odds(threshold) - LOWEST) / STEP + 1e-4).floor()
    positions = positions.clamp(0, steps - 2).long()
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
