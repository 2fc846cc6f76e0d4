# SPDX-License-Identifier: GPL-3.0-or-later
"""What resolution more particles will give, from the FSC F of the halves of a map; and how earlier forecasts did.

F / (1 - F) of each shell grows with the number of particles. Its logarithm is taken as a parabola in the frequency,
fitted to all shells; beyond those that are measured a wide prior decides. Resolution over the logarithm of the number:
Stagg et al. (2014), ResLog plots as an empirical metric of the quality of cryo-EM reconstructions."""

import typing

import numpy as np
from scipy.special import expit

from ...core.fourier import THRESHOLDS, resolution_at
from ...core.symmetry import operations
from .runs import Finished

FACTORS = (1, 2, 10)  # times the particles
# Of the draws; and by how much the finer end is moved, so that four of five cases lie between the ends: the FSC of few
# particles is lost early in its own noise. Chosen with the sets of benchmarks/forecasts.py in view.
INTERVAL, FINER = (0.1, 0.5, 0.9), np.array([0.94, 1.0, 1.0])
# logarithm of F / (1 - F) where the FSC falls below 0.143, its slope and its bend, over the frequency in parts of that
PRIOR, SPREAD = np.array([np.log(0.143 / 0.857), -6.0, 0.0]), np.array([1.0, 2.5, 3.0])
ROUGH = 0.25  # its deviation from the parabola
FIRST, INNER, HIGH = -0.6, -0.3, 0.95  # shells from the first on; until the inner one only where the FSC is not higher
STEPS, DRAWS = 30, 400
MASK = 0.9  # of the box: within it the FSC is measured
LATER = 1.5  # times the particles: maps of more are compared with the forecast


class Forecast(typing.NamedTuple):
    """Of one map. resolution: Å. edges: (3, 3) Å for FACTORS times the particles: from, middle, to.
    came: [(particles, Å, whether it lies between)] of later maps."""

    particles: int
    resolution: float
    edges: np.ndarray
    came: list[tuple[int, float, bool]]

    def at(self, count: int) -> np.ndarray:
        """The edges (3,) for another number of particles, between those that were forecast."""
        place = np.log(count / self.particles)
        return 1 / np.array([np.interp(place, np.log(FACTORS), 1 / edge) for edge in self.edges.T])


def forecasts_of(maps: typing.Sequence[Finished]) -> list[Forecast]:
    """Of each map, oldest first, with what came later. Maps of other pixels than the last one are left out."""
    made = [dict(f.result.outputs, group=getattr(f.config, "symmetry", "C1")) for f in maps]
    made = [one for one in made if one.get("resolution") and one["fsc"]]
    grid = lambda one: (len(one["fsc"]), one["pixel_size"])
    made = [one for one in made if grid(one) == grid(made[-1]) and np.isfinite(one["fsc"]).all()]
    edges = [edges_of(one["fsc"], one["resolution"], one["pixel_size"], one["group"]) for one in made]
    found = [Forecast(one["count"], one["resolution"], edge, []) for one, edge in zip(made, edges)]
    for number, one in enumerate(found):
        for later in found[number + 1 :]:
            if LATER * one.particles <= later.particles <= FACTORS[-1] * one.particles:
                low, _, high = one.at(later.particles)
                one.came.append((later.particles, later.resolution, bool(low <= later.resolution <= high)))
    return found


def edges_of(curve: typing.Sequence[float], now: float, pixel_size: float, symmetry: str) -> np.ndarray:
    """(3, 3) Å, see Forecast. curve: (box // 2 + 1,) FSC of the halves. now: Å where it falls below 0.143. symmetry:
    point group, of whose equal coefficients one is independent."""
    rng, seen, shells = np.random.default_rng(0), np.array(curve, float), np.arange(len(curve))
    box = 2 * (len(curve) - 1)
    sigma = 1 / np.sqrt(np.maximum(2 * np.pi * shells**2 * (np.pi / 6) * MASK**3 / len(operations(symmetry)), 1))
    position = shells * now / (box * pixel_size) - 1
    used = (position > FIRST) & ((seen < HIGH) | (position > INNER))
    mean, spread = _fitted(_terms(position[used]), seen[used], sigma[used])
    drawn = np.minimum.accumulate(rng.multivariate_normal(mean, spread, DRAWS) @ _terms(position.clip(FIRST)).T, 1)
    rough, noise = ROUGH * rng.standard_normal(drawn.shape), sigma * rng.standard_normal(drawn.shape)
    edges = [[now] * 3]
    for factor in FACTORS[1:]:
        share = expit(drawn + rough + np.log(factor))
        curves = np.c_[np.ones(DRAWS), (share + (1 - share**2) * noise)[:, 1:]]
        periods = [resolution_at(one, THRESHOLDS[1], pixel_size, box) or box * pixel_size for one in curves]
        edges.append(np.maximum(FINER * np.quantile(periods, INTERVAL), 2 * pixel_size).tolist())
    return np.array(edges)


def _terms(position: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(position), position, position**2], 1)


def _fitted(terms: np.ndarray, seen: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and their covariance, by Gauss and Newton's steps."""
    coefficients, prior = PRIOR.copy(), np.diag(SPREAD**-2.0)
    for _ in range(STEPS):
        share = expit((terms @ coefficients).clip(-30, 30))
        slope = (share * (1 - share))[:, None] * terms
        weighted = slope.T / (sigma**2 + (ROUGH * share * (1 - share)) ** 2)
        square = weighted @ slope + prior
        step = weighted @ (seen - share) - prior @ (coefficients - PRIOR)
        coefficients = coefficients + 0.7 * np.linalg.solve(square, step)
    return coefficients, np.linalg.inv(square)
