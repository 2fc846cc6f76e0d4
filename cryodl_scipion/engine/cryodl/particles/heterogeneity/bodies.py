# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of a domain and of the rest of a molecule, each from images from which the other one was subtracted."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import torch

from ...core.frc import fsc
from ...reconstruction.halves import wiener_constants
from .cube import Cube
from .paths import Shown, weighted_maps

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


def domain_and_rest(
    particles: ParticleSet,
    views: ParticleViews,
    focused: ParticleViews,
    halves: np.ndarray,
    mask: np.ndarray,
    contrast: str,
) -> tuple[Halves, Halves]:
    """The molecule in its middle state, and the consensus map of the same particles.

    The domain is reconstructed at its own orientations from images from which the rest's projections were subtracted,
    the rest from images without the domain, in turn. The halves of the particles are kept apart.

    Parameters
    ----------
    particles : ParticleSet
    views, focused : views.ParticleViews
        Orientations and shifts of the rest, and of the domain as it lies in the middle state.
    halves : ndarray, (n,)
        1 or 2.
    mask : ndarray, (box, box, box)
        Of the domain in the middle state.
    contrast : str
        'bright' or 'dark'.

    Returns
    -------
    middle, consensus : Halves

    References
    ----------
    Nakane et al., eLife 7, e36861 (2018): multi-body refinement.
    """

    def made(seen: ParticleViews, others: tuple[Shown, Shown] | None) -> Halves:
        every = np.ones((len(particles), 1), np.float32)
        found = weighted_maps(particles, seen, halves, every, WIDEST * particles.box, contrast, without=others)
        return Halves(*next(iter(found))[0])

    consensus = made(views, None)
    rest = consensus.damped().times(1 - mask)
    domain = made(focused, _shown(rest, views)).times(mask)
    for _ in range(ROUNDS - 1):
        found = made(views, _shown(domain.damped(), focused))
        inside, outside = found.times(mask).damped(), found.times(1 - mask)
        rest = outside.damped().plus(inside)
        domain = made(focused, _shown(rest, views)).times(mask)
    return domain.damped().plus(rest), consensus


def _shown(volumes: Halves, views: ParticleViews) -> tuple[Shown, Shown]:
    """What the images of each half show of a part."""
    return Shown(volumes.first, views), Shown(volumes.second, views)
