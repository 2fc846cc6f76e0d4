# SPDX-License-Identifier: GPL-3.0-or-later
"""Template search in a tomogram, tile by tile: first in noise, for the threshold, then in the tomogram."""

from __future__ import annotations

import dataclasses
import itertools
import math
import typing

import numpy as np
import torch

from ...core.noise_copies import phases_at_random
from ...core.peaks import find_peaks_3d, separate
from ..segmenters.working import WorkingTomogram
from .correlate import Kernels, SearchTile, best_scores
from .filters import Filters, volume_ring_power
from .null_distribution import NullDistribution, block_maxima, fit_null
from .refine import refine_detection
from .template import Template

BYTES = 28  # of memory for each voxel of a tile that is searched
GIGABYTE = 1e9
SIDES = (48, 320)  # of what is kept of a tile, voxels
SAMPLED = 4  # tiles that the spectrum is measured on
INVERTED = 1.1  # times the highest score that the lowest is below 0 where protein has the other sign


@dataclasses.dataclass(frozen=True)
class Detections:
    """Detections in a tomogram.

    zyx: (n, 3) px of the tomogram. scores: (n,). angles: (n, 3) rot, tilt, psi in degrees. threshold: minimum score.
    expected: detections that noise gives on average; None where no control was made. inverted: the template fits better
    with its sign changed.
    """

    zyx: np.ndarray
    scores: np.ndarray
    angles: np.ndarray
    threshold: float
    expected: float | None
    inverted: bool


class TemplateSearch:
    """The search for one Template in one WorkingTomogram. config: DetectParticlesConfig. device: torch.device."""

    def __init__(
        self, source: WorkingTomogram, template: Template, config: typing.Any, device: torch.device, seed: typing.Any
    ) -> None:
        self.source, self.template, self.config, self.device = source, template, config, device
        self.rng = np.random.default_rng(seed)
        shortest = min(source.shape) * source.pixel_size
        if template.diameter > shortest:
            raise ValueError(
                f"The template is {template.diameter:.0f} Å wide, and {source.tomogram.path} is {shortest:.0f} Å thick "
                "at its shortest side. Check the pixel sizes of both, or give the template's --diameter."
            )
        self.kept, self.starts = tiling(source.shape, template.box, config.memory * GIGABYTE / BYTES)
        self.sign = -1.0 if config.contrast == "dark" else 1.0
        sampled = self.rng.permutation(len(self.starts))[:SAMPLED]
        power = volume_ring_power(self._voxels(self.starts[n]) for n in sampled) if config.whitening else None
        tilts = (config.tilt_min, config.tilt_max)
        self.filters = Filters(
            power, template.resolution, source.pixel_size, tilts, config.defocus, config.phase_flipped
        )
        self.kernels = Kernels(template, self.filters, device)
        self.typical = float(np.median([self._tile(self._voxels(self.starts[n]), None).typical for n in sampled]))

    @property
    def work(self) -> int:
        """Tiles times orientations of the whole search, for a progress bar."""
        return (len(self.starts) + self._controls()) * len(self.template.angles)

    def _controls(self) -> int:
        return math.ceil(self.config.control * len(self.starts)) if self.config.control else 0

    def run(self, threshold: float | None, progress: typing.Callable[[int], object] | None = None) -> Detections:
        """Found with a threshold, or with that of the noise if None."""
        voxels = float(np.prod(self.source.shape))
        chance = self._chance(progress) if self._controls() else None
        if threshold is None:
            if chance is None:
                raise ValueError("Without a control (--control 0) a threshold (--threshold) must be given.")
            threshold = chance.threshold(self.config.false_detections, voxels)
        rows, highest, lowest = [], 0.0, 0.0
        for start in self.starts:
            tile = self._tile(self._voxels(start), self.typical)
            ((best, which, low),) = best_scores([tile], self.kernels, progress)
            highest, lowest = max(highest, float(best.max())), min(lowest, low)
            rows += self._detections(tile, best, which, start, threshold)
        zyx, scores, angles = (np.array([row[k] for row in rows], float) for k in range(3))
        zyx, angles = zyx.reshape(-1, 3), angles.reshape(-1, 3)
        order = np.argsort(-scores, kind="stable")
        distance = self.config.minimum_distance or 0.7 * self.template.diameter
        order = order[separate(zyx[order], max(1.0, distance / self.source.pixel_size))]
        return Detections(
            self.source.in_tomogram(zyx[order]),
            scores[order],
            angles[order],
            threshold,
            None if chance is None else chance.expected(threshold, voxels),
            -lowest > INVERTED * highest and -lowest > threshold,
        )

    def _chance(self, progress: typing.Callable[[int], object] | None) -> NullDistribution:
        side = max(2, round(self.template.diameter / self.source.pixel_size))
        maxima = []
        for number in self.rng.permutation(len(self.starts))[: self._controls()]:
            start = self.starts[number]
            tile = self._tile(phases_at_random(self._voxels(start), self.rng), self.typical)
            best = best_scores([tile], self.kernels, progress)[0][0]
            inside = tuple(slice(0, n - a) for n, a in zip(self.source.shape, start))
            maxima.append(block_maxima(best[inside], side))
        return fit_null(maxima, float(side**3))

    def _detections(
        self, tile: SearchTile, best: torch.Tensor, which: torch.Tensor, start: typing.Sequence[int], threshold: float
    ) -> list[tuple[np.ndarray, float, np.ndarray]]:
        """Working px, score and angles of the peaks in what is kept of a tile."""
        keep = [(0, min(k, n - a)) for k, n, a in zip(self.kept, self.source.shape, start)]
        zyx, scores, voxels = find_peaks_3d(best, threshold, keep)
        near = separate(zyx, max(1.0, 0.35 * self.template.diameter / self.source.pixel_size))
        rows = []
        for number in near:
            voxel = voxels[number]
            angles = self.template.angles[int(which[tuple(voxel)])]
            position, angles, score = refine_detection(tile, self.kernels, voxel, angles)
            rows.append((position + start, max(score, float(scores[number])), angles))
        return rows

    def _voxels(self, start: typing.Sequence[int]) -> torch.Tensor:
        """Voxels of the tile whose kept part begins at `start`; zero beyond the tomogram's border."""
        half = self.template.box // 2
        wanted = [(a - half, a - half + k + self.template.box - 1) for a, k in zip(start, self.kept)]
        there = [(max(0, a), min(n, b)) for (a, b), n in zip(wanted, self.source.shape)]
        result = torch.zeros([b - a for a, b in wanted])
        position = tuple(slice(c - a, d - a) for (a, _), (c, d) in zip(wanted, there))
        result[position] = self.sign * self.source.part(there)
        return result.to(self.device)

    def _tile(self, voxels: torch.Tensor, typical: float | None) -> SearchTile:
        return SearchTile(voxels, self.filters, self.kernels.mask, typical)


def tiling(
    shape: typing.Sequence[int], box: int, voxels: float
) -> tuple[tuple[int, int, int], list[tuple[int, int, int]]]:
    """Side of what is kept of each tile, and where these begin.

    All tiles are alike. Their sides with box - 1 voxels around are lengths that transform fast. voxels: at most in one.
    """
    from scipy.fft import next_fast_len

    maximum = min(SIDES[1], max(SIDES[0], int(voxels ** (1 / 3)) - box))
    kept = []
    for side in shape:
        counts = range(-(-side // maximum), -(-side // maximum) + 4)
        choices = [(n * next_fast_len(-(-side // n) + box - 1, real=True), n) for n in counts]
        number = min(choices)[1]
        kept.append(next_fast_len(-(-side // number) + box - 1, real=True) - box + 1)
    starts = itertools.product(*(range(0, n, k) for n, k in zip(shape, kept)))
    return (kept[0], kept[1], kept[2]), [(a, b, c) for a, b, c in starts]
