# SPDX-License-Identifier: GPL-3.0-or-later
"""Training and validation particles, never of one micrograph or half set where these are known."""

from __future__ import annotations

import typing

import numpy as np

if typing.TYPE_CHECKING:
    from ...io.particle_sets import ParticleSet


def split_particles(particles: ParticleSet, by: str, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Rows (integer arrays) of training and of validation particles, and a sentence that says how they were kept apart.

    by: 'auto', 'micrograph', 'half' (half 2 validates) or 'random'; auto takes the first of these that the particles
    allow. fraction: part that validates. Raises ValueError for fewer than two particles, or a way of splitting that
    they do not allow.
    """
    if len(particles) < 2:
        raise ValueError(
            f"{particles.path} has {len(particles)} particle; at least two are needed, one for training and one for "
            "validation, and thousands for a good model."
        )
    names = set(particles.micrographs) - {""}
    halves = set() if particles.halves is None else set(particles.halves.tolist()) & {1, 2}
    possible = {
        "micrograph": len(names) > 1 and "" not in particles.micrographs,
        "half": len(halves) == 2,
        "random": True,
    }
    if by == "auto":
        by = next(way for way, can in possible.items() if can)
    if not possible[by]:
        raise ValueError(
            {
                "micrograph": f"{particles.path} does not name two micrographs or more (rlnMicrographName)",
                "half": f"{particles.path} has no two half sets (rlnRandomSubset)",
            }[by]
            + f", so its particles cannot be split by {by} (--split-by). Choose auto."
        )
    rng = np.random.default_rng((seed, 77))
    ways: dict[str, typing.Callable[..., typing.Any]] = {
        "micrograph": _by_micrograph,
        "half": lambda *_: particles.halves == 2,
        "random": _at_random,
    }
    held: np.ndarray = ways[by](particles, fraction, rng)
    training, validation = np.nonzero(~held)[0], np.nonzero(held)[0]
    how = {"micrograph": "by micrograph", "half": "by half set", "random": "at random"}[by]
    return (
        training,
        validation,
        (
            f"{particles.path}: {len(training)} training particles and {len(validation)} validation particles, split "
            f"{how}."
        ),
    )


def _by_micrograph(particles: ParticleSet, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: whole micrographs until the fraction is reached, at least one and never all."""
    names, number, counts = np.unique(particles.micrographs, return_inverse=True, return_counts=True)
    order = rng.permutation(len(names))
    enough = int(np.searchsorted(np.cumsum(counts[order]), fraction * len(particles))) + 1
    return np.isin(number, order[: min(enough, len(names) - 1)])


def _at_random(particles: ParticleSet, fraction: float, rng: np.random.Generator) -> np.ndarray:
    count = min(max(1, round(fraction * len(particles))), len(particles) - 1)
    held = np.zeros(len(particles), bool)
    held[rng.permutation(len(particles))[:count]] = True
    return held
