# SPDX-License-Identifier: GPL-3.0-or-later
"""Points along filaments, with their directions."""

from __future__ import annotations

import typing

import numpy as np

from .points import Points, together
from .segmentation import isolated
from .skeletons import centre_lines

if typing.TYPE_CHECKING:
    from .components import Components
    from .segmentation import Segmentation

LUMEN_NM2 = 500.0  # cross sections of holes up to this are the inside of a tube: a microtubule's is 180 nm², or 2 to 3
#                    times as much where it is cut at a slant
WOBBLE = 0.6  # voxels that the voxels of a middle line lie beside it (root mean square)


def along_filaments(segmentation: Segmentation, components: Components, numbers: np.ndarray, spacing: float) -> Points:
    """Points along the middle lines of some components.

    segmentation: Segmentation. components: Components. numbers: of the components wanted, from 0. spacing: voxels.
    Directions run one way along each filament; which way, nobody knows.
    """
    found, line = [], 0
    for number in numbers:
        box = components.boxes[number]
        mask, step = segmentation.crop(box)
        mask = isolated(mask, (components.firsts[number] - box[:, 0]) // step)
        lumen = LUMEN_NM2 / (segmentation.pixel_size * step / 10) ** 2
        for positions, radii in centre_lines(mask, lumen):
            positions = positions * step + (step - 1) / 2 + box[:, 0]
            zyx, directions = sampled(positions, spacing, step * float(np.median(radii)))
            line += 1
            many = np.ones(len(zyx), int)
            volume = components.voxels[number] * (segmentation.pixel_size / 10) ** 3
            found.append(
                Points(
                    zyx, many * (number + 1), many * volume, many * components.scores[number], directions, many * line
                )
            )
    return together(found, directions=True, lines=True)


def sampled(positions: np.ndarray, spacing: float, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) and unit vectors (n, 3) along a smooth curve through places, evenly, and as much room at both ends.

    positions: (m, 3) voxels in their order. spacing: voxels. radius: of the filament, voxels; thick ones wobble more.
    """
    if len(positions) < 2:
        return positions.astype(float), np.array([[1.0, 0.0, 0.0]] * len(positions))
    curve = _curve(positions, radius)
    parameters = np.linspace(0, 1, max(200, 8 * len(positions)))
    way = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve(parameters), axis=0), axis=1))])
    count = int(way[-1] / spacing) + 1
    wanted = (way[-1] - (count - 1) * spacing) / 2 + spacing * np.arange(count)
    at = lambda lengths: curve(np.interp(lengths, way, parameters))
    # over a radius to both sides: the last voxels of a middle line turn aside
    directions = at(wanted + max(1.0, radius)) - at(wanted - max(1.0, radius))
    return at(wanted), directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _curve(positions: np.ndarray, radius: float) -> typing.Callable[[typing.Any], np.ndarray]:
    """A function of (k,) parameters in [0, 1] that gives (k, 3) positions on a smooth curve."""
    from scipy.interpolate import splev, splprep

    if len(positions) < 5:
        start, way = positions[0].astype(float), (positions[-1] - positions[0]).astype(float)
        way = way if way.any() else np.array([1.0, 0.0, 0.0])
        return lambda t: start + np.multiply.outer(t, way)
    spline, _ = splprep(positions.T, s=len(positions) * WOBBLE**2 * max(1.0, radius / 4))
    return lambda t: np.stack(splev(t, spline), 1)
