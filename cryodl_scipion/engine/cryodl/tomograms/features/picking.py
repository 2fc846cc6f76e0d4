# SPDX-License-Identifier: GPL-3.0-or-later
"""From one segmentation to Points: components first, then what the shape of the feature asks for."""

from __future__ import annotations

import os
import typing

import numpy as np

from ...contract import PickFeaturesConfig
from . import components as components_module
from .areas import AreaCounter
from .blocks import slabs
from .components import ComponentFinder
from .points import Points, points_inside, together
from .segmentation import Segmentation, isolated
from .skeletons import centre_lines

if typing.TYPE_CHECKING:
    from .components import Components


MEMORY = 1.0  # GB for one slab
_ONE = (1,)  # the only label of a mask


def pick_feature(path: str | os.PathLike[str], config: PickFeaturesConfig) -> tuple[Points, float, list[str]]:
    """(Points, pixel size in Å/px, sentences for the user) of a volume. config: PickFeaturesConfig.

    Raises ValueError or FileNotFoundError if the volume cannot be used.
    """
    segmentation = Segmentation(path, config.label, config.threshold, config.pixel_size)
    ranges = slabs(segmentation.shape, components_module.BYTES, MEMORY)
    components, thickness = components_of(segmentation, ranges, measure=config.shape == "membranes")
    volumes = components.voxels * (segmentation.pixel_size / 10) ** 3
    whole = config.shape != "particles"  # size limits of particles are those of the split ones
    numbers = np.flatnonzero(_fits(volumes, config)) if whole else np.arange(len(components))
    points = _points(segmentation, components, numbers, ranges, thickness, config)
    if not whole:
        points = points.subset(_fits(points.volumes, config))
    points = points_inside(points, segmentation.shape, config.border / segmentation.pixel_size)
    return points, segmentation.pixel_size, [segmentation.note] if segmentation.note else []


def _fits(volumes: np.ndarray, config: PickFeaturesConfig) -> np.ndarray:
    return (volumes >= config.minimum_size) & (
        volumes <= (np.inf if config.maximum_size is None else config.maximum_size)
    )


def components_of(
    segmentation: Segmentation, ranges: typing.Sequence[tuple[int, int]], measure: bool
) -> tuple[Components, float]:
    """Components of the mask, and, if asked for, the thickness of a sheet with their volume and area, voxels."""
    finder, counter, voxels = ComponentFinder(_ONE), AreaCounter(1), 0
    for start, stop in ranges:
        mask, scores = segmentation.read((start, stop))
        finder.add(start, mask.view(np.int8), scores)
        if measure:
            counter.add(mask.view(np.int8))
            voxels += int(mask.sum())
    area = float(counter.areas()[0])
    return finder.components(), (2 * voxels / area if area else 1.0)


def _points(
    segmentation: Segmentation,
    components: Components,
    numbers: np.ndarray,
    ranges: typing.Sequence[tuple[int, int]],
    thickness: float,
    config: PickFeaturesConfig,
) -> Points:
    spacing = config.spacing / segmentation.pixel_size
    if config.shape == "filaments":
        return along_filaments(segmentation, components, numbers, spacing)
    if config.shape == "membranes":
        from .membranes import membrane_points

        voxels, component_of = voxels_of(segmentation, components, ranges, config.seed)
        return membrane_points(segmentation, components, numbers, voxels, component_of, thickness, spacing, config.seed)
    if config.shape == "particles" and len(numbers):
        from .particles import split_touching

        locate = lambda positions: _numbers_at(positions, segmentation, components, ranges)
        return split_touching(segmentation, components, numbers, _diameter(segmentation, components, config), locate)
    volumes = components.voxels[numbers] * (segmentation.pixel_size / 10) ** 3
    return together([Points(components.centres[numbers], numbers + 1, volumes, components.scores[numbers])])


def _diameter(segmentation: Segmentation, components: Components, config: PickFeaturesConfig) -> float:
    """Of a particle, voxels: that of a ball as large as the median component if the user gave none."""
    if config.diameter is not None:
        return config.diameter / segmentation.pixel_size
    volumes = components.voxels * (segmentation.pixel_size / 10) ** 3
    large = components.voxels[volumes >= config.minimum_size]
    return float((6 / np.pi * np.median(large if len(large) else components.voxels)) ** (1 / 3))


def numbered_slabs(
    segmentation: Segmentation, components: Components, ranges: typing.Sequence[tuple[int, int]]
) -> typing.Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (zyx of the first voxel, (z, y, x) numbers of components from 1) of the parts of slabs that hold any."""
    for start, stop in ranges:
        mask, _ = segmentation.read((start, stop))
        for _, position, numbers in components.numbered(start, mask.view(np.int8), _ONE):
            yield np.array([start + position[0].start, position[1].start, position[2].start]), numbers


def _numbers_at(
    positions: np.ndarray, segmentation: Segmentation, components: Components, ranges: typing.Sequence[tuple[int, int]]
) -> np.ndarray:
    """(n,) numbers of the components, from 1, that voxels (n, 3) zyx lie in; 0 for none."""
    found = np.zeros(len(positions), int)
    for offset, numbers in numbered_slabs(segmentation, components, ranges):
        local = positions - offset
        here = ((local >= 0) & (local < numbers.shape)).all(axis=1)
        found[here] = numbers[tuple(local[here].T)]
    return found


def voxels_of(
    segmentation: Segmentation, components: Components, ranges: typing.Sequence[tuple[int, int]], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) zyx of the mask's voxels, an even part if there are very many, and (n,) numbers of their components from
    0."""
    from .membranes import MAX_VOXELS

    part, rng = min(1.0, MAX_VOXELS / max(1, components.voxels.sum())), np.random.default_rng(seed)
    positions, component_of = [np.zeros((0, 3), np.int32)], [np.zeros(0, int)]
    for offset, numbers in numbered_slabs(segmentation, components, ranges):
        flat = np.flatnonzero(numbers)
        if part < 1:
            flat = flat[rng.random(len(flat)) < part]
        positions.append((np.stack(np.unravel_index(flat, numbers.shape), 1) + offset).astype(np.int32))
        component_of.append(numbers.reshape(-1)[flat] - 1)
    return np.concatenate(positions), np.concatenate(component_of)


# ----- Points along filaments, with their directions.
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
