# SPDX-License-Identifier: GPL-3.0-or-later
"""Detection of the carbon (or gold) film: the area behind a long, sharp edge.

The rim of a hole is an arc whose radius is of the order of the micrograph or larger. Every such arc is tried on a
coarse grid of the micrograph's mean and of its grain at two scales: that one is taken behind which the three change
most by a step, a smooth gradient of ice (a quadratic surface) explained away. It is an edge only if the step is sharp,
is there along its whole length, and goes on behind it; a crystal, a clump or a steep gradient is not. A micrograph that
is all carbon has no edge and is not found."""

import functools
import typing

import numpy as np
from scipy import ndimage

GRID = 32  # cells along the longer side
# Bends of the arcs: one over twice the radius, in longer sides of the micrograph.
_BENDS = (-1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0)
_SMALLEST, _LARGEST = 0.02, 0.9  # part of the area behind an arc
# Sum of the three squared t values of the step. Clean real and simulated micrographs reach 170, corners of 3 % carbon
# on EMPIAR-10017 300, simulated carbon 430 to 2,500.
_MIN_STEP = 220.0
_SHORTEST = 0.25  # length of the edge inside the micrograph, longer sides
_SEGMENTS = 6
_WEAKEST_PART = 0.35  # step at four of five segments of the edge, of its median
# Step next to the edge over that further away: a gradient has 0.3, and ice that is thicker here and thinner there up to
# 0.65; the edges of film 0.8 to 1.1, however blurred; a dark rim, as carbon has on EMPIAR-10017, 3.
_SHARP = (0.72, 4.0)
# Part of the cells behind (before) the edge that are beyond (below) the middle level: 0.79 to 1 for carbon, 0.53 to
# 0.66 for clumps and crystals.
_FILLED = 0.72
# Film over more than half of the micrograph must differ in grain, too: sum of both t values. Simulated film has 25 to
# 30, thick ice around thinner ice up to 10.
_WIDE_GRAIN = 12.0
_MAX_EDGES = 3


def find_carbon(image: np.ndarray, valid: np.ndarray, diameter_px: float) -> np.ndarray:
    """(h, w) bool: carbon film. image: (h, w) float array, any scale. valid: (h, w) bool, what of it is really there.
    diameter_px: of a particle in these pixels; grain is measured below its size."""
    cells = min(GRID, max(image.shape) // 4)
    shape = tuple(max(4, round(side / max(image.shape) * cells)) for side in image.shape)
    features, there = _features(image, valid, diameter_px, shape)
    carbon = np.zeros(image.shape, bool)
    for _ in range(_MAX_EDGES):
        if there.sum() < 0.1 * there.size:
            break
        arc = _best_arc(features, there, shape)
        if not (sign := _carbon_side(features, there, shape, arc)):
            break
        parts, _ = ndimage.label(behind := sign * _distance(image.shape, *arc) > 0)
        # the largest connected part: an arc may cut a second corner off
        carbon |= parts == np.argmax(np.bincount(parts.ravel(), behind.ravel().astype(float)))
        # not to be found again a little further out, at the film's bright fringe
        there &= (sign * _distance(shape, *arc) <= -2 / max(shape)).ravel()
    return carbon


def _features(
    image: np.ndarray, valid: np.ndarray, diameter_px: float, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """(cells, 3) mean, log fine grain and log coarse grain of each cell; (cells,) bool where at least half is valid."""
    inner = ndimage.binary_erosion(valid, iterations=3, border_value=1)
    level = np.median(image[inner])
    noise = 1.4826 * np.median(np.abs(image[inner] - level)) + 1e-12
    fine = ndimage.gaussian_filter(image, 1.5)
    coarse = fine - ndimage.gaussian_filter(fine, max(3.0, diameter_px / 4))
    columns = [_cell_means(np.clip(image - level, -4 * noise, 4 * noise), inner, shape) / noise]
    for grain in (np.abs(image - fine), np.abs(coarse)):
        limited = np.minimum(grain, 4 * np.median(grain[inner]))  # a hot pixel or a crystal is no grain
        columns.append(np.log(_cell_means(limited, inner, shape) + 1e-9 * noise))
    return np.stack(columns, 1), _cell_means(inner.astype(float), np.ones_like(inner), shape) > 0.5


def _cell_means(values: np.ndarray, use: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(cells,) mean over the pixels to use of each cell of a grid; 0 where there is none."""
    rows, columns = (np.arange(n) * m // n for n, m in zip(values.shape, shape))
    cell, size = (rows[:, None] * shape[1] + columns[None])[use], shape[0] * shape[1]
    return np.bincount(cell, values[use], size) / np.maximum(np.bincount(cell, minlength=size), 1)


def _axes(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """y (h, 1) and x (1, w) of the cells' centres from the middle, in longer sides."""
    y, x = ((np.arange(n) + 0.5 - n / 2) / max(shape) for n in shape)
    return y[:, None], x[None, :]


def _distance(shape: tuple[int, ...], angle: float, offset: float, bend: float) -> np.ndarray:
    """(h, w) distance behind an arc, in longer sides; negative before it."""
    y, x = _axes(shape)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    return along + bend * across**2 - offset


@functools.lru_cache(maxsize=2)
def _all_arcs(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Arcs (n, 3) of angle, offset and bend, and the cells behind each (n, cells)."""
    angles, offsets = np.arange(0, 2 * np.pi, np.pi / 24), np.arange(-0.1, 0.7, 0.03)
    arcs = np.stack(np.meshgrid(angles, offsets, _BENDS, indexing="ij"), -1).reshape(-1, 3)
    behind = _behind(shape, arcs)
    fraction = behind.mean(1)
    keep = (fraction > _SMALLEST) & (fraction < _LARGEST)
    return arcs[keep], behind[keep]


def _behind(shape: tuple[int, ...], arcs: np.ndarray | typing.Sequence[np.ndarray]) -> np.ndarray:
    """(n, cells) float32: part of each cell that lies behind each arc."""
    cell = 1 / max(shape)
    return np.stack([np.clip(_distance(shape, *arc).ravel() / cell + 0.5, 0, 1) for arc in arcs]).astype(np.float32)


def _best_arc(features: np.ndarray, there: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The arc with the strongest step, refined. (angle, offset, bend)."""
    arcs, behind = _all_arcs(shape)
    arc = arcs[np.argmax((_steps(behind, features, there, shape) ** 2).sum(1))]
    for size in (0.5, 0.2):
        steps = [np.arange(-2, 3) * size * s for s in (np.pi / 24, 0.03, 0.3)]
        near = arc + (np.stack(np.meshgrid(*steps), -1).reshape(-1, 3) / 2)
        arc = near[np.argmax((_steps(_behind(shape, near), features, there, shape) ** 2).sum(1))]
    return arc


def _flat(features: np.ndarray, there: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of the cells that are there, less a robust scale and a quadratic surface, and that surface's basis."""
    y, x = (a.ravel()[there] for a in np.broadcast_arrays(*_axes(shape)))
    basis, _ = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], 1))
    values = features[there] - basis @ (basis.T @ features[there])
    scale = 1.4826 * np.median(np.abs(values - np.median(values, 0)), 0) + 1e-9
    values = np.clip(values / scale, -8, 8)
    return values - basis @ (basis.T @ values), basis, scale


def _steps(behind: np.ndarray, features: np.ndarray, there: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(n, 3) t values of a step behind each arc: how much of each feature's variation it explains."""
    values, basis, _ = _flat(features, there, shape)
    known = np.zeros((len(there), 9), np.float32)  # 0 where there is nothing: cheaper than to leave cells out
    known[there] = np.hstack([values, basis])
    found = behind @ known
    free = behind**2 @ there.astype(np.float32) - (found[:, 3:] ** 2).sum(1)
    return found[:, :3] / np.sqrt(np.maximum(free, 0.5))[:, None]


def _carbon_side(features: np.ndarray, there: np.ndarray, shape: tuple[int, ...], arc: np.ndarray) -> int:
    """1 if carbon lies behind the arc, -1 if before it, 0 if the arc is no edge of carbon."""
    behind = _behind(shape, [arc])
    steps = _steps(behind, features, there, shape)[0]
    if (steps**2).sum() < _MIN_STEP:
        return 0
    _, _, scale = _flat(features, there, shape)
    contrast = ((features / scale) @ (steps / np.linalg.norm(steps))).reshape(shape)  # greater behind the arc
    if not _is_edge(contrast, there.reshape(shape), shape, arc):
        return 0
    side = 1 if steps[1] + steps[2] - steps[0] > 0 else -1  # film is darker than ice, and grainier
    # wide film must be grainier
    return 0 if side * (behind.mean() - 0.5) > 0 and side * (steps[1] + steps[2]) < _WIDE_GRAIN else side


def _is_edge(contrast: np.ndarray, there: np.ndarray, shape: tuple[int, ...], arc: np.ndarray) -> bool:
    """True if the step is long, sharp, there along its whole length, and fills the area behind it."""
    y, x = _axes(shape)
    across = np.cos(arc[0]) * y - np.sin(arc[0]) * x
    cells = _distance(shape, *arc) * max(shape)
    strip = there & (np.abs(cells) < 1)
    if strip.sum() < 4 or np.ptp(across[strip]) < _SHORTEST:
        return False

    def level(low: float, high: float, use: bool | np.ndarray = True) -> float:
        part = contrast[there & (cells > low) & (cells <= high) & use]
        return np.median(part) if len(part) >= 3 else np.nan

    ends = np.quantile(across[strip], np.linspace(0, 1, _SEGMENTS + 1))
    segments = [(across >= a) & (across <= b) for a, b in zip(ends[:-1], ends[1:])]
    parts = np.array([level(0.3, 3, part) - level(-3, -0.3, part) for part in segments])
    parts = parts[np.isfinite(parts)]
    if len(parts) < 3 or (parts > _WEAKEST_PART * np.median(parts)).mean() < 0.8:
        return False
    sharp, wide = level(0.5, 2) - level(-2, -0.5), level(2, 6) - level(-6, -2)
    if not sharp > 0 or not (np.isnan(wide) or _SHARP[0] * wide < sharp < _SHARP[1] * wide):
        return False
    middle = (level(0.5, 8) + level(-8, -0.5)) / 2
    behind, before = (contrast[there & (side > 0.5) & (side < 8)] for side in (cells, -cells))
    return (behind > middle).mean() > _FILLED and (before < middle).mean() > _FILLED
