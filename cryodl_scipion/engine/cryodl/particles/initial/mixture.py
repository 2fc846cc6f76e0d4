# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a second map explains particles better that neither map was made from: then several molecules are mixed."""

from __future__ import annotations

import typing

import numpy as np
import torch

from .climb import FULL, Climb

if typing.TYPE_CHECKING:
    from ...likelihood.observed import Observed

PASSES = (FULL[0], FULL[1])  # of each map over its particles, once they are shared out


def second_map_gain(
    observed: Observed,
    held_out: Observed,
    density: torch.Tensor,
    diameter: float,
    seed: typing.Any,
    progress: typing.Callable[[], typing.Any] = lambda: None,
) -> float:
    """Mean gain in logarithmic evidence of the held-out particles by a second map.

    The map explains some of its particles worse than others. From these a second one is sought, from random
    orientations; then each map is made of the half of the particles that it explains better. Of one molecule both are
    made of fewer particles and explain others worse than the one map does: the gain is negative.

    Parameters
    ----------
    observed : Observed
        The particles that the density was made from.
    held_out : Observed
        Others.
    diameter : float, px
        Of the sphere that holds the particle.
    """
    every, others = Climb(observed, diameter, seed), Climb(held_out, diameter, seed)
    before = _evidence(every, density)
    energy = observed.weight.sum(1).cpu().numpy()  # how much its CTF lets a particle tell
    short = np.argsort(before / energy)[: len(observed) // 2]
    second = Climb(observed[short], diameter, seed).run(progress).density
    order = np.argsort(_evidence(every, second) - before)
    parts = (order[: len(order) // 2], density), (order[len(order) // 2 :], second)
    both = [_evidence(others, Climb(observed[rows], diameter, seed).finish(one, PASSES).density) for rows, one in parts]
    return float((np.logaddexp(*both) - np.log(2) - _evidence(others, density)).mean())


def _evidence(climb: Climb, density: torch.Tensor) -> np.ndarray:
    """(n,) logarithmic evidence of a climb's particles for a density."""
    climb.look(FULL[0])
    _, found = climb.step(density, np.arange(len(climb.observed)), 1.0, 1)
    result: np.ndarray = found.evidence.double().cpu().numpy()
    return result
