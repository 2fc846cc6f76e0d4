# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of a domain and of the rest of a molecule, each from images from which the other one was subtracted."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch

from ...core.frc import fsc
from ...latent.cube import Cube
from ...reconstruction.halves import wiener_constants
from .paths import ShownPart, weighted_maps

if typing.TYPE_CHECKING:
    from ...io.particle_sets import ParticleSet
    from .views import ParticleViews

ROUNDS = 2  # of domain and rest in turn
WIDEST = 0.9  # of the box: diameter outside of which images are normalised


@dataclasses.dataclass(frozen=True)
class Halves:
    """A map and its half-maps, (box, box, box) each."""

    whole: np.ndarray
    first: np.ndarray
    second: np.ndarray

    def times(self, mask: np.ndarray) -> Halves:
        """Each of them times a mask."""
        return Halves(*(volume * mask for volume in (self.whole, self.first, self.second)))

    def plus(self, other: Halves) -> Halves:
        """Sums with those of another one."""
        mine, others = dataclasses.astuple(self), dataclasses.astuple(other)
        return Halves(*(one + two for one, two in zip(mine, others)))

    def curve(self) -> np.ndarray:
        """(box // 2 + 1,) FSC of the half-maps."""
        return fsc(torch.from_numpy(self.first), torch.from_numpy(self.second)).numpy()

    def damped(self) -> Halves:
        """Half-maps damped shell by shell by what they agree on, and their mean."""
        constants = wiener_constants(torch.from_numpy(self.curve())).numpy()
        cube = Cube(len(self.first), len(self.first) / 2 - 1)
        keep = 1 / (1 + constants[np.minimum(cube.ring, len(constants) - 1)])[:, None].astype(np.float32)
        halves = [cube.volume(cube.table(half) * keep) for half in (self.first, self.second)]
        return Halves((halves[0] + halves[1]) / 2, *halves)


@dataclasses.dataclass(frozen=True)
class TwoBodies:
    """Reconstructs a domain and the rest of a molecule, each from images without projections of the other one.

    Parameters
    ----------
    views : views.ParticleViews
        Orientations and shifts of the rest.
    halves : ndarray, (n,)
        1 or 2; they are kept apart.
    mask : ndarray, (box, box, box)
        Of the domain in the middle state.
    contrast : str
        'bright' or 'dark'.

    References
    ----------
    Nakane et al., eLife 7, e36861 (2018): multi-body refinement.
    """

    particles: ParticleSet
    views: ParticleViews
    halves: np.ndarray
    mask: np.ndarray
    contrast: str

    def made(self, views: ParticleViews, without: tuple[ShownPart, ShownPart] | None = None) -> Halves:
        """Maps of all particles."""
        every, width = np.ones((len(self.particles), 1), np.float32), WIDEST * self.particles.box
        found = weighted_maps(self.particles, views, self.halves, every, width, self.contrast, without=without)
        return Halves(*next(iter(found))[0])

    def domain(self, focused: ParticleViews, rest: Halves) -> Halves:
        """The domain's maps. focused : its orientations and shifts, as it lies in the middle state."""
        return self.made(focused, _shown(rest, self.views)).times(self.mask)

    def middle(self, focused: ParticleViews, rest: Halves) -> Halves:
        """The molecule in its middle state. rest : to begin with."""
        domain = self.domain(focused, rest)
        for _ in range(ROUNDS - 1):
            found = self.made(self.views, _shown(domain.damped(), focused))
            rest = found.times(1 - self.mask).damped().plus(found.times(self.mask).damped())
            domain = self.domain(focused, rest)
        return domain.damped().plus(rest)


def _shown(volumes: Halves, views: ParticleViews) -> tuple[ShownPart, ShownPart]:
    """What the images of each half show of a part."""
    return ShownPart(volumes.first, views), ShownPart(volumes.second, views)
