# SPDX-License-Identifier: GPL-3.0-or-later
"""2-D class averages compared with structures. They have no CTF that could be known, little noise, any scale, filter
and mask, and are blurred by what their members differ in. So each ring of a structure's projections gets the strength
that the averages show it with, and the noise is what a structure that is right leaves of them."""

import dataclasses
import typing

import numpy as np
import torch

from ...core.fourier import from_middle
from ...io.particle_sets import ParticleSet, usable
from ...likelihood.observed import Source, ring_powers
from ...running.runner import Run
from ..orientations.amplitude import AmplitudeFit, RingPower
from ..orientations.explained import Explained
from . import candidates

LEFT = 0.35  # of the averages' power, that a right structure leaves: 0.2 in coarse detail, 0.3 to 0.4, 0.8 in fine
EDGE = 6.0  # px, of the soft circle that all averages are given
FAINTEST = 0.1  # part of its strength that a ring may lose at a time
AROUND = 0.8  # of the circle: what lies outside of it is noise, if the structure is no larger
MASKED = 1e-3  # of the largest variance over the averages, below which a radius is outside of their mask
TOLD = slice(3, 10)  # rings in which it is asked how much of the averages a structure explains


@dataclasses.dataclass(frozen=True)
class AverageSource(Source):
    """Averages, all of the same power: an average of ice or of few particles must not outweigh the others."""

    def images(self, rows: typing.Any, device: torch.device | None = None) -> torch.Tensor:
        images = self.particles.images(rows)
        edge = (from_middle(images.shape[-1]) - self.diameter_px / 2).abs() < EDGE / 2
        images = (images - images[:, edge].mean(1)[:, None, None]) * self.within(self.diameter_px)
        images = images / images.std((1, 2), keepdim=True).clamp(min=1e-30)
        return (-images if self.contrast == "dark" else images).to(device or "cpu")

    def within(self, diameter_px: float) -> torch.Tensor:
        """(box, box) soft circle."""
        return (0.5 + (diameter_px / 2 - from_middle(self.particles.box)) / EDGE).clamp(0, 1)

    def measured(self) -> "AverageSource":
        power = ring_powers(self.images(slice(None))).mean(0)
        power[0] = power[1]
        return dataclasses.replace(self, noise=LEFT * power)

    def around(self) -> torch.Tensor:
        """(box // 2 + 1,) the noise that lies around the particles, over the averages' power, in rings."""
        images, whole = self.images(slice(None)), self.within(self.diameter_px)
        beyond = 1 - self.within(AROUND * self.diameter_px)
        part = (beyond * whole).square().sum() / whole.square().sum()
        return ring_powers(images * beyond).mean(0) / (part * ring_powers(images).mean(0)).clamp(min=1e-30)


@dataclasses.dataclass(frozen=True)
class RingFit(AmplitudeFit):
    """rings: (rings,) factor of the amplitudes of each ring."""

    rings: torch.Tensor = dataclasses.field(default_factory=lambda: torch.ones(1))

    def gain(self, rings: int, width: float) -> torch.Tensor:
        return self.rings[torch.arange(rings).clamp(max=len(self.rings) - 1)]

    def matched(self, match: torch.Tensor, power: torch.Tensor, width: float) -> "RingFit":
        found = (match / power.clamp(min=1e-30)).cpu().float()
        return dataclasses.replace(self, rings=torch.maximum(found, FAINTEST * self.gain(len(found), width)))


class AverageComparison(candidates.ParticleComparison):
    """2-D class averages, see particle_sets.read_class_averages, that are compared with structures."""

    # of their power beyond the noise in coarse rings. Right structures 0.88 to 0.97, relatives 0.40 to 0.66. Held-out
    # ones, as of particles, do not tell: changed by half of a few dozens, structures gain -0.03 to 0.01, right or wrong
    minimum = clear = 0.75
    fewest = 5

    def __init__(self, averages: ParticleSet, run: Run) -> None:
        self.particles, self.device, self.warn = averages, run.device, run.warn
        self.width, self.pixel_size = averages.box * averages.pixel_size, candidates.compared_pixel_size(averages)
        kept = usable(averages, run.skip)
        diameter = min(candidates.DIAMETER * averages.box, mask_diameter(kept.images(slice(None))))
        self.sources = [AverageSource(kept, diameter, c, kept.ctf_state).measured() for c in ("bright", "dark")]
        self.source, self.weights = self.sources[0], kept.members() / kept.members().mean()

    def first_fit(self, power: RingPower) -> AmplitudeFit:
        rings = power.gain(self.width)
        return RingFit(1.0, 0.0, 1.0, torch.ones(len(rings)), rings.clamp(min=1e-3 * float(rings.max())))

    def explained(self, candidate: candidates.Candidate, fit: AmplitudeFit, rows: np.ndarray) -> Explained:
        """How much of its averages' power a structure explains. There is always a signal."""
        source = typing.cast("AverageSource", self.source)
        few = dataclasses.replace(source, particles=source.particles.subset(rows)).measured()
        seen = few.diameter_px * self.particles.pixel_size
        search = self.search(candidate.density, candidates.FULL, fit, few)
        for _ in range(2):
            candidates.refit(search)
        left = LEFT * search.fit.residual[TOLD]
        noise = few.around()[TOLD][: len(left)] * (candidate.diameter <= AROUND * seen)
        self.warn(
            *[
                f"{candidate.path} is {candidate.diameter:.0f} Å wide, but of the averages of {self.particles.path} a "
                f"circle of {seen:.0f} Å is seen. Classify in a larger box, with a wider mask, for a sure answer."
            ]
            * (candidate.diameter > seen)
        )
        whole = 1 - float((left - noise).clamp(min=0).sum() / (1 - noise).clamp(min=0.1).sum())
        return Explained(np.ones(len(few.particles)), max(0.0, whole), np.inf)


def mask_diameter(images: torch.Tensor) -> float:
    """Px: of the circle beyond which images (n, box, box) do not differ; beyond the box if they are not masked."""
    radius = from_middle(images.shape[-1]).round().long().flatten()
    spread = torch.bincount(radius, images.var(0).flatten()) / torch.bincount(radius)
    return 2 * float((spread > MASKED * spread.max()).nonzero()[-1])
