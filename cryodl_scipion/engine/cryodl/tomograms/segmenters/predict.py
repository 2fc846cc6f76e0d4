# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of a tomogram by some segmenters, slice by slice on the tomogram's own grid.

No seam shows: a tile sees `overlap` px beyond what is kept of it, slabs see the slices that the network needs, groups
of slices and tiles lie where they would lie in the whole volume, and parts are resampled exactly as the whole would be.
The result is the same however the volume is cut (a test compares).
Scores of segmenters in noise with the spectrum of the tomogram, and the boundary of a feature that follows.
How high a model scores its feature depends on contrast, noise and defocus, and the boundary of the highest Dice moves
with it: by SLOPE times the mean log odds of what is found. The card of a shipped model says at which mean it stays, and
how far it may move; simulated tomograms of two generators gave these numbers (see docs/how_tomograms.md). Noise of the
tomogram's own spectrum holds it back: it says how often a model calls plain noise its feature, not how often it takes
one structure for another, which would need labels."""

import dataclasses
import typing

import numpy as np
import torch
from scipy.fft import dctn, idctn

from ...core.tiles import resized_image
from ...io.memory import give_back_freed_memory
from ...io.tomograms import Tomogram, mirrored
from ...learning.inference import with_less_memory
from ..features.scores import log_odds
from .combine import MINIMUM, CombinedFeature, combined_scores
from .slabs import Segmenter, SlabGrid, choose_plan, grids_of, joined_segmenters
from .working_scale import grey_statistics, needed_range, resample_part, skewness

# zyx of the blocks that are compared, parts of the tomogram: at several heights, as a tube lies in a few slices only
PLACES = (0.5, 0.5, 0.5), (0.2, 0.3, 0.3), (0.8, 0.3, 0.7), (0.65, 0.7, 0.3), (0.35, 0.7, 0.7)
SIDE, DEPTH = 192, 24  # working px across a block, and working slices of it that are answered, at most
STEP, LOWEST, HIGHEST = 0.05, -7.0, 10.0  # log odds, from the feature's threshold, that scores are counted at
SLOPE = 2.0  # of the boundary over the mean of what is found
SOME = 0.0005  # of the voxels that must be found before a boundary moves
MINGLED = 0.3  # voxels of noise for each that is found above which a boundary is not lowered
ZERO = round(-LOWEST / STEP)


@dataclasses.dataclass(frozen=True)
class NoiseAnswer:
    """How many voxels reach which score. noise, tomogram: (n,) int, voxels of noise, and of the blocks that it was made
    of, whose log odds are above those of the threshold by LOWEST or more, by LOWEST + STEP or more, .... voxels: How
    many were looked at. threshold: Of the feature."""

    noise: np.ndarray
    tomogram: np.ndarray
    voxels: int
    threshold: float

    @classmethod
    def none(cls, threshold: float) -> "NoiseAnswer":
        """Before anything was seen."""
        empty = np.zeros(round((HIGHEST - LOWEST) / STEP) + 1, np.int64)
        return cls(empty, empty, 0, threshold)

    def with_scores(self, noise: torch.Tensor, tomogram: torch.Tensor) -> "NoiseAnswer":
        """These voxels added: two tensors (m,) of scores."""
        counts = [_counts(scores, self.threshold, len(self.noise)) for scores in (noise, tomogram)]
        seen = self.voxels + len(noise)
        return dataclasses.replace(self, noise=self.noise + counts[0], tomogram=self.tomogram + counts[1], voxels=seen)

    def raised(self, rule: tuple[float, float, float] | None) -> float:
        """Log odds by which the boundary is raised, or lowered if negative. rule: mean log odds of what is found, from
        the threshold, at which it stays; how far it moves, at least and at most; 0 if little is found."""
        found = self.tomogram[ZERO]
        if rule is None or found < max(1, SOME * self.voxels):
            return 0.0
        level, least, most = rule
        moved = float(np.clip(SLOPE * (STEP * self.tomogram[ZERO:].sum() / found - level), least, most))
        return max(moved, 0.0) if self.noise[ZERO] > MINGLED * found else moved

    def parts(self, rule: tuple[float, float, float] | None) -> dict[str, float]:
        """As SegmentOutputs.noise holds it, at the boundary that follows. rule: as of raised."""
        raised = self.raised(rule)
        part = lambda counts: float(counts[ZERO + round(raised / STEP)] / self.voxels)
        parts = dict(noise=part(self.noise), tomogram=part(self.tomogram), voxels=self.voxels)
        if raised:
            parts.update(raised=raised, boundary=1 / (1 + float(np.exp(-raised - log_odds(self.threshold)))))
        return parts


def _counts(scores: torch.Tensor, threshold: float, steps: int) -> np.ndarray:
    """(steps,) scores that are LOWEST, LOWEST + STEP, ... or more above the threshold in log odds."""
    positions = ((torch.logit(scores, MINIMUM) - float(log_odds(threshold)) - LOWEST) / STEP + 1e-4).floor()
    positions = positions.clamp(0, steps - 2).long()
    return torch.bincount(positions, minlength=steps).flip(0).cumsum(0).flip(0).numpy()


def lowered(scores: torch.Tensor, raised: float) -> torch.Tensor:
    """Scores whose boundary was raised by so many log odds: what lay there has the threshold now."""
    return (torch.logit(scores, MINIMUM) - raised).sigmoid_() if raised else scores


def noise_answers(found: "TomogramScores", features: typing.Sequence[CombinedFeature]) -> dict[str, NoiseAnswer]:
    """The NoiseAnswer of each feature to noise made of some blocks of the tomogram, and to these blocks themselves.
    features: combine.Features whose scores are looked at."""
    totals = {feature.name: NoiseAnswer.none(feature.threshold) for feature in features}
    for position in _positions(found.grids[0]):
        answers = _block_answers(found, position)
        for feature in features:
            flat = [answers[m].flatten(1) for m in feature.models]
            smallest = min(scores.shape[1] for scores in flat)
            together = combined_scores(torch.stack([scores[:, :smallest] for scores in flat]))
            totals[feature.name] = totals[feature.name].with_scores(together[0], together[1])
    return totals


def _block_answers(found: "TomogramScores", position: tuple[float, ...]) -> dict[int, torch.Tensor]:
    """For each model, (2, z, y, x) scores of noise made of a block, and of the block."""
    answers = dict[int, torch.Tensor]()
    for number, grid in enumerate(found.grids):
        slab = found.slab(number, *_ranges(position, grid))
        noise = same_spectrum(slab, np.random.default_rng(number))
        for members, segmenter in found.together:
            if members[0] in grid.members:
                more = grid.context - segmenter.context
                scores = torch.stack([segmenter.scores(block[more : len(slab) - more]) for block in (noise, slab)])
                answers.update(zip(members, scores.unbind(1) if len(members) > 1 else [scores]))
    return answers


def block_skewness(found: "TomogramScores") -> float:
    """Mean skewness of the grey values of these blocks."""
    grid = found.grids[0]
    return float(np.mean([skewness(found.slab(0, *_ranges(p, grid))) for p in _positions(grid)]))


def same_spectrum(block: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Noise of a block's size and spectrum: the cosines that it is a sum of, each with a sign drawn anew. The cosines
    go on evenly beyond the borders, where sines and cosines of the block would jump."""
    values = dctn(block.numpy().astype(np.float32), norm="ortho")
    signs = rng.integers(0, 2, values.shape, dtype=np.int8) * 2 - 1
    signs[0, 0, 0] = 1  # the mean stays
    return torch.from_numpy(idctn(values * signs, norm="ortho").astype(np.float32))


def _positions(grid: SlabGrid) -> list[tuple[float, ...]]:
    """Those of PLACES whose blocks differ: a block may hold the whole of a small tomogram."""
    return list({tuple(_ranges(place, grid)): place for place in PLACES}.values())


def _ranges(position: tuple[float, ...], grid: SlabGrid) -> list[tuple[int, int]]:
    lengths = np.minimum(grid.working, (DEPTH, SIDE, SIDE))
    starts = np.clip(np.round(position * np.array(grid.working) - lengths / 2), 0, grid.working - lengths).astype(int)
    return list(zip(starts.tolist(), (starts + lengths).tolist()))


class TomogramScores:
    """Scores of one tomogram. pixel_size: Å/px to take for it. memory: GB. notes: what had to be changed on the
    way. Raises ValueError for a tomogram in which nothing can be found, or that is read to be damaged."""

    def __init__(
        self, tomogram: Tomogram, pixel_size: float, segmenters: typing.Sequence[Segmenter], memory: float
    ) -> None:
        self.tomogram, self.segmenters, self.memory, self.notes = tomogram, segmenters, memory, list[str]()
        self.together = joined_segmenters(segmenters)
        self.grids = grids_of(tomogram.shape, pixel_size, segmenters)
        self.statistics = [grey_statistics(tomogram, grid.factor, flat=True) for grid in self.grids]
        # of each grid {working slice: (members, y, x) float16}, in groups that free their memory when they are done
        self._waiting = [dict[int, torch.Tensor]() for _ in self.grids]
        self.plan = choose_plan(self.grids, self.memory)
        if self.plan.memory > self.memory:
            self.notes.append(
                f"{self.tomogram.path}: its slices and the networks need {self.plan.memory:.2g} GB; this is used, "
                f"although the limit is {self.memory:g} GB."
            )

    def slabs(self, first: int = 0) -> typing.Iterator[typing.Any]:
        """For each slab from slice `first` on: (start, stop, slices), where slices yields (number, (models, y, x)
        float32 scores) of every slice. Each slab is computed when its turn comes."""
        for start, stop in self.plan.slabs(self.tomogram.shape[0], first):
            for number in range(len(self.grids)):
                self._compute(number, *self.grids[number].needed(start, stop))
            yield start, stop, ((z, self._slice(z)) for z in range(start, stop))

    def _compute(self, number: int, start: int, stop: int) -> None:
        give_back_freed_memory()
        start, stop = self.grids[number].grouped(start, stop)
        waiting = {z: scores for z, scores in self._waiting[number].items() if z >= start}
        self._waiting[number], start = waiting, max([start, *(z + 1 for z in waiting)])
        if start < stop:  # out of memory, smaller tiles are taken
            new = with_less_memory(lambda: self._tiled(number, start, stop), self._halve_memory)
            waiting.update(zip(range(start, stop), new))

    def _halve_memory(self) -> bool:
        if self.memory < 0.1:
            return False
        self.memory /= 2
        self.plan = type(self.plan)(self.plan.thickness, choose_plan(self.grids, self.memory).tiles, self.memory)
        self.notes.append(f"There was not enough memory; half of the memory limit ({self.memory:.2g} GB) is used.")
        return True

    def _tiled(self, number: int, start: int, stop: int) -> list[torch.Tensor]:
        grid = self.grids[number]
        _, height, width = grid.working
        shape = grid.slices, len(grid.members), height, width
        result = [one for _ in range(start, stop, grid.slices) for one in torch.empty(shape, dtype=torch.float16)]
        rows, columns = grid.spans(self.plan.tiles[number])
        for y0, y1, keep_y0, keep_y1 in rows:
            for x0, x1, keep_x0, keep_x1 in columns:
                slab = self.slab(number, (start, stop), (y0, min(y1, height)), (x0, min(x1, width)))
                kept = slice(keep_y0 - y0, keep_y1 - y0), slice(keep_x0 - x0, keep_x1 - x0)
                for members, segmenter in self.together:
                    if members[0] not in grid.members:
                        continue
                    more = grid.context - segmenter.context
                    scores = segmenter.scores(slab[more : len(slab) - more])
                    for member, one in zip(members, scores if len(members) > 1 else [scores]):
                        for scored, values in zip(result, one[:, *kept]):
                            scored[grid.members.index(member), keep_y0:keep_y1, keep_x0:keep_x1] = values
        return result

    def slab(self, number: int, zs: tuple[int, int], ys: tuple[int, int], xs: tuple[int, int]) -> torch.Tensor:
        """Normalised (z + 2 * context, y, x) float32 tensor of a part of the working grid; beyond the first and the
        last slice the tomogram is mirrored. zs, ys, xs: (start, stop)."""
        grid = self.grids[number]
        positions = mirrored(zs[0] - grid.context, zs[1] + grid.context, grid.working[0])
        ranges = [(int(positions.min()), int(positions.max()) + 1), ys, xs]
        grey = self.statistics[number]  # of the whole tomogram, so that all slabs agree
        slab = grey.normalised(grey.read(self.tomogram, ranges, grid.working))
        return slab if len(positions) == len(slab) else slab[torch.from_numpy(positions - ranges[0][0])]

    def _slice(self, z: int) -> torch.Tensor:
        """(models, y, x) float32 scores of a slice of the tomogram, in the order of the models."""
        scores = dict[int, torch.Tensor]()
        for grid, waiting in zip(self.grids, self._waiting):
            start, stop = needed_range(z, z + 1, grid.working[0], grid.shape[0])
            for k, member in enumerate(grid.members):  # one by one, for the memory of their copies
                scores[member] = _back_on_grid([waiting[at][k] for at in range(start, stop)], start, z, grid)
        return torch.stack([scores[k] for k in range(len(self.segmenters))])


def _back_on_grid(waiting: list[torch.Tensor], start: int, z: int, grid: typing.Any) -> torch.Tensor:
    """(y, x) scores of the tomogram's slice z, of the working slices (y, x) from `start` on, between which it lies."""
    height, width = grid.working[1:]
    found = resample_part(
        torch.stack(waiting).float(),
        (start, 0, 0),
        grid.working,
        (grid.shape[0], height, width),
        [(z, z + 1), (0, height), (0, width)],
    )
    # interpolate follows the same rule as resample, and is much quicker for whole planes
    return resized_image(found[0], grid.shape[1:]).clamp_(0, 1)
