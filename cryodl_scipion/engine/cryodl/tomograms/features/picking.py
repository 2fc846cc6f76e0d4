# SPDX-License-Identifier: GPL-3.0-or-later
"""From one segmentation to Points: pieces first, then what the shape of the feature asks for."""

from __future__ import annotations

import os
import typing

import numpy as np

from ...contract import PickFeaturesConfig
from . import pieces as pieces_module
from .areas import AreaCounter
from .blocks import slabs
from .pieces import PieceFinder
from .points import Points, inside, together
from .segmentation import Segmentation

if typing.TYPE_CHECKING:
    from .pieces import Pieces

MEMORY = 1.0  # GB for one slab
_ONE = (1,)  # the only label of a mask


def pick(path: str | os.PathLike[str], config: PickFeaturesConfig) -> tuple[Points, float, list[str]]:
    """(Points, pixel size in Å/px, sentences for the user) of a volume. config: PickFeaturesConfig.

    Raises ValueError or FileNotFoundError if the volume cannot be used.
    """
    segmentation = Segmentation(path, config.label, config.threshold, config.pixel_size)
    ranges = slabs(segmentation.shape, pieces_module.BYTES, MEMORY)
    pieces, thickness = pieces_of(segmentation, ranges, measure=config.shape == "membranes")
    volumes = pieces.voxels * (segmentation.pixel_size / 10) ** 3
    whole = config.shape != "particles"  # size limits of particles are those of the parted ones
    numbers = np.flatnonzero(_fits(volumes, config)) if whole else np.arange(len(pieces))
    points = _points(segmentation, pieces, numbers, ranges, thickness, config)
    if not whole:
        points = points.subset(_fits(points.volumes, config))
    points = inside(points, segmentation.shape, config.border / segmentation.pixel_size)
    return points, segmentation.pixel_size, [segmentation.note] if segmentation.note else []


def _fits(volumes: np.ndarray, config: PickFeaturesConfig) -> np.ndarray:
    return (volumes >= config.smallest) & (volumes <= (np.inf if config.largest is None else config.largest))


def pieces_of(
    segmentation: Segmentation, ranges: typing.Sequence[tuple[int, int]], measure: bool
) -> tuple[Pieces, float]:
    """Pieces of the mask, and, if asked for, the thickness of a sheet with their volume and area, voxels."""
    finder, counter, voxels = PieceFinder(_ONE), AreaCounter(1), 0
    for start, stop in ranges:
        mask, scores = segmentation.read((start, stop))
        finder.add(start, mask.view(np.int8), scores)
        if measure:
            counter.add(mask.view(np.int8))
            voxels += int(mask.sum())
    area = float(counter.areas()[0])
    return finder.pieces(), (2 * voxels / area if area else 1.0)


def _points(
    segmentation: Segmentation,
    pieces: Pieces,
    numbers: np.ndarray,
    ranges: typing.Sequence[tuple[int, int]],
    thickness: float,
    config: PickFeaturesConfig,
) -> Points:
    spacing = config.spacing / segmentation.pixel_size
    if config.shape == "filaments":
        from .filaments import along_filaments

        return along_filaments(segmentation, pieces, numbers, spacing)
    if config.shape == "membranes":
        from .membranes import membrane_points

        voxels, piece_of = voxels_of(segmentation, pieces, ranges, config.seed)
        return membrane_points(segmentation, pieces, numbers, voxels, piece_of, thickness, spacing, config.seed)
    if config.shape == "particles" and len(numbers):
        from .particles import parted

        locate = lambda places: _numbers_at(places, segmentation, pieces, ranges)
        return parted(segmentation, pieces, numbers, _diameter(segmentation, pieces, config), locate)
    volumes = pieces.voxels[numbers] * (segmentation.pixel_size / 10) ** 3
    return together([Points(pieces.centres[numbers], numbers + 1, volumes, pieces.scores[numbers])])


def _diameter(segmentation: Segmentation, pieces: Pieces, config: PickFeaturesConfig) -> float:
    """Of a particle, voxels: that of a ball as large as the median piece if the user gave none."""
    if config.diameter is not None:
        return config.diameter / segmentation.pixel_size
    volumes = pieces.voxels * (segmentation.pixel_size / 10) ** 3
    large = pieces.voxels[volumes >= config.smallest]
    return float((6 / np.pi * np.median(large if len(large) else pieces.voxels)) ** (1 / 3))


def numbered_slabs(
    segmentation: Segmentation, pieces: Pieces, ranges: typing.Sequence[tuple[int, int]]
) -> typing.Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (zyx of the first voxel, (z, y, x) numbers of pieces from 1) of the parts of slabs that hold any."""
    for start, stop in ranges:
        mask, _ = segmentation.read((start, stop))
        for _, place, numbers in pieces.numbered(start, mask.view(np.int8), _ONE):
            yield np.array([start + place[0].start, place[1].start, place[2].start]), numbers


def _numbers_at(
    places: np.ndarray, segmentation: Segmentation, pieces: Pieces, ranges: typing.Sequence[tuple[int, int]]
) -> np.ndarray:
    """(n,) numbers of the pieces, from 1, that voxels (n, 3) zyx lie in; 0 for none."""
    found = np.zeros(len(places), int)
    for offset, numbers in numbered_slabs(segmentation, pieces, ranges):
        local = places - offset
        here = ((local >= 0) & (local < numbers.shape)).all(axis=1)
        found[here] = numbers[tuple(local[here].T)]
    return found


def voxels_of(
    segmentation: Segmentation, pieces: Pieces, ranges: typing.Sequence[tuple[int, int]], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) zyx of the mask's voxels, an even part if there are very many, and (n,) numbers of their pieces from 0."""
    from .membranes import MOST_VOXELS

    part, rng = min(1.0, MOST_VOXELS / max(1, pieces.voxels.sum())), np.random.default_rng(seed)
    places, piece_of = [np.zeros((0, 3), np.int32)], [np.zeros(0, int)]
    for offset, numbers in numbered_slabs(segmentation, pieces, ranges):
        flat = np.flatnonzero(numbers)
        if part < 1:
            flat = flat[rng.random(len(flat)) < part]
        places.append((np.stack(np.unravel_index(flat, numbers.shape), 1) + offset).astype(np.int32))
        piece_of.append(numbers.reshape(-1)[flat] - 1)
    return np.concatenate(places), np.concatenate(piece_of)
