# SPDX-License-Identifier: GPL-3.0-or-later
"""Defocus and astigmatism whose rings explain most of a power spectrum."""

import dataclasses

import numpy as np
from scipy import optimize

from .model import DECAYS, Rings, defocus_at

_ASTIGMATISM = 2000.0  # Å: standard deviation expected of DefocusU - DefocusV
_DIRECTIONS = 8
_COARSE = 150.0  # Å: step of half the astigmatism in the search on a grid


@dataclasses.dataclass(frozen=True)
class SearchRange:
    """Where to look. minimum_defocus, maximum_defocus: Å, of the mean defocus. astigmatism: largest DefocusU -
    DefocusV, Å. phase_shift: whether a phase plate's shift from 0 to 180 degrees is sought."""

    minimum_defocus: float = 3000.0
    maximum_defocus: float = 60000.0
    astigmatism: float = 2000.0
    phase_shift: bool = False


@dataclasses.dataclass(frozen=True)
class FoundRings:
    """The best rings. defocus: mean, Å. astigmatism: (2,) array as defocus_at takes it. phase_shift: radians. decay:
    one of DECAYS. strength: how far the rings stand out, in standard deviations of the noise. second_best: the same of
    the best rings at another defocus."""

    defocus: float
    astigmatism: np.ndarray
    phase_shift: float
    decay: float
    strength: float
    second_best: float = 0.0


def find_rings(rings: Rings, limits: SearchRange) -> FoundRings:
    """The rings that explain most of the spectrum, among all within the limits."""
    # defocus values so close that the phase at the highest frequency changes by a quarter of a radian
    step = min(200.0, max(20.0, 0.25 / (2 * float(rings.microscope.defocus_factor(rings.cells.frequency[-1] ** 2)))))
    reach = limits.astigmatism / 2
    grid = np.arange(max(limits.minimum_defocus - reach, step), limits.maximum_defocus + reach + step, step)
    trials = [
        (_best_on_grid(rings, grid, limits, table, shift, decay), table)
        for shift in (np.linspace(0, np.pi, 12, endpoint=False) if limits.phase_shift else [0.0])
        for decay, table in zip(DECAYS, rings.tables(grid, shift))
    ]
    best, table = max(trials, key=lambda trial: trial[0].strength)
    found = _refined(rings, best, limits)
    return dataclasses.replace(found, second_best=_second_best(rings, grid, limits, table, found))


def _second_best(
    rings: Rings, grid: np.ndarray, limits: SearchRange, table: tuple[np.ndarray, np.ndarray], found: FoundRings
) -> float:
    """Strength of the best rings at another local maximum, at least a ring away at the highest frequency."""
    step = grid[1] - grid[0]
    away = np.pi / rings.microscope.defocus_factor(rings.cells.frequency[-1] ** 2)
    inside = _inside(grid, limits)
    scores = _scores(table, inside, np.rint(defocus_at(rings.cells.azimuth, 0.0, found.astigmatism) / step).astype(int))
    peaks = np.r_[False, (scores[1:-1] > scores[:-2]) & (scores[1:-1] >= scores[2:]), False]
    return float(scores[peaks & (np.abs(grid[inside] - found.defocus) > away)].max(initial=0.0) / rings.noise)


def _inside(grid: np.ndarray, limits: SearchRange) -> np.ndarray:
    """Positions of the grid's values within the limits; at least two, also of limits closer than its step."""
    step = grid[1] - grid[0]
    middle = 0.5 * (limits.minimum_defocus + limits.maximum_defocus)
    low, high = min(limits.minimum_defocus, middle - 1.5 * step), max(limits.maximum_defocus, middle + 1.5 * step)
    return np.nonzero((grid >= low) & (grid <= high))[0]


def _best_on_grid(
    rings: Rings,
    grid: np.ndarray,
    limits: SearchRange,
    table: tuple[np.ndarray, np.ndarray],
    phase_shift: float,
    decay: float,
) -> FoundRings:
    step, inside = grid[1] - grid[0], _inside(grid, limits)
    tried = []
    for half in np.arange(0, limits.astigmatism / 2 + 1, max(step, _COARSE)):
        for direction in np.arange(_DIRECTIONS if half else 1) * np.pi / _DIRECTIONS:
            astigmatism = half * np.array([np.cos(2 * direction), np.sin(2 * direction)])
            shift = np.rint(defocus_at(rings.cells.azimuth, 0.0, astigmatism) / step).astype(int)
            score = _scores(table, inside, shift) / rings.noise
            position = int(score.argmax())
            value = float(score[position]) - _unlikely(astigmatism, float(score[position]))
            found = FoundRings(
                float(grid[inside[position]]), astigmatism, float(phase_shift), decay, float(score[position])
            )
            tried.append((value, found))
    return max(tried, key=lambda one: one[0])[1]


def _scores(table: tuple[np.ndarray, np.ndarray], inside: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Scores of the defocus values `inside`, each sector's taken `shift` positions beside."""
    product, length = np.zeros((2, len(inside)))
    products, lengths = table
    last = products.shape[1] - 1
    for sector, steps in enumerate(shift):
        position = slice(inside[0] + steps, inside[-1] + steps + 1)
        if position.start < 0 or position.stop > last + 1:  # at the ends of the grid
            position = np.clip(inside + steps, 0, last)
        product, length = product + products[sector, position], length + lengths[sector, position]
    return product / np.sqrt(np.maximum(length, 1e-12))


def _unlikely(astigmatism: np.ndarray, strength: float) -> float:
    """What a large astigmatism costs, in units of strength."""
    return 0.5 * (2 * np.hypot(*astigmatism) / _ASTIGMATISM) ** 2 / max(strength, 1.0)


def _refined(rings: Rings, found: FoundRings, limits: SearchRange) -> FoundRings:
    scale = 20.0 / (2 * rings.microscope.defocus_factor(rings.cells.frequency[-1] ** 2)) / 10
    bend = scale if limits.astigmatism else 0.0

    def cost(values: np.ndarray) -> float:
        astigmatism = values[1:3] * bend
        shift = values[3] if limits.phase_shift else found.phase_shift
        strength = rings.strength(values[0] * scale, astigmatism, shift, found.decay)
        beyond = max(0.0, 2 * np.hypot(*astigmatism) / limits.astigmatism - 1) if limits.astigmatism else 0.0
        return -strength + _unlikely(astigmatism, strength) + 1e3 * beyond

    start = np.r_[found.defocus / scale, found.astigmatism / scale, [found.phase_shift] * limits.phase_shift]
    simplex = np.vstack([start, start + np.diag(np.r_[0.1, 0.1, 0.1, [0.2] * limits.phase_shift])])
    values = optimize.minimize(
        cost, start, method="Nelder-Mead", options=dict(initial_simplex=simplex, xatol=1e-2, fatol=1e-4, maxiter=400)
    ).x
    shift = float(values[3] % np.pi) if limits.phase_shift else 0.0
    astigmatism = values[1:3] * bend
    strength = rings.strength(values[0] * scale, astigmatism, shift, found.decay)
    return FoundRings(float(values[0] * scale), astigmatism, shift, found.decay, strength)
