# SPDX-License-Identifier: GPL-3.0-or-later
"""2-D class averages compared with structures. Their CTF is corrected as far as it can be; they have little noise, any
scale and mask, and are blurred by what their members differ in. What a structure that is right leaves of them is taken
for noise: a quarter of their power (Source.measured); noise around them tells how much of it may be left."""

import dataclasses
import typing

import numpy as np
import torch

from ...core.fourier import from_middle
from ...io.particle_sets import ParticleSet, usable
from ...likelihood.observed import Source, ring_powers
from ...running.runner import Run
from ..orientations.amplitude import AmplitudeFit
from ..orientations.explained import Explained
from . import candidates

EDGE = 6.0  # px, of soft circles
AROUND, LEAST = 0.8, 0.05  # of the circle: what lies beyond that and the structure is noise, if it is so large a part
MASKED = 1e-3  # of the largest variance over the averages, below which a radius is outside of their mask
TOLD = slice(3, 10)  # rings in which it is asked how much of the averages a structure explains


@dataclasses.dataclass(frozen=True)
class AverageSource(Source):
    """Averages, all of the same power: an average of ice or of few particles must not outweigh the others. mask_px:
    diameter of the circle beyond which they do not differ, at most the box: its corners are in few of the particles,
    which were turned."""

    mask_px: float = 0.0

    def images(self, rows: typing.Any, device: torch.device | None = None) -> torch.Tensor:
        return (self.whole(rows) * self.within(self.diameter_px)).to(device or "cpu")

    def whole(self, rows: typing.Any) -> torch.Tensor:
        """The averages before their circle, with the scale that they have within it."""
        images, circle = self.particles.images(rows), self.within(self.diameter_px)
        images = images - images[:, (circle > 0) & (circle < 1)].mean(1)[:, None, None]
        scale = (images * circle).std((1, 2), keepdim=True).clamp(min=1e-30)
        return images / (-scale if self.contrast == "dark" else scale)

    def within(self, diameter_px: float) -> torch.Tensor:
        """(box, box) soft circle."""
        return (0.5 + (diameter_px / 2 - from_middle(self.particles.box)) / EDGE).clamp(0, 1)

    def around(self, diameter_px: float) -> torch.Tensor:
        """(box // 2 + 1,) the noise beyond a circle, over the averages' power, in rings; 0 if hardly any is seen."""
        beyond, circle = self.within(self.mask_px) * (1 - self.within(diameter_px)), self.within(self.diameter_px)
        noise, power = (ring_powers(self.whole(slice(None)) * part).mean(0) for part in (beyond, circle))
        part = beyond.square().sum() / circle.square().sum()
        return noise / (part * power).clamp(min=1e-30) * bool(part > LEAST)


class AverageComparison(candidates.ParticleComparison):
    """2-D class averages, see particle_sets.read_class_averages, that are compared with structures."""

    fewest = 5

    def __init__(self, averages: ParticleSet, run: Run) -> None:
        self.particles, self.device, self.warn = averages, run.device, run.warn
        self.width, self.pixel_size = averages.box * averages.pixel_size, candidates.compared_pixel_size(averages)
        kept = usable(averages, run.skip)
        radius = from_middle(kept.box).round().long().flatten()
        spread = torch.bincount(radius, kept.images(slice(None)).var(0).flatten()) / torch.bincount(radius)
        mask = min(2 * float((spread > MASKED * spread.max()).nonzero()[-1]), kept.box)
        diameter = min(candidates.DIAMETER * kept.box, mask)
        self.sources = [
            AverageSource(kept, diameter, contrast, "denoised", mask_px=mask).measured()
            for contrast in ("bright", "dark")
        ]
        self.source, self.weights = self.sources[0], kept.members() / kept.members().mean()

    def explained(self, candidate: candidates.Candidate, fit: AmplitudeFit, rows: np.ndarray) -> Explained:
        """How much of its averages' power beyond the noise a structure explains, in coarse rings: right ones 0.78 to
        0.93, relatives 0.58 or less. There is always a signal."""
        source = typing.cast("AverageSource", self.source)
        source = dataclasses.replace(source, particles=source.particles.subset(rows))
        search = self.search(candidate.density, candidates.FULL, fit, source.measured())
        for _ in range(2):
            candidates.refit(search)
        seen = source.diameter_px * self.particles.pixel_size
        left = (search.source.power[: len(search.fit.residual)] * search.fit.residual)[TOLD]
        left /= ring_powers(source.images(slice(None))).mean(0)[TOLD][: len(left)]
        noise = source.around(max(AROUND * seen, candidate.diameter) / self.particles.pixel_size)[TOLD][: len(left)]
        self.warn(
            f"{candidate.path} is {candidate.diameter:.0f} Å wide, but of the averages of {self.particles.path} a "
            f"circle of {seen:.0f} Å is seen. Classify in a larger box, with a wider mask, for a sure answer."
            * (candidate.diameter > seen)
        )
        whole = 1 - float((left - noise).clamp(min=0).sum() / (1 - noise).clamp(min=0.1).sum())
        return Explained(np.ones(int(rows.sum())), max(0.0, whole), np.inf)
