# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of a tomogram by some segmenters, slice by slice on the tomogram's own grid.

No seam shows: a tile sees `overlap` px beyond what is kept of it, slabs see the slices that the network needs, groups
of slices and tiles lie where they would lie in the whole volume, and parts are resampled exactly as the whole would be.
The result is the same however the volume is cut (a test compares).
"""

from __future__ import annotations

import typing

import numpy as np
import torch
import torch.nn.functional as F

from ...learning.inference import with_less_memory
from .resample import needed_range, resample_part
from .segmenter import joined_segmenters
from .slabs import choose_plan, grids_of
from .working_scale import grey_statistics

if typing.TYPE_CHECKING:
    from ...io.tomograms import Tomogram
    from .segmenter import Segmenter


class TomogramScores:
    """Scores of one tomogram.

    tomogram: io.tomograms.Tomogram. pixel_size: Å/px to take for it. segmenters: list of segmenter.Segmenter. memory:
    GB. notes: sentences about what had to be changed on the way. Raises ValueError for a tomogram in which nothing can
    be found, or that is read to be damaged.
    """

    def __init__(
        self, tomogram: Tomogram, pixel_size: float, segmenters: typing.Sequence[Segmenter], memory: float
    ) -> None:
        self.tomogram, self.segmenters, self.memory, self.notes = tomogram, segmenters, memory, list[str]()
        self.together = joined_segmenters(segmenters)
        self.grids = grids_of(tomogram.shape, pixel_size, segmenters)
        self.statistics = [grey_statistics(tomogram, grid.factor) for grid in self.grids]
        # of each grid: first slice, (members, slices, y, x) float16
        self._waiting: list[tuple[int, torch.Tensor] | None] = [None] * len(self.grids)
        self._plan()

    def _plan(self) -> None:
        self.plan = choose_plan(self.grids, self.memory)
        if self.plan.memory > self.memory:
            self.notes.append(
                f"{self.tomogram.path}: its slices and the networks need {self.plan.memory:.2g} GB; this is used, "
                f"although --memory is {self.memory:g} GB."
            )

    def slabs(self, first: int = 0) -> typing.Iterator[typing.Any]:
        """For each slab from slice `first` on: (start, stop, slices), where slices yields (number, (models, y, x)
        float32 scores) of every slice. Each slab is computed when its turn comes."""
        for start, stop in self.plan.slabs(self.tomogram.shape[0], first):
            for number in range(len(self.grids)):
                self._compute(number, *self.grids[number].needed(start, stop))
            yield start, stop, ((z, self._slice(z)) for z in range(start, stop))

    def _compute(self, number: int, start: int, stop: int) -> None:
        """Have the scores of the working slices [start, stop) of a grid waiting, and forget those before."""
        grid = self.grids[number]
        start, stop = grid.grouped(start, stop)
        waiting: torch.Tensor | None = None
        held, labelled = self._waiting[number], start
        if held is not None:
            waiting, labelled = held[1][:, start - held[0] :].clone(), held[0] + held[1].shape[1]
            held = self._waiting[number] = None  # first: the old one need not stay while the new one is made
        if labelled < stop:
            new = self._answer(number, labelled, stop)
            waiting = new if waiting is None or not waiting.shape[1] else torch.cat([waiting, new], dim=1)
        self._waiting[number] = (start, typing.cast("torch.Tensor", waiting))

    def _answer(self, number: int, start: int, stop: int) -> torch.Tensor:
        """(members, stop - start, y, x) float16 scores of whole working slices. Out of memory, smaller tiles are
        taken."""
        return with_less_memory(lambda: self._tiled(number, start, stop), self._halve_memory)

    def _halve_memory(self) -> bool:
        if self.memory < 0.1:
            return False
        self.memory /= 2
        self.plan = type(self.plan)(self.plan.thickness, choose_plan(self.grids, self.memory).tiles, self.memory)
        self.notes.append(f"There was not enough memory; half of the memory limit ({self.memory:.2g} GB) is used.")
        return True

    def _tiled(self, number: int, start: int, stop: int) -> torch.Tensor:
        grid = self.grids[number]
        _, height, width = grid.working
        result = torch.empty((len(grid.members), stop - start, height, width), dtype=torch.float16)
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
                        result[grid.members.index(member), :, keep_y0:keep_y1, keep_x0:keep_x1] = one[
                            :, kept[0], kept[1]
                        ]
        return result

    def slab(self, number: int, zs: tuple[int, int], ys: tuple[int, int], xs: tuple[int, int]) -> torch.Tensor:
        """Normalised (z + 2 * context, y, x) float32 tensor of a part of the working grid; beyond the first and the
        last slice the tomogram is mirrored. zs, ys, xs: (start, stop)."""
        grid = self.grids[number]
        positions = mirrored(zs[0] - grid.context, zs[1] + grid.context, grid.working[0])
        ranges = [(int(positions.min()), int(positions.max()) + 1), ys, xs]
        if grid.shape == grid.working:
            slab = torch.from_numpy(self.tomogram.part(*ranges))
        else:
            read = [needed_range(*r, n, m) for r, n, m in zip(ranges, grid.shape, grid.working)]
            part = torch.from_numpy(self.tomogram.part(*read))
            slab = resample_part(part, [r[0] for r in read], grid.shape, grid.working, ranges)
        slab = self.segmenters[grid.members[0]].normalise(slab, self.statistics[number])
        return slab if len(positions) == len(slab) else slab[torch.from_numpy(positions - ranges[0][0])]

    def _slice(self, z: int) -> torch.Tensor:
        """(models, y, x) float32 scores of a slice of the tomogram, in the order of the models."""
        scores = dict[int, torch.Tensor]()
        for grid, (first, waiting) in zip(self.grids, typing.cast("list[tuple[int, torch.Tensor]]", self._waiting)):
            if grid.shape == grid.working:
                found = waiting[:, z - first].float()
            else:
                start, stop = needed_range(z, z + 1, grid.working[0], grid.shape[0])
                found = _back_on_grid(waiting[:, start - first : stop - first], start, z, grid)
            for k, member in enumerate(grid.members):
                scores[member] = found[k]
        return torch.stack([scores[k] for k in range(len(self.segmenters))])


def mirrored(start: int, stop: int, size: int) -> np.ndarray:
    """(stop - start,) slices to take for [start, stop), where those before the first and after the last are
    mirrored."""
    period = max(1, 2 * size - 2)
    positions = np.arange(start, stop) % period
    return np.where(positions < size, positions, period - positions)


def _back_on_grid(waiting: torch.Tensor, start: int, z: int, grid: typing.Any) -> torch.Tensor:
    """(members, y, x) scores of the tomogram's slice z, of the working slices (members, slices, y, x) from `start` on
    that it lies between."""
    members, _, height, width = waiting.shape
    flat = waiting.float().transpose(0, 1).reshape(waiting.shape[1], members * height, width)
    rows = (0, members * height)
    found = resample_part(
        flat,
        (start, 0, 0),
        (grid.working[0], rows[1], width),
        (grid.shape[0], rows[1], width),
        [(z, z + 1), rows, (0, width)],
    )
    # interpolate follows the same rule as resample, and is much quicker for whole planes
    return F.interpolate(
        found.reshape(1, members, height, width),
        size=grid.shape[1:],
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )[0].clamp_(0, 1)
