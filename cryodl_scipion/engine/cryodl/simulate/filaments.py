# SPDX-License-Identifier: GPL-3.0-or-later
"""Microtubules and thin filaments: smoothly bent lines of subunits."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from .cells import Part, ball_offsets, balls, blobs
from .membranes import BLUR_PX

if typing.TYPE_CHECKING:
    from .cells import Cell


@dataclasses.dataclass(frozen=True)
class Kind:
    """A filament. Lengths in Å, rotations in degrees.

    radius: of what is labelled, all that lies within. rise, rotation: from one ring of subunits to the next. strands:
    subunits in a ring, helical_rise: axial distance of neighbours in it. at: radius of the subunits' middles; sigma,
    volume: of each.
    bend: largest change of direction from end to end, radians. length: (least, largest), parts of the tomogram's width.
    """

    radius: float
    rise: float
    rotation: float
    strands: int
    helical_rise: float
    at: float
    sigma: float
    volume: float
    bend: float
    length: tuple[float, float]


# 13 protofilaments, three-start helix of monomers of 50 kDa
MICROTUBULE = Kind(125, 40, 0, 13, 3 * 40 / 13, 103, 14, 60500, 0.4, (0.4, 2.0))
# as actin: 27.3 Å and -166.4 degrees from one monomer of 42 kDa to the next
FILAMENT = Kind(35, 27.3, -166.4, 1, 0, 16, 13, 51000, 0.8, (0.25, 1.0))


def filament(cell: Cell, kind: Kind, pixel_size: float, rng: np.random.Generator) -> Part | None:
    """A Part: the longest free piece of a curve through the cell, or None if that is too short."""
    line = _line(cell.shape, kind.bend, rng)
    radius = kind.radius / pixel_size
    # far from borders and other things: the ball around each position must be free
    step = max(1, int(radius / 4))
    some = line[::step]
    claimed = np.rint(some).astype(int)[:, None] + ball_offsets(radius)
    free = ~cell.labelled(claimed).any(1) & cell.inside(np.rint(some).astype(int))
    start, stop = _longest(free)
    minimum, largest = (part * max(cell.shape[1:]) / step for part in kind.length)
    wanted = int(rng.uniform(minimum, largest))
    if stop - start < minimum:
        return None
    if stop - start > wanted:
        start += int(rng.integers(stop - start - wanted + 1))
        stop = start + wanted
    fragment = line[start * step : (stop - 1) * step + 1]
    labelled = balls(fragment, radius)
    sigma = float(np.hypot(kind.sigma / pixel_size, BLUR_PX))
    return Part(
        labelled,
        labelled,
        lambda: blobs(_subunits(fragment * pixel_size, kind, rng) / pixel_size, sigma, kind.volume / pixel_size**3),
    )


def _line(shape: tuple[int, ...], bend: float, rng: np.random.Generator) -> np.ndarray:
    """(n, 3) zyx positions 1 px apart along a smooth curve through the cell, long enough to cross it."""
    number = 2 * int(np.linalg.norm(shape))
    along = np.linspace(-0.5, 0.5, number)
    azimuth = rng.uniform(0, 2 * np.pi) + bend * (
        rng.uniform(-1, 1) * along * 2 + 0.2 * np.sin(2 * np.pi * along * 2 + rng.uniform(0, 2 * np.pi))
    )
    rises = np.arctan2(shape[0], max(shape[1:])) * rng.uniform(-0.5, 0.5) + 0.1 * np.sin(4 * along + rng.uniform(0, 6))
    steps = np.stack([np.sin(rises), np.cos(rises) * np.sin(azimuth), np.cos(rises) * np.cos(azimuth)], 1)
    line = np.cumsum(steps, 0)
    return line - line[number // 2] + rng.uniform(0.15, 0.85, 3) * np.array(shape)


def _longest(free: np.ndarray) -> tuple[int, int]:
    """Start and stop of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], free.astype(int), [0]])))
    if not len(edges):
        return 0, 0
    runs = edges.reshape(-1, 2)
    start, stop = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    return int(start), int(stop)


def _subunits(line: np.ndarray, kind: Kind, rng: np.random.Generator) -> np.ndarray:
    """(n, 3) zyx middles of the subunits along a line (m, 3) of positions in Å."""
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    rings = np.arange(0, lengths[-1], kind.rise)
    number = np.arange(kind.strands)
    along = (rings[:, None] + kind.helical_rise * number).ravel()
    angle = (np.radians(kind.rotation) * np.arange(len(rings))[:, None] + 2 * np.pi * number / kind.strands).ravel()
    angle = angle[along <= lengths[-1]] + rng.uniform(0, 2 * np.pi)
    along = along[along <= lengths[-1]]
    position, tangent = (
        np.stack([np.interp(along, lengths, values) for values in table.T], 1)
        for table in (line, np.gradient(line, axis=0))
    )
    tangent /= np.linalg.norm(tangent, axis=1)[:, None]
    side = np.cross(tangent, [1.0, 0, 0])  # curves lie in the plane more than along z
    side /= np.linalg.norm(side, axis=1)[:, None]
    return position + kind.at * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * np.cross(tangent, side))
